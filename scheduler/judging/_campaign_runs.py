"""What does a campaign hold? Which seeds every condition has run, and how a metric went step by step."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from scheduler.judging.evidence import JudgedRun, Sample

#: name of the baseline's line where it has none of its own
BASELINE = "baseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A metric of one condition over its seeds, at the steps that all of them told."""

    config: str
    metric: str
    steps: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    #: runs behind it
    n: int


def conditions(sample: Sample) -> dict[str, tuple[JudgedRun, ...]]:
    """Runs by condition, the baseline first."""
    name = sample.baseline[0].config if sample.baseline else BASELINE
    return {name: sample.baseline, **sample.experiments}


def level_sample(sample: Sample, metric: str, last: int) -> Sample:
    """The sample with `metric` as its objective: each run's is the mean over the last `last` steps told."""
    return replace(
        sample,
        objective=replace(sample.objective, metric=metric),
        baseline=tuple(_level(run, metric, last) for run in sample.baseline),
        experiments={
            config: tuple(_level(run, metric, last) for run in runs)
            for config, runs in sample.experiments.items()
        },
    )


def _level(run: JudgedRun, metric: str, last: int) -> JudgedRun:
    told = [point.metrics[metric] for point in run.curve if metric in point.metrics]
    if not told:
        return run
    return replace(run, metrics={**run.metrics, metric: statistics.fmean(told[-last:])})


def bands(sample: Sample, metrics: Sequence[str]) -> Iterator[Band]:
    """Mean, lowest and highest over the seeds, by metric and condition; what nobody told is left out."""
    for metric in metrics:
        for config, runs in conditions(sample).items():
            band = _band(config, metric, runs)
            if band is not None:
                yield band


def _band(config: str, metric: str, runs: Sequence[JudgedRun]) -> Band | None:
    told = [{p.step: p.metrics[metric] for p in run.curve if metric in p.metrics} for run in runs]
    told = [points for points in told if points]
    steps = sorted(set.intersection(*(set(points) for points in told))) if told else []
    if not steps:
        return None
    columns = [[points[step] for points in told] for step in steps]
    return Band(
        config=config,
        metric=metric,
        steps=tuple(steps),
        mean=tuple(statistics.fmean(column) for column in columns),
        low=tuple(min(column) for column in columns),
        high=tuple(max(column) for column in columns),
        n=len(told),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """Which (condition, seed) there are, so that a campaign that was cut short is read for what it has."""

    #: seeds that any condition has run, rising
    seeds: tuple[int, ...]
    #: seeds by condition
    has: Mapping[str, frozenset[int]]

    @property
    def whole(self) -> tuple[int, ...]:
        """Seeds that every condition has run."""
        return tuple(seed for seed in self.seeds if all(seed in has for has in self.has.values()))

    @property
    def partial(self) -> tuple[int, ...]:
        """Seeds that some condition lacks."""
        return tuple(seed for seed in self.seeds if seed not in self.whole)


def completeness(sample: Sample) -> Completeness:
    """Of the runs that have a seed."""
    has = {
        config: frozenset(run.seed for run in runs if run.seed is not None)
        for config, runs in conditions(sample).items()
    }
    return Completeness(seeds=tuple(sorted(frozenset().union(*has.values()))), has=has)
