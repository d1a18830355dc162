"""What happens next? `step(state, event)` gives the state after an event and the actions that follow from it.

Pure: no clock, no file, no process. The daemon records a fact before it steps it, and performs the actions in
order; the facts among them come back here before anything else does.
"""

from __future__ import annotations

from dataclasses import replace

from scheduler.decide import actions as act
from scheduler.decide import events
from scheduler.decide.actions import Action
from scheduler.decide.after_fact import after_fact
from scheduler.decide.after_input import after_input, after_worker
from scheduler.decide.failures import Limits
from scheduler.decide.moves import Wait
from scheduler.decide.plan import next_move
from scheduler.decide.state import (
    Live,
    State,
    Worker,
    fold,
    open_attempts,
)


def step(state: State, event: events.Event, limits: Limits) -> tuple[State, tuple[Action, ...]]:
    """The state after `event`, and what is to be done, in order.

    At most one decision is among the actions, and only when nothing else is to be recorded first, so that
    every decision is made on a state that knows all recorded facts.
    """
    if isinstance(event, events.RoundFact | events.DaemonFact):
        state = _live_after(fold(state, event), event)
        actions = after_fact(state, event, limits)
    else:
        before, state = state, _live_after_input(state, event)
        if isinstance(event, events.WorkerEnded):
            actions = after_worker(before, state, event)
        else:
            actions = after_input(state, event, limits)
    if not any(isinstance(action, act.Record | act.Exit) for action in actions):
        actions += _due(state, limits)
    return state, actions


def _due(state: State, limits: Limits) -> tuple[Action, ...]:
    """The decision that is due, if any; or the end of a daemon that has nothing left to do."""
    if not state.live.is_recovered:
        return ()
    ending = state.live.stopping or state.draining
    if ending is not None and not state.live.workers and not any(open_attempts(state)):
        return (act.Exit(reason=ending),)
    move = next_move(state, limits)
    return () if isinstance(move, Wait) else (act.Record(fact=move),)


def why_nothing_runs(state: State, limits: Limits) -> str | None:
    """The reason, in words; None while a run is under way, or its process is about to make room."""
    if state.live.workers:
        return None
    move = next_move(state, limits)
    return move.reason if isinstance(move, Wait) else None


def is_idle(state: State, limits: Limits) -> bool:
    """Whether nothing at all is left to do."""
    move = next_move(state, limits)
    return isinstance(move, Wait) and move.is_idle and not state.live.workers


def _live_after(state: State, fact: events.Fact) -> State:
    """A run's worker exists from its intent on, and owes only its exit once the run has ended."""
    match fact:
        case events.RunIntended():
            worker = Worker(attempt_id=fact.attempt_id, device=fact.device)
            return _with_worker(state, worker)
        case events.RunFinished():
            return _live_after_run(state, fact)
        case events.DaemonStarted():
            return replace(state, live=Live())
    return state


def _live_after_run(state: State, run: events.RunFinished) -> State:
    if run.attempt_id in state.live.workers:
        worker = state.live.workers[run.attempt_id]
        state = _with_worker(state, replace(worker, is_done=True))
    if run.failure_class == "network":
        backing_off = state.live.backing_off | {f"{run.round}/{run.task}"}
        state = replace(state, live=replace(state.live, backing_off=backing_off))
    return state


def _live_after_input(state: State, event: events.Input) -> State:
    live = state.live
    match event:
        case events.WorkerPrepared() if event.attempt_id in live.workers:
            return _with_worker(state, replace(live.workers[event.attempt_id], prepared=event))
        case events.RunEvaluated() if event.attempt_id in live.workers:
            worker = live.workers[event.attempt_id]
            return _with_worker(state, replace(worker, evaluations=(*worker.evaluations, event)))
        case events.WorkerEnded():
            workers = {k: v for k, v in live.workers.items() if k != event.attempt_id}
            ended = replace(live, workers=workers)
            return replace(state, live=ended)
        case events.GateChanged():
            waits = {k: v for k, v in live.waits.items() if k != event.source}
            if event.wait_reason is not None:
                waits[event.source] = event.wait_reason
            return replace(state, live=replace(live, waits=waits))
        case events.DeadlinePassed(kind="backoff"):
            return replace(state, live=replace(live, backing_off=live.backing_off - {event.attempt_id}))
        case events.ShutdownRequested():
            return replace(state, live=replace(live, stopping=event.reason))
        case events.Recovered():
            return replace(state, live=replace(live, is_recovered=True))
    return state


def _with_worker(state: State, worker: Worker) -> State:
    workers = {**state.live.workers, worker.attempt_id: worker}
    return replace(state, live=replace(state.live, workers=workers))
