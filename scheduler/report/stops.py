"""Which runs were stopped before their end, and what does the audit say that cost?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scheduler.decide.facts import RunFinished
from scheduler.decide.state import RoundState
from scheduler.decide.task_state import Attempt, TaskState, observation
from scheduler.report import numbers
from scheduler.rounds.round import BASELINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Stops:
    """The in-run stops of a round."""

    #: runs that ended by a rule, by its name
    by_rule: Mapping[str, int]
    #: runs that a rule would have stopped, and that went on to their end
    audited: int = 0
    #: those of them that came up to the baseline
    recovered: int = 0


def stops_of(round_state: RoundState) -> Stops:
    """The stops so far; of a run that was repeated its newest attempt counts."""
    stopped: Counter[str] = Counter()
    audited = recovered = 0
    for task in round_state.tasks.values():
        for attempt, end in _ended(task):
            if end.stopped_by is not None:
                stopped[end.stopped_by] += 1
            gain = _gain(task, end) if any(stop.is_audit for stop in attempt.stops) else None
            audited += gain is not None
            recovered += gain is not None and gain >= 0
    return Stops(by_rule=dict(sorted(stopped.items())), audited=audited, recovered=recovered)


def stop_counts(stops: Stops) -> list[str]:
    """`2 by noop`, `audit: 1 of 3 runs that went on came up to the baseline (33 %)`; empty without stops."""
    counts = [f"{number} by {rule}" for rule, number in stops.by_rule.items()]
    if stops.audited:
        runs = numbers.count(stops.audited, "run")
        share = f"{100 * stops.recovered / stops.audited:.0f} %"
        counts.append(f"audit: {stops.recovered} of {runs} that went on came up to the baseline ({share})")
    return counts


def _ended(task: TaskState) -> Iterator[tuple[Attempt, RunFinished]]:
    for attempts in task.attempts.values():
        ended = [(attempt, attempt.finished) for attempt in attempts if attempt.finished is not None]
        if ended:
            yield ended[-1]


def _gain(task: TaskState, run: RunFinished) -> float | None:
    """How far above the baseline of its seed a run ended; None where there is no delta."""
    for _, other in _ended(task):
        is_reference = (other.config, other.stage, other.seed) == (BASELINE, run.stage, run.seed)
        is_usable = observation(other).is_usable and observation(run).is_usable
        if is_reference and is_usable and other.protocol == run.protocol:
            assert run.value is not None
            assert other.value is not None
            return task.task.objective.gain(run.value, other.value)
    return None
