"""What is on the learning curves? Panels of one task, stage and kind of seeds, the baseline in each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scheduler.decide.facts import RunFinished
from scheduler.report.gains import Gain
from scheduler.report.reading import TaskReading
from scheduler.report.runs import runs_at
from scheduler.rounds.round import BASELINE

#: variants drawn in colours of their own; the rest stay in the background
NAMED_AT_MOST = 5
#: share of the steps in which a curve climbs
BEGINNING = 0.25
#: evaluations drawn of one curve
POINTS_AT_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One config over its seeds, at the steps that all of them were evaluated at."""

    config: str
    seeds: tuple[int, ...]
    steps: tuple[float, ...]
    #: mean over seeds, as a reader sees it: percent for "pp"
    mean: tuple[float, ...]
    #: smallest and largest over seeds
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The curves that may be looked at beside each other."""

    title: str
    stage: str
    #: `acc (%)`
    metric: str
    baseline: Curve | None
    #: (place among the colours, curve): a variant has one colour in all panels of its task
    named: tuple[tuple[int, Curve], ...]
    others: tuple[Curve, ...]

    @property
    def bounds(self) -> tuple[float, float] | None:
        """What the axis of the metric shows: all of it, without the first climb where it dwarfs the rest."""
        curves = [*(() if self.baseline is None else (self.baseline,)), *(c for _, c in self.named)]
        curves += self.others
        begin = BEGINNING * max((curve.steps[-1] for curve in curves if curve.steps), default=0)
        if sum(step < begin for curve in curves for step in curve.steps) < len(curves):
            return None  # nothing was evaluated so early
        told = [
            value
            for curve in curves
            for step, low, high in zip(curve.steps, curve.low, curve.high, strict=True)
            if step >= begin
            for value in (low, high)
        ]
        margin = 0.06 * (max(told) - min(told))
        return (min(told) - margin, max(told) + margin) if margin > 0 else None


def panels(task: TaskReading, rows: Sequence[Gain], *, has_fresh_seeds: bool) -> Iterator[Panel]:
    """One for each stage, and one more where fresh seeds confirm, each with the best variants in colour."""
    ranked = [row.config for row in rows]
    first, *later = task.state.task.stages
    for stage in (first, *later):
        kinds: list[tuple[str, bool | None]] = [("", None)]
        if has_fresh_seeds and later and stage is first:
            kinds = [(", screening seed", None)]  # a policy may give the baseline several of them
        elif has_fresh_seeds:
            kinds = [(", screening seed", False), (", fresh seeds", True)]
        for words, is_fresh in kinds:
            panel = _panel(task, stage.name, words, ranked, is_fresh)
            if panel is not None:
                yield panel


def _panel(
    task: TaskReading, stage: str, words: str, ranked: Sequence[str], is_fresh: bool | None
) -> Panel | None:
    def curve_of(config: str) -> Curve | None:
        runs = [
            run
            for run in runs_at(task.state, stage, config)
            if run.curve and (is_fresh is None or is_fresh == (run.slot > 0))
        ]
        return _curve(config, runs, task.objective.scale) if runs else None

    baseline = curve_of(BASELINE)
    variants = [
        (place, curve) for place, config in enumerate(ranked) if (curve := curve_of(config)) is not None
    ]
    if baseline is None and not variants:
        return None
    unit = " (%)" if task.objective.unit == "pp" else ""
    return Panel(
        title=f"{stage}{words}",
        stage=stage,
        metric=f"{task.objective.metric}{unit}",
        baseline=baseline,
        named=tuple((place, curve) for place, curve in variants if place < NAMED_AT_MOST),
        others=tuple(curve for place, curve in variants if place >= NAMED_AT_MOST),
    )


def _curve(config: str, runs: Sequence[RunFinished], scale: float) -> Curve:
    """Runs that were stopped early shorten nothing: a step counts when any run reached it."""
    by_step: dict[int, list[float]] = {}
    for run in runs:
        for step, value in run.curve:
            if math.isfinite(value):
                by_step.setdefault(step, []).append(scale * value)
    steps = _thinned(sorted(by_step))
    return Curve(
        config=config,
        seeds=tuple(run.seed for run in runs),
        steps=tuple(steps),
        mean=tuple(math.fsum(by_step[step]) / len(by_step[step]) for step in steps),
        low=tuple(min(by_step[step]) for step in steps),
        high=tuple(max(by_step[step]) for step in steps),
    )


def _thinned(steps: list[int]) -> list[int]:
    """Evenly chosen, first and last among them, where there are more than a picture can show."""
    if len(steps) <= POINTS_AT_MOST:
        return steps
    last = len(steps) - 1
    return [steps[round(index * last / (POINTS_AT_MOST - 1))] for index in range(POINTS_AT_MOST)]
