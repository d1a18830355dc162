"""What follows from all runs and decisions of a task, counted from the start? A replay settles it once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from scheduler.decide import facts
from scheduler.decide.facts import PROBE_STAGE
from scheduler.decide.layered import Layered
from scheduler.decide.run_marks import Pace, RunMark, gathered, measured_seconds
from scheduler.decide.task_fold import decision_marks, judged_by, marks_of
from scheduler.decide.task_state import Attempt, DecisionMark, TaskState, counted
from scheduler.decide.usage import Usage
from scheduler.rounds.identity import RunKey
from scheduler.rounds.round import BASELINE


def recounted(task: TaskState) -> TaskState:
    """The task with all that follows from its attempts, decisions and verdicts counted anew.

    Equal to what folding fact by fact comes to, as long as at most one attempt is open.
    """
    keys: dict[str, list[RunKey]] = {}
    open_keys: list[RunKey] = []
    ends: list[facts.RunFinished] = []
    lasting: dict[str, list[float]] = {}
    marked: list[tuple[RunMark, int]] = []
    known: dict[tuple[Any, ...], frozenset[RunMark]] = {}
    places = task.task.places
    for key, attempts in task.attempts.items():
        keys.setdefault(key.config, []).append(key)
        finished = [attempt.finished for attempt in attempts if attempt.finished is not None]
        ends += finished
        if len(finished) < len(attempts):
            open_keys.append(key)
        if key.stage != PROBE_STAGE and (counts := counted(attempts, task.forgiven)):
            seconds = measured_seconds(counts[-1].finished)
            if seconds is not None:
                lasting.setdefault(key.stage, []).append(seconds)
            place = places.get(key.config)
            if place is not None:
                marked += [(mark, place) for mark in _marks(counts, known)]
    return replace(
        task,
        keys=Layered({config: tuple(each) for config, each in keys.items()}),
        open_keys=tuple(open_keys),
        runs=gathered(marked, len(task.task.places)),
        paces=_paces(lasting, ends),
        decided=gathered(_decided(task), len(task.task.places)),
        judged=judged_by(task.task, task.verdicts.values()),
        reused=sum([end.cached_from is not None and end.config == BASELINE for end in ends]),
        usage=Usage.of(ends),
        versions={stage: object() for stage in {key.stage for key in task.attempts} - {PROBE_STAGE}},
    )


def _marks(
    attempts: tuple[Attempt, ...], known: dict[tuple[Any, ...], frozenset[RunMark]]
) -> frozenset[RunMark]:
    """What `marks_of` gives. Nearly all runs end well at once, and alike: theirs is looked up."""
    end = attempts[0].finished
    if len(attempts) > 1 or end is None or end.status != "ok":
        return marks_of(attempts)
    alike = (
        attempts[0].intended.protocol,
        end.stage,
        end.slot,
        end.bsz,
        end.cached_from is None,
        end.contaminated is None,
    )
    if alike not in known:
        known[alike] = marks_of(attempts)
    return known[alike]


def _decided(task: TaskState) -> Iterator[tuple[DecisionMark, int]]:
    for config, made in task.decisions.items():
        place = task.task.places.get(config)
        if place is not None:
            yield from ((mark, place) for mark in decision_marks(made))


def _paces(lasting: Mapping[str, list[float]], ends: Iterable[facts.RunFinished]) -> dict[str, Pace]:
    """Of how long runs lasted that count, by stage; the slowest one is sought among all `ends`."""
    most: dict[str, float] = {}
    for end in ends:
        seconds = measured_seconds(end) or 0.0
        if seconds > most.get(end.stage, -1.0):
            most[end.stage] = seconds
    return {stage: Pace.of(each, most[stage]) for stage, each in lasting.items() if each}
