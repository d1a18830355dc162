"""What do all ways of judging look at? Runs of one protocol, by config, with what each reported.

A way of judging gets a `Sample` and nothing else. A sample never mixes stages, protocols or prompt sets, and
holds each (config, seed) once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from policies.evidence import Objective, UnmatchedError


class UnfitRunsError(ValueError):
    """The runs cannot be judged as asked. The message says which, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """So many successes among so many independent trials."""

    successes: int
    n: int

    def __post_init__(self) -> None:
        if not 0 <= self.successes <= self.n:
            raise UnfitRunsError(f"{self.successes} successes of {self.n} is no count")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What a run reported at one step."""

    step: int
    #: tokens seen so far, where they are known
    tokens: int | None = None
    #: raw, by name; finite
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRun:
    """One finished run, of ours or of a file somebody else wrote."""

    config: str
    #: None where it is unknown: such a run cannot be paired
    seed: int | None
    stage: str | None = None
    #: what must be equal for runs to be compared; None where nothing tells
    protocol: str | None = None
    #: the prompts a run was evaluated on, where they are named
    prompt_set: str | None = None
    #: at the end of the run, raw, by name; finite
    metrics: Mapping[str, float] = field(default_factory=dict)
    #: by rising step
    curve: tuple[Point, ...] = ()
    #: by name of the rate they make
    counts: Mapping[str, Count] = field(default_factory=dict)
    wall_seconds: float | None = None
    #: the config's arguments
    parameters: Mapping[str, Any] = field(default_factory=dict)
    #: what it cost, by unit, such as {"usd": 0.31, "gpu_seconds": 912.0}
    cost: Mapping[str, float] | None = None
    #: what its trainer wrote beside its figures, in the files that the way of judging asks for: rows by file
    exhibits: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    #: where it was read, for messages
    origin: str = ""

    @property
    def name(self) -> str:
        """`infill s137`, for messages and tables."""
        return self.config if self.seed is None else f"{self.config} s{self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The evidence: one baseline and the experiments that are held against it.

    Raises UnmatchedError when known protocols differ.
    """

    #: "sudoku-night/sudoku4_refine", or how the files were named
    source: str
    objective: Objective
    #: in slot order, or as read; empty where there is none
    baseline: tuple[JudgedRun, ...]
    #: by config, in file order
    experiments: Mapping[str, tuple[JudgedRun, ...]]
    stage: str | None = None
    #: runs on another prompt set: kept and listed, never pooled
    pilots: tuple[JudgedRun, ...] = ()
    #: runs of the same configs that are not judged here, of other stages for instance: what they cost counts
    elsewhere: tuple[JudgedRun, ...] = ()
    #: sentences about what was left out and why
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        protocols = {run.protocol for run in self.runs if run.protocol is not None}
        if len(protocols) > 1:
            raise UnmatchedError(
                f"{self.source}: runs of protocols {', '.join(sorted(protocols))} cannot be compared;"
                " run the baseline at the variant's protocol"
            )

    @property
    def runs(self) -> tuple[JudgedRun, ...]:
        """All that counts, the baseline first."""
        return (*self.baseline, *(run for runs in self.experiments.values() for run in runs))

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes, and one that lists the pilots."""
        pilots = ", ".join(f"{run.name} on {run.prompt_set}" for run in self.pilots)
        return (*self.notes, *([f"Pilots on another prompt set, not pooled: {pilots}."] if pilots else []))

    def values(self, runs: Iterable[JudgedRun], metric: str | None = None) -> tuple[float, ...]:
        """The final values of `metric` (default: the objective's), of the runs that have one."""
        name = metric or self.objective.metric
        return tuple(run.metrics[name] for run in runs if name in run.metrics)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two runs of one seed."""

    seed: int
    baseline: JudgedRun
    experiment: JudgedRun


def paired(sample: Sample, config: str, metric: str | None = None) -> tuple[Pair, ...]:
    """Baseline and experiment of the same seed, both with a final value, in the experiment's order."""
    name = metric or sample.objective.metric
    references = {run.seed: run for run in sample.baseline if run.seed is not None and name in run.metrics}
    return tuple(
        Pair(seed=run.seed, baseline=references[run.seed], experiment=run)
        for run in sample.experiments[config]
        if run.seed is not None and run.seed in references and name in run.metrics
    )


def common_steps(runs: Sequence[JudgedRun], metric: str) -> tuple[int, ...]:
    """The steps at which every one of `runs` reported `metric`, rising."""
    reported = [{point.step for point in run.curve if metric in point.metrics} for run in runs]
    return tuple(sorted(set.intersection(*reported))) if reported else ()


def at_step(run: JudgedRun, step: int) -> JudgedRun:
    """The run as it was at `step`: its final metrics are those of that point. Raises KeyError."""
    for index, point in enumerate(run.curve):
        if point.step == step:
            return replace(run, metrics=point.metrics, curve=run.curve[: index + 1])
    raise KeyError(step)


def sample_of(
    runs: Iterable[JudgedRun],
    *,
    source: str,
    objective: Objective,
    baseline: str | None,
    stage: str | None = None,
    prompt_set: str | None = None,
) -> Sample:
    """The sample that `runs` make, in the order given.

    `baseline` None means that there is none. `stage` and `prompt_set` must be named where the runs hold
    several and nothing decides between them. Raises UnfitRunsError or UnmatchedError.
    """
    at_stage, stage = _at_one_stage(tuple(runs), stage, source)
    distinct, notes = _once_each(at_stage, source)
    chosen = prompt_set if prompt_set is not None else _main_prompt_set(distinct, baseline, source)
    counted = [run for run in distinct if run.prompt_set == chosen]
    experiments: dict[str, list[JudgedRun]] = {}
    for run in counted:
        if run.config != baseline:
            experiments.setdefault(run.config, []).append(run)
    base = tuple(run for run in counted if run.config == baseline)
    if baseline is not None and not base:
        known = ", ".join(experiments) or "none"
        raise UnfitRunsError(f"{source}: no run of the baseline {baseline!r}; configs here: {known}")
    if not counted:
        raise UnfitRunsError(f"{source}: no run to judge")
    without = [run.name for run in counted if objective.metric not in run.metrics]
    if len(without) == len(counted):
        notes = (*notes, f"No run has the metric {objective.metric}; metrics here: {_metric_names(counted)}.")
    elif without:
        notes = (*notes, f"No finite {objective.metric} for {', '.join(without)}; they count for nothing.")
    return Sample(
        source=source,
        objective=objective,
        baseline=base,
        experiments={config: tuple(of_config) for config, of_config in experiments.items()},
        stage=stage,
        pilots=tuple(run for run in distinct if run.prompt_set != chosen),
        notes=notes,
    )


def finite_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The entries that are finite numbers; a flag is none."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def counts_in(metrics: Mapping[str, float]) -> dict[str, Count]:
    """Every pair `<name>_successes`, `<name>_n` as the count of `<name>`."""
    return {
        name: Count(successes=round(value), n=round(metrics[f"{name}_n"]))
        for key, value in metrics.items()
        if (name := key.removesuffix("_successes")) != key and f"{name}_n" in metrics
    }


def _metric_names(runs: Iterable[JudgedRun]) -> str:
    return ", ".join(sorted({name for run in runs for name in run.metrics})) or "none"


def _at_one_stage(
    runs: tuple[JudgedRun, ...], stage: str | None, source: str
) -> tuple[tuple[JudgedRun, ...], str | None]:
    stages = list(dict.fromkeys(run.stage for run in runs))
    if stage is None and len(stages) > 1:
        named = ", ".join(str(name) for name in stages)
        raise UnfitRunsError(
            f"{source}: runs of several stages ({named}) are not compared; name one (--stage)"
        )
    chosen = stage if stage is not None else (stages[0] if stages else None)
    return tuple(run for run in runs if run.stage == chosen), chosen


def _once_each(runs: tuple[JudgedRun, ...], source: str) -> tuple[tuple[JudgedRun, ...], tuple[str, ...]]:
    """The runs without repeats: a repeated seed is no evidence."""
    kept: dict[tuple[str, int, str | None], JudgedRun] = {}
    unseeded: list[JudgedRun] = []
    order: list[JudgedRun] = []
    notes: list[str] = []
    for run in runs:
        if run.seed is None:
            unseeded.append(run)
            order.append(run)
            continue
        key = (run.config, run.seed, run.prompt_set)
        first = kept.setdefault(key, run)
        if first is run:
            order.append(run)
        elif first.metrics == run.metrics:
            notes.append(f"{run.name} repeats an identical run and counts once.")
        else:
            places = " and ".join(dict.fromkeys(place.origin or "the input" for place in (first, run)))
            raise UnfitRunsError(
                f"{source}: two different runs of {run.name} ({places}); keep one, or give them other names"
            )
    if unseeded:
        notes.append(f"{len(unseeded)} runs have no known seed and are taken as different seeds.")
    return tuple(order), tuple(notes)


def _main_prompt_set(runs: Sequence[JudgedRun], baseline: str | None, source: str) -> str | None:
    """The prompt set of most runs, of the baseline's where there is one."""
    of_baseline = [run for run in runs if run.config == baseline]
    numbers = Counter(run.prompt_set for run in (of_baseline or runs)).most_common()
    if len(numbers) > 1 and numbers[0][1] == numbers[1][1]:
        named = ", ".join(str(name) for name, _ in numbers)
        raise UnfitRunsError(f"{source}: as many runs on each prompt set ({named}); name the one that counts")
    return numbers[0][0] if numbers else None
