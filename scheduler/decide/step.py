"""What happens next? `step(state, event)` gives the state after an event and the actions that follow from it.

Pure: no clock, no file, no process. The daemon records a fact before it steps it, and performs the actions in
order; the facts among them come back here before anything else does.
"""

from __future__ import annotations

from dataclasses import replace

from scheduler.decide import actions as act
from scheduler.decide import facts, inputs
from scheduler.decide.actions import Action
from scheduler.decide.after_fact import after_fact, deadline, release, start
from scheduler.decide.after_input import after_input, after_worker, retried_tasks
from scheduler.decide.failures import Limits, wait_before_next_try
from scheduler.decide.liveness import Reading, after_reading, has_worked
from scheduler.decide.moves import Wait
from scheduler.decide.plan import next_move
from scheduler.decide.prediction import is_last_evaluation, predicted_run, seconds_to_stand_back
from scheduler.decide.room import holder, why_held
from scheduler.decide.state import (
    Live,
    Spare,
    State,
    Worker,
    fold,
    is_spare,
    open_attempts,
    with_gate,
    with_loaded,
    without_backoff,
)

#: results that are looked up ahead of their turn
MOST_FETCHED = 16


def step(state: State, event: inputs.Event, limits: Limits) -> tuple[State, tuple[Action, ...]]:
    """The state after `event`, and what is to be done, in order.

    At most one decision is among the actions, and only when nothing else is to be recorded first, so that
    every decision is made on a state that knows all recorded facts.
    """
    if isinstance(event, facts.RoundFact | facts.DaemonFact | facts.LedgerFact):
        before, state = state, _live_after(_told(fold(state, event)), event, limits)
        actions = after_fact(before, state, event, limits)
    else:
        before, state = state, _live_after_input(state, event, limits)
        if isinstance(event, inputs.WorkerEnded):
            actions = after_worker(before, state, event)
        elif isinstance(event, Reading):
            actions = after_reading(before, state, event, limits)
        else:
            actions = after_input(before, state, event, limits)
    is_told_all = state.live.unrecorded == 0
    if is_told_all and not any(isinstance(action, act.Record | act.Exit) for action in actions):
        actions += _due(state, limits)
    actions += _ahead(before, state, event, limits)
    is_settled = not any(isinstance(action, act.Record | act.FetchResult) for action in actions)
    if is_told_all and is_settled and state.live.fetching is None:
        actions += _releases(state)  # what is decided is decided: no run goes on in those any more
    return _live_after_actions(state, actions), actions


def _due(state: State, limits: Limits) -> tuple[Action, ...]:
    """The decision that is due, if any; or the end of a daemon that has nothing left to do."""
    if not state.live.is_recovered:
        return ()
    ending = state.live.stopping or state.draining
    if ending is not None and not state.live.attempt_ids and not any(open_attempts(state)):
        return (act.Exit(reason=ending),)
    move = next_move(state, limits)
    if isinstance(move, act.FetchResult):
        return () if state.live.fetching is not None else (move,)
    if not isinstance(move, Wait):
        return (act.Record(fact=move),)
    spare = state.live.spare
    if spare is not None and not spare.is_leaving and not state.live.workers:
        return (act.ReleaseWorker(attempt_id=spare.attempt_id),)  # nothing is about to need it
    return ()


def _ahead(before: State, state: State, event: inputs.Event, limits: Limits) -> tuple[Action, ...]:
    """Prepare the run that will most likely be next; give up one that no longer is."""
    telling = inputs.GateOpened | facts.StopDecided | inputs.RunEvaluated | inputs.ResultFetched
    has_left = isinstance(event, inputs.WorkerEnded) and is_spare(before, event.attempt_id)
    if not limits.prepare_ahead or not (has_left or isinstance(event, telling)):
        return ()
    if isinstance(event, inputs.RunEvaluated) and is_last_evaluation(state, event):
        return ()  # its end is about to be heard, and must not wait
    predicted, spare = predicted_run(state, limits), state.live.spare
    if isinstance(predicted, act.FetchResult):
        has_room = state.live.fetching is None and len(state.live.fetched) < MOST_FETCHED
        return (predicted,) if has_room else ()
    known = before.live.spare if has_left else spare  # whatever made it leave, it is not made again at once
    if predicted is None or (known is not None and known.intended == predicted):
        return ()
    if spare is None:
        hurry = deadline(predicted.attempt_id, "hurry", seconds_to_stand_back(state))
        return (act.PrepareAhead(start=start(state, predicted)), hurry)
    return () if spare.is_leaving else (act.ReleaseWorker(attempt_id=spare.attempt_id),)


