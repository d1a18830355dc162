"""What would the hand-made arithmetic have claimed? A later stage's variant minus the first stage's baseline.

The only place where two runs of different protocols are subtracted. Its figures go into one box of the
summary, labelled as no evidence, and nowhere else.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scheduler.decide.task_state import TaskState
from scheduler.report.runs import runs_at
from scheduler.rounds.round import BASELINE


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmatchedReading:
    """One variant as a search without a matched baseline would have reported it. Not evidence."""

    config: str
    #: variant at the later stage minus baseline at the first, in the objective's unit, positive is better
    unmatched: float
    #: the delta that counts: over fresh seeds where there are any, else from the decision after the later
    #: stage; None when there is none
    matched: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmatchedBox:
    """The unmatched readings of one stage, and why they are none."""

    stage: str
    first_stage: str
    #: what the baseline alone gains from the first stage to this one, in the objective's unit
    baseline_gain: float
    readings: tuple[UnmatchedReading, ...]


def unmatched_boxes(task: TaskState) -> Iterator[UnmatchedBox]:
    """A box for each later stage that a variant and the baseline have been through."""
    first, *later = [stage.name for stage in task.task.stages]
    quick = _values(task, first, BASELINE)
    for stage in later:
        gains = _gains(task, _values(task, stage, BASELINE), quick)
        readings = tuple(_readings(task, stage, quick))
        if gains and readings:
            yield UnmatchedBox(
                stage=stage,
                first_stage=first,
                baseline_gain=statistics.fmean(gains),
                readings=readings,
            )


def _readings(task: TaskState, stage: str, quick: Mapping[int, float]) -> Iterator[UnmatchedReading]:
    for variant in task.task.variants:
        gains = _gains(task, _values(task, stage, variant.name), quick)
        if gains:
            yield UnmatchedReading(
                config=variant.name,
                unmatched=statistics.fmean(gains),
                matched=_matched(task, stage, variant.name),
            )


def _matched(task: TaskState, stage: str, config: str) -> float | None:
    verdict = task.verdicts.get(config)
    if verdict is not None and verdict.raw_gain is not None and stage == task.task.stages[1].name:
        return verdict.raw_gain
    decisions = [fact for fact in task.decisions.get(config, ()) if fact.stage == stage]
    return decisions[-1].d_acc if decisions else None


def _gains(task: TaskState, values: Mapping[int, float], references: Mapping[int, float]) -> list[float]:
    objective = task.task.objective
    return [objective.gain(values[seed], references[seed]) for seed in values if seed in references]


def _values(task: TaskState, stage: str, config: str) -> dict[int, float]:
    return {run.seed: run.value for run in runs_at(task, stage, config) if run.value is not None}
