"""What happened on the device while a run trained? Foreign processes, heat, and errors of the driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scheduler.decide.facts import PROBE_STAGE, RunFinished
from scheduler.decide.task_state import Attempt, TaskState
from scheduler.decide.xids import words_of
from scheduler.report.printable import one_line

#: a run that was slowed down for less of its time is as good as any
TOLD_SHARE = 0.05
#: notes of one task that are told one by one
MOST_NOTES = 12


def hindrances(end: RunFinished) -> tuple[str, ...]:
    """Why the seconds of a run tell little: who else used its device, and heat; mostly nothing."""
    told = []
    if end.contaminated is not None:
        told.append(_contaminated(end.device, end.contaminated))
    if end.throttled is not None and end.throttled["share"] >= TOLD_SHARE:
        reasons = ", ".join(end.throttled["by"])
        told.append(f"{end.device} was slowed down for {_percent(end.throttled)} of its time: {reasons}")
    return tuple(map(one_line, told))


def notes_of(task: TaskState) -> tuple[str, ...]:
    """A sentence for each attempt that something happened to, and what became of it."""
    found = [note for attempts in task.attempts.values() for note in _notes(attempts)]
    more = len(found) - MOST_NOTES
    return (*found[:MOST_NOTES], *([f"{more} more, in records.jsonl"] if more > 0 else []))


def _notes(attempts: Sequence[Attempt]) -> Iterator[str]:
    for number, attempt in enumerate(attempts, start=1):
        end = attempt.finished
        if end is None or end.cached_from is not None:
            continue
        hindered = hindrances(end)
        errors = [f"{end.device} reported {words_of(xid)}" for xid in end.xids]
        if not hindered and not errors:
            continue
        of = "the probe" if end.stage == PROBE_STAGE else f"{end.stage} {end.config} seed {end.seed}"
        which = f", attempt {end.attempt}" if len(attempts) > 1 else ""
        then = _what_became(end, is_last=number == len(attempts)) if hindered else ()
        yield f"{of}{which}: {'; '.join([*hindered, *errors, *then])}"


def _what_became(end: RunFinished, *, is_last: bool) -> tuple[str, ...]:
    if end.has_failed:
        return ()
    if end.contaminated is not None and not is_last:
        return ("it was run again, and this one does not count",)
    if end.status == "timed_out" or end.budget["max_steps"] is None:
        return ("the clock ended it, so that its score has suffered too",)
    return ("its score is sound, its seconds tell nothing",)


def _contaminated(device: str, told: Mapping[str, Any]) -> str:
    by = ", ".join(f"{each['name']} (pid {each['pid']})" for each in told["by"])
    seconds = f"{told['seconds']:.1f} s, {_percent(told)} of its time"
    return f"contaminated: {by} computed on {device} beside it for {seconds}"


def _percent(told: Mapping[str, Any]) -> str:
    return f"{100 * told['share']:.0f} %"