def _releases(state: State) -> tuple[Action, ...]:
    """Let go of workers that have done their run."""
    done = (worker for worker in state.live.workers.values() if worker.is_done and not worker.is_leaving)
    return tuple(action for worker in done for action in release(worker.attempt_id))


def _live_after_actions(state: State, actions: tuple[Action, ...]) -> State:
    """Spare and workers as the actions leave them, made or told to go; what is being looked up, and how much
    is still to be recorded.
    """
    spare, workers, fetching = state.live.spare, dict(state.live.workers), state.live.fetching
    unrecorded = state.live.unrecorded
    for action in actions:
        match action:
            case act.Record():
                unrecorded += 1
            case act.FetchResult():
                fetching = action
            case act.PrepareAhead(start=started):
                spare = Spare(intended=started.intended)
            case act.ReleaseWorker(attempt_id=attempt_id) if spare and spare.attempt_id == attempt_id:
                spare = replace(spare, is_leaving=True)
            case act.ReleaseWorker(attempt_id=attempt_id) if attempt_id in workers:
                workers[attempt_id] = replace(workers[attempt_id], is_leaving=True)
            case act.EndWorker(attempt_id=attempt_id, reason=reason) if reason and attempt_id in workers:
                workers[attempt_id] = replace(workers[attempt_id], ended_for=reason)
    has_more = fetching is not state.live.fetching or unrecorded != state.live.unrecorded
    if spare is state.live.spare and workers == state.live.workers and not has_more:
        return state
    return replace(
        state,
        live=replace(state.live, spare=spare, workers=workers, fetching=fetching, unrecorded=unrecorded),
    )


def why_nothing_runs(state: State, limits: Limits) -> str | None:
    """The reason, in words; None while a run is under way, or its process is about to make room."""
    if state.live.workers:
        return _why_gate_is_closed(state)
    move = next_move(state, limits)
    return move.reason if isinstance(move, Wait) else None


def _why_gate_is_closed(state: State) -> str | None:
    """Why the run that is prepared does not begin; None where none is, or another one trains."""
    reason = None
    for _, _, attempt in open_attempts(state):
        worker = state.live.workers.get(attempt.id)
        if attempt.started is not None or worker is None or worker.prepared is None:
            return None
        reason = why_held(state, worker.device)
    return reason


def is_idle(state: State, limits: Limits) -> bool:
    """Whether nothing at all is left to do."""
    move = next_move(state, limits)
    return isinstance(move, Wait) and move.is_idle and not state.live.attempt_ids


def _told(state: State) -> State:
    """One fact less is still to be recorded; the first one of a daemon was asked for by nobody."""
    left = state.live.unrecorded
    return state if left == 0 else replace(state, live=replace(state.live, unrecorded=left - 1))


def _live_after(state: State, fact: facts.Fact, limits: Limits) -> State:
    """A run's worker exists from its intent on, and owes only its exit once the run has ended."""
    match fact:
        case facts.RunIntended():
            return _live_after_intent(state, fact)
        case facts.RunFinished():
            return _live_after_run(state, fact, limits)
        case facts.TaskRetried():
            return without_backoff(state, lambda task, why: task == f"{fact.round}/{fact.task}")
        case facts.QueueResumed():
            return without_backoff(state, lambda task, why: why == "disk")
        case facts.RoundFinished() if state.live.fetched:
            # what was looked up for it and not taken is of no use any more
            return replace(state, live=replace(state.live, fetched={}))
        case facts.DaemonStarted():
            return replace(state, live=Live(waits=state.live.waits))
    return state


def _live_after_intent(state: State, fact: facts.RunIntended) -> State:
    """The spare becomes the run's worker when it was made for exactly this run; else the worker that still
    holds the state to go on from.
    """
    spare = state.live.spare
    worker = Worker(attempt_id=fact.attempt_id, device=fact.device)
    if spare is not None and spare.intended == fact and not spare.is_leaving:
        worker = replace(worker, prepared=spare.prepared, is_prepared_ahead=True)
        state = replace(state, live=replace(state.live, spare=None))
    elif (before := holder(state, fact)) is not None:
        worker = replace(worker, made_for=before.made_for or before.attempt_id)
        others = {id_: other for id_, other in state.live.workers.items() if other is not before}
        state = replace(state, live=replace(state.live, workers=others))
    return _with_worker(state, worker)


