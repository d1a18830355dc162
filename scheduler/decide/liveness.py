"""Does a run still go on? By what is heard of it, and by what its processes use of the processor.

A worker that cannot speak, since one long call keeps its interpreter, computes; a run that waits for what
will never come is heard, but neither evaluates nor computes. Either sign alone is enough.
"""

from __future__ import annotations

from scheduler.decide import actions as act
from scheduler.decide import inputs
from scheduler.decide.actions import Action
from scheduler.decide.after_fact import deadline, hung_deadline
from scheduler.decide.failures import Limits
from scheduler.decide.state import State, open_attempt

Reading = inputs.WorkerBeat | inputs.WorkerLookedAt

#: of one core: a process tree that uses less only waits. Our own share of it is a hundredth of that.
WORKING_SHARE = 0.01


def alive(attempt_id: str, limits: Limits) -> Action:
    """It was heard: the time in which it has to be heard again begins anew."""
    return deadline(attempt_id, "heartbeat", limits.heartbeat_timeout_seconds)


def going_on(state: State, attempt_id: str, limits: Limits) -> tuple[Action, ...]:
    """Its run got on: the time in which it has to get on again begins anew."""
    return hung_deadline(attempt_id, limits) if _is_running(state, attempt_id) else ()


def has_worked(state: State, reading: Reading, limits: Limits) -> bool:
    """Whether the worker's processes have computed since they were last seen to."""
    seconds = _seconds_for(reading, limits)
    if reading.attempt_id not in state.live.workers or reading.cpu_seconds is None or seconds == 0.0:
        return False
    used = reading.cpu_seconds - state.live.workers[reading.attempt_id].cpu_seconds
    # A process that ended may have taken with it what it used: less is a sign of work, too.
    return used < 0 or used >= WORKING_SHARE * seconds


def after_reading(before: State, state: State, reading: Reading, limits: Limits) -> tuple[Action, ...]:
    """Time for another sign, or the end of a worker that gave none; `state` knows of the reading."""
    if reading.attempt_id not in state.live.workers:
        return ()
    if has_worked(before, reading, limits):
        return (alive(reading.attempt_id, limits), *going_on(state, reading.attempt_id, limits))
    if isinstance(reading, inputs.WorkerBeat):
        return (alive(reading.attempt_id, limits),)
    if reading.kind == "hung" and not _is_running(state, reading.attempt_id):
        return ()  # its run has ended meanwhile
    used = reading.cpu_seconds - before.live.workers[reading.attempt_id].cpu_seconds
    reason = _what_was_seen(reading, used, limits)
    return (act.EndWorker(attempt_id=reading.attempt_id, ended_by="hung", reason=reason),)


def _what_was_seen(reading: inputs.WorkerLookedAt, used_seconds: float, limits: Limits) -> str:
    seen = "nothing was heard of the worker" if reading.kind == "heartbeat" else "the run made no evaluation"
    seconds = _seconds_for(reading, limits)
    return f"{seen} for {seconds:g} s, in which its processes used {used_seconds:.1f} s of CPU time"


def _seconds_for(reading: Reading, limits: Limits) -> float:
    is_silent = isinstance(reading, inputs.WorkerLookedAt) and reading.kind == "heartbeat"
    return limits.heartbeat_timeout_seconds if is_silent else limits.hung_timeout_seconds


def _is_running(state: State, attempt_id: str) -> bool:
    attempt = open_attempt(state, attempt_id)
    return attempt is not None and attempt.started is not None
