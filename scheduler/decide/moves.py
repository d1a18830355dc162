"""What can a plan come to? A fact to record, a result to look up first, or a reason to wait."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.decide import facts
from scheduler.decide.actions import FetchResult
from scheduler.decide.task_state import TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing can be recorded now."""

    reason: str
    #: True when nothing is left to do at all
    is_idle: bool = False
    #: True when a run is due, or under way, and nothing else could start either
    needs_device: bool = False


Move = facts.Fact | FetchResult | Wait


def parked(run: facts.RunFinished, reason: str, remedy: str) -> facts.TaskParked:
    """The task of `run` cannot go on without a person."""
    return facts.TaskParked(
        round=run.round,
        task=run.task,
        failure_class=run.failure_class or run.status,
        reason=reason,
        remedy=remedy,
        run_dir=run.run_dir,
    )


def parked_for(task: TaskState) -> facts.RunFinished | None:
    """The run that a task is parked for; None where it is not parked, or not for a run."""
    parked = task.parked
    if parked is None:
        return None
    ends = [attempt.finished for tries in task.attempts.values() for attempt in tries]
    if parked.run_dir is None:  # a record of before: it was the last one to fail so
        alike = [end for end in ends if end is not None and end.failure_class == parked.failure_class]
        return alike[-1] if alike else None
    return next((end for end in ends if end is not None and end.run_dir == parked.run_dir), None)


def how_it_failed(run: facts.RunFinished) -> str:
    """`failed (crash): message`, or how else a run ended without a value."""
    if run.has_failed:
        return f"failed ({run.failure_class}): {first_line(run.error)}"
    return f"was ended by its time budget of {run.budget['time_budget_sec']:g} s before its first evaluation"


def first_line(error: str | None) -> str:
    """What a person reads of an error in one line."""
    lines = (error or "").strip().splitlines()
    return lines[0] if lines else "no message"
