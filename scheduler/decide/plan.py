"""What comes next? One fact to record: a decision that is due, or the run to make; or the reason to wait.

A round goes through its tasks in order, a task through its variants in order, a variant through its stages;
the baseline runs at a stage when the first variant needs it there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from scheduler.decide import facts
from scheduler.decide.actions import FetchResult
from scheduler.decide.failures import Limits
from scheduler.decide.moves import Move, Wait
from scheduler.decide.room import has_room
from scheduler.decide.state import RoundState, State
from scheduler.decide.task_plan import TaskPlan


def next_move(state: State, limits: Limits) -> Move:
    """The next fact that is due, or why there is none."""
    if not state.devices:
        return Wait(reason="no device")
    waits = []
    for round_state in _in_order(state):
        move = _round_move(state, round_state, limits)
        if not isinstance(move, Wait):
            return move
        waits.append(move)
        if move.needs_device:
            break
    if waits:
        return waits[0]
    # Nothing is taken from the queue's folder while the disk is full: it may hold any number of specs.
    return Wait(reason=state.live.waits.get("disk") or "the queue is empty", is_idle=True)


def _in_order(state: State) -> Iterator[RoundState]:
    """Unfinished rounds: higher priority first, then in order of acceptance."""
    yield from sorted(state.rounds.values(), key=lambda r: -r.round.priority)


def _round_move(state: State, current: RoundState, limits: Limits) -> Move:
    if current.cancelled is not None:
        return _cancelled_round_move(current)
    missing = [round_id for round_id in current.round.after if round_id not in state.ended]
    if missing:
        return Wait(reason=f"round {current.round.id} waits for {', '.join(missing)} to finish")
    waits: list[Wait] = []
    for task in current.tasks.values():
        if task.parked is not None or task.is_finished:
            continue
        if state.live.backing_off.get(f"{current.round.id}/{task.task.name}") == "network":
            waits.append(
                Wait(reason=f"task {task.task.name} waits before another try after a network failure")
            )
            continue
        move = TaskPlan.of(state, current, task, limits).next_move()
        if isinstance(move, facts.RunIntended):
            wait = why_no_start(state, move)
            return move if wait is None else Wait(reason=wait, needs_device=True)
        if isinstance(move, FetchResult) and state.paused is not None:
            return Wait(reason=f"paused: {state.paused}", needs_device=True)
        return replace(move, needs_device=True) if isinstance(move, Wait) else move
    if waits:
        return waits[0]
    is_parked = any(task.parked is not None for task in current.tasks.values())
    return facts.RoundFinished(round=current.round.id, outcome="parked" if is_parked else "finished")


def _cancelled_round_move(current: RoundState) -> Move:
    if any(task.in_flight is not None for task in current.tasks.values()):
        return Wait(reason=f"round {current.round.id} is being cancelled")
    return facts.RoundFinished(round=current.round.id, outcome="cancelled")


def why_no_start(state: State, run: facts.RunIntended | None = None) -> str | None:
    """Why `run` may not start now, or any run when none is named; None when it may."""
    if state.live.stopping is not None:
        return f"the daemon is stopping: {state.live.stopping}"
    if state.draining is not None:
        return f"draining: {state.draining}"
    if state.paused is not None:
        return f"paused: {state.paused}"
    if run is not None and run.device in state.dirty:
        return f"{run.device} is dirty: {state.dirty[run.device]}"
    if state.live.waits:
        return "; ".join(state.live.waits.values())
    full = next((task for task, why in state.live.backing_off.items() if why == "disk"), None)
    if full is not None:
        return f"disk: a run of {full} found no space; free some, the queue goes on by itself"
    if run is not None and not has_room(state, run):
        return "the previous run's process is ending"
    return None