def _live_after_run(state: State, run: facts.RunFinished, limits: Limits) -> State:
    if run.attempt_id in state.live.workers:
        worker = state.live.workers[run.attempt_id]
        holds = f"{run.round}/{run.run_dir}" if run.status == "ok" and run.kept_step is not None else None
        state = _with_worker(state, replace(worker, is_done=True, holds=holds))
    if run.content_key in state.live.fetched:
        fetched = {key: found for key, found in state.live.fetched.items() if key != run.content_key}
        state = replace(state, live=replace(state.live, fetched=fetched))
    if wait_before_next_try(state.rounds[run.round].tasks[run.task], run, limits) is not None:
        backing_off = {**state.live.backing_off, f"{run.round}/{run.task}": run.failure_class or ""}
        state = replace(state, live=replace(state.live, backing_off=backing_off))
    return state


def _live_after_input(state: State, event: inputs.Input, limits: Limits) -> State:
    live = state.live
    match event:
        case inputs.WorkerBeat() | inputs.WorkerLookedAt() if has_worked(state, event, limits):
            worker = live.workers[event.attempt_id]
            return _with_worker(state, replace(worker, cpu_seconds=event.cpu_seconds or 0.0))
        case inputs.WorkerPrepared() if live.spare is not None and is_spare(state, event.attempt_id):
            return replace(state, live=replace(live, spare=replace(live.spare, prepared=event)))
        case inputs.WorkerEnded() if is_spare(state, event.attempt_id):
            return replace(state, live=replace(live, spare=None))
        case inputs.WorkerPrepared() if event.attempt_id in live.workers:
            return _with_worker(state, replace(live.workers[event.attempt_id], prepared=event))
        case inputs.RunEvaluated() if event.attempt_id in live.workers:
            worker = live.workers[event.attempt_id]
            return _with_worker(state, replace(worker, evaluations=(*worker.evaluations, event)))
        case inputs.RunResult() if event.attempt_id in live.workers and event.result["status"] != "failed":
            worker = live.workers[event.attempt_id]
            return _with_worker(state, replace(worker, free_memory_mib=event.free_memory_mib))
        case inputs.WorkerEnded():
            workers = {k: v for k, v in live.workers.items() if k != event.attempt_id}
            ended = replace(live, workers=workers, hanging=live.hanging.union(event.survivors))
            return replace(state, live=ended)
        case inputs.SurvivorsEnded():
            return replace(state, live=replace(live, hanging=live.hanging.difference(event.pids)))
        case inputs.RoundLoaded() if retried_tasks(event.current, event.request):
            return with_loaded(state, event.current)
        case inputs.ResultFetched(run=None):
            spoiled = live.spoiled | {(event.round, event.content_key)}
            return replace(state, live=replace(live, fetching=None, spoiled=spoiled))
        case inputs.ResultFetched():
            fetched = {**live.fetched, event.content_key: event}
            return replace(state, live=replace(live, fetching=None, fetched=fetched))
        case inputs.GateChanged():
            return with_gate(state, event)
        case inputs.XidSeen():
            return _with_xid(state, event)
        case inputs.DeadlinePassed(kind="backoff"):
            return without_backoff(state, lambda task, why: task == event.attempt_id)
        case inputs.ShutdownRequested():
            return replace(state, live=replace(live, stopping=event.reason))
        case inputs.Recovered():
            hanging = live.hanging.union(event.survivors)
            return replace(state, live=replace(live, is_recovered=True, hanging=hanging))
    return state


def _with_xid(state: State, event: inputs.XidSeen) -> State:
    """The runs that train on the device know of the error."""
    told = state.live.told_xids | {(event.device, event.xid)}
    state = replace(state, live=replace(state.live, told_xids=told))
    for _, _, attempt in open_attempts(state):
        worker = state.live.workers.get(attempt.id)
        if worker is None or attempt.started is None or worker.device != event.device:
            continue
        if event.xid not in worker.xids:
            state = _with_worker(state, replace(worker, xids=(*worker.xids, event.xid)))
    return state


def _with_worker(state: State, worker: Worker) -> State:
    workers = {**state.live.workers, worker.attempt_id: worker}
    return replace(state, live=replace(state.live, workers=workers))
