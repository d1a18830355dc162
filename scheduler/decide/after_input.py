"""What is to be recorded or done about something that was only seen? Workers, specs, requests, deadlines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from scheduler.decide import actions as act
from scheduler.decide import facts, inputs
from scheduler.decide.actions import Action
from scheduler.decide.after_fact import start, start_if_free
from scheduler.decide.ending import blamed_on_device, lost_end, reported_end, unreported_end
from scheduler.decide.failures import Limits
from scheduler.decide.forgetting import forgotten, unlearnt
from scheduler.decide.importing import imported
from scheduler.decide.liveness import alive, going_on
from scheduler.decide.retention import Drop
from scheduler.decide.state import RoundState, State, is_spare, next_place, open_attempt, open_attempts
from scheduler.decide.stopping import after_advice, after_evaluation
from scheduler.decide.task_state import Attempt
from scheduler.decide.xids import stops_the_queue


def after_input(before: State, state: State, event: inputs.Input, limits: Limits) -> tuple[Action, ...]:
    """Facts to record and effects to perform, after `event` has been taken into `state.live`."""
    match event:
        case inputs.WorkerPrepared():
            return start_if_free(state)
        case inputs.RunEvaluated() if event.attempt_id in state.live.workers:
            signs = (alive(event.attempt_id, limits), *going_on(state, event.attempt_id, limits))
            return (*signs, *after_evaluation(state, event))
        case inputs.StopAdvised():
            return after_advice(state, event)
        case inputs.DeadlinePassed():
            return _after_deadline(state, event, limits)
        case inputs.RunResult():
            return _after_result(state, event)
        case inputs.SpecChecked():
            return _after_check(state, event)
        case inputs.RequestMade():
            return _after_request(state, event)
        case inputs.RoundLoaded():
            return _after_load(event)
        case inputs.RoundDamaged(request=request):
            answer = f"round {request.round} cannot be retried: {event.problem}"
            return (act.DiscardRequest(id=request.id, answer=answer),)
        case inputs.TidyDue():
            return (act.PlanTidy(),)
        case inputs.TidyPlanned(drops=drops):
            return tuple(act.Record(fact=fact) for fact in _granted_drops(state, drops))
        case inputs.ShutdownRequested():
            ending = dict.fromkeys(state.live.attempt_ids)  # a spare may be leaving under a worker's name
            return tuple(act.EndWorker(attempt_id=id_, ended_by="shutdown") for id_ in ending)
        case inputs.GateChanged(source="gpu") | inputs.SurvivorsEnded():
            return (*_cleared(state), *start_if_free(state))
        case inputs.XidSeen():
            return _after_xid(before, state, event)
        case inputs.Recovered():
            ends = tuple(act.Record(fact=_recovered(a, event)) for _, _, a in open_attempts(state))
            return (*_dirtied_by_leftovers(state, event), *ends)
    return ()


def _cleared(state: State) -> tuple[Action, ...]:
    """A device is clean when it shows no reason to wait, and nobody of ours hangs on it."""
    if state.live.hanging or "gpu" in state.live.waits:
        return ()
    return tuple(act.Record(fact=facts.GpuCleared(device=device)) for device in state.dirty)


def _dirtied_by_leftovers(state: State, event: inputs.Recovered) -> tuple[Action, ...]:
    """Before anything else is recorded, since an end may lead to the next start."""
    if not event.survivors:
        return ()
    reason = _unkillable(event.survivors, "an earlier daemon")
    devices = (device for device in state.devices if device != "cpu")
    return tuple(act.Record(fact=facts.GpuDirtied(device=device, reason=reason)) for device in devices)


def _after_xid(before: State, state: State, event: inputs.XidSeen) -> tuple[Action, ...]:
    """Tell an error once for each run, and stop the queue where a person has to see to the device."""
    hit = tuple(
        worker.attempt_id
        for worker in state.live.workers.values()
        if worker.xids != before.live.workers[worker.attempt_id].xids
    )
    stops = stops_the_queue(event.xid) and state.paused is None
    is_told = (event.device, event.xid) in before.live.told_xids
    if not (hit or stops or not is_told):
        return ()
    reported = facts.XidReported(device=event.device, xid=event.xid, attempts=hit)
    return (act.Record(fact=reported),)


def after_worker(before: State, state: State, event: inputs.WorkerEnded) -> tuple[Action, ...]:
    """The end of the run, if its worker did not tell it; a device that could not be emptied is dirty."""
    if is_spare(before, event.attempt_id):
        return _after_spare(state, event)
    worker = before.live.workers.get(event.attempt_id)
    actions: tuple[Action, ...] = (act.CancelDeadlines(attempt_id=event.attempt_id),)
    reason = _why_dirty(event)
    if reason is not None and worker is not None and worker.device != "cpu":
        # Before the run's end is recorded, since that end may lead to the next start.
        actions += (act.Record(fact=facts.GpuDirtied(device=worker.device, reason=reason)),)
    attempt = open_attempt(state, event.attempt_id)
    if attempt is not None and worker is not None:
        end = unreported_end(attempt.intended, event, worker.evaluations, worker.ended_for)
        actions += (act.Record(fact=blamed_on_device(end, worker.xids)),)
    return actions + start_if_free(state)


def _after_spare(state: State, event: inputs.WorkerEnded) -> tuple[Action, ...]:
    """A spare leaves nothing behind; a run that waited for its name gets a worker of its own."""
    attempt = open_attempt(state, event.attempt_id)
    forget = act.CancelDeadlines(attempt_id=event.attempt_id)
    return (forget,) if attempt is None else (start(state, attempt.intended),)


def _why_dirty(event: inputs.WorkerEnded) -> str | None:
    if event.survivors:
        return _unkillable(event.survivors, event.attempt_id)
    return event.kept_memory


def _unkillable(pids: tuple[int, ...], owner: str) -> str:
    return (
        f"processes {', '.join(map(str, pids))} of {owner} hang in the kernel and cannot be killed; the queue"
        " goes on once they are gone, at the latest after a reboot"
    )


def _after_deadline(state: State, event: inputs.DeadlinePassed, limits: Limits) -> tuple[Action, ...]:
    if event.kind == "hurry":
        return (act.HurryWorker(attempt_id=event.attempt_id),) if is_spare(state, event.attempt_id) else ()
    if event.attempt_id not in state.live.workers:
        return ()
    match event.kind:
        case "time_budget":
            return (act.EndWorker(attempt_id=event.attempt_id, ended_by="time_budget"),)
        case "prepare" if state.live.workers[event.attempt_id].prepared is not None:
            return ()
        case "prepare":
            reason = f"the run was not prepared within {limits.prepare_timeout_seconds:g} s"
            return (act.EndWorker(attempt_id=event.attempt_id, ended_by="hung", reason=reason),)
        case "heartbeat" | "hung":
            return (act.LookAtWorker(attempt_id=event.attempt_id, kind=event.kind),)
        case "exit":
            return (act.EndWorker(attempt_id=event.attempt_id, ended_by="leftover"),)
    return ()


def _after_result(state: State, event: inputs.RunResult) -> tuple[Action, ...]:
    if is_spare(state, event.attempt_id):
        # It could not prepare. Whatever is wrong is told by the run's own worker, if it comes to that.
        return (act.ReleaseWorker(attempt_id=event.attempt_id),)
    attempt = open_attempt(state, event.attempt_id)
    if attempt is None:
        return ()
    worker = state.live.workers.get(event.attempt_id)
    end = reported_end(attempt.intended, event.result, stop=attempt.stop, oom_kills=event.oom_kills)
    end = blamed_on_device(end, () if worker is None else worker.xids)
    kept = (act.KeepError(run=replace(end, error=event.error_text)),) if event.error_text else ()
    return (*kept, act.Record(fact=end))


def _after_check(state: State, event: inputs.SpecChecked) -> tuple[Action, ...]:
    """Accept a sound spec; the same bytes again are no news, other bytes under the same id are a conflict."""
    if event.problems or event.spec is None:
        return _reject(event, event.problems)
    round_id = event.spec["id"]
    current = state.rounds.get(round_id)
    known = state.ended.get(round_id) if current is None else current.accepted
    if known is None:
        return _accept(state, event, event.spec)
    if known.sha256 == event.sha256:
        is_open = current is not None and current.is_open
        return (
            act.MoveSpec(round=round_id, file=event.file, suffix=known.suffix, to="known", is_open=is_open),
        )
    problem = (
        f"round: a different round {round_id!r} was accepted before (from {known.file});"
        " give this one another id"
    )
    return _reject(event, (problem,))


def _accept(state: State, event: inputs.SpecChecked, spec: Mapping[str, Any]) -> tuple[Action, ...]:
    """The bytes first, then the record that carries their hash; only then is the file moved."""
    accepted = facts.RoundAccepted(
        round=spec["id"],
        sha256=event.sha256,
        file=event.file,
        suffix=event.suffix,
        spec=spec,
        place=next_place(state),
    )
    return (act.KeepSpec(accepted=accepted), act.Record(fact=accepted))


def _reject(event: inputs.SpecChecked, problems: tuple[str, ...]) -> tuple[Action, ...]:
    rejected = facts.SpecRejected(file=event.file, sha256=event.sha256, problems=problems)
    return (act.Record(fact=rejected), act.RejectSpec(rejected=rejected))


def _after_request(state: State, event: inputs.RequestMade) -> tuple[Action, ...]:
    """The facts a request leads to, and the answer to the person who made it."""
    ended = state.ended.get(event.round or "")
    if event.verb == "retry" and ended is not None and ended.outcome != "cancelled":
        return (act.LoadRound(request=event, round=ended.id),)
    if event.verb == "tidy":
        answer = "looking for what may go; TIDY in launcher.log tells what does"
        return (act.PlanTidy(is_hurried=True), act.DiscardRequest(id=event.id, answer=answer))
    granted, answer = _granted(state, event)
    return (*(act.Record(fact=fact) for fact in granted), act.DiscardRequest(id=event.id, answer=answer))


def _granted_drops(state: State, drops: tuple[Drop, ...]) -> Iterator[facts.RunFilesDropped]:
    """What was planned, of rounds that are still over: a person may have retried one meanwhile."""
    for drop in drops:
        ended = state.ended.get(drop.round)
        if ended is not None and ended.outcome != "parked":
            yield facts.RunFilesDropped(**asdict(drop))


def _granted(state: State, event: inputs.RequestMade) -> tuple[tuple[facts.Fact, ...], str]:
    reason = event.reason or "by request"
    match event.verb:
        case "pause":
            return (facts.QueuePaused(reason=reason),), "paused"
        case "resume":
            cleared = tuple(facts.GpuCleared(device=device) for device in state.dirty)
            return (*cleared, facts.QueueResumed()), "resumed"
        case "drain":
            return (facts.DrainStarted(reason=reason),), "draining"
        case "import":
            return imported(state.lessons, event.lessons)
        case "forget":
            return forgotten(state, event)
        case "unlearn":
            return unlearnt(state, event)
    current = state.rounds.get(event.round or "")
    if current is None and event.round not in state.ended:
        return (), f"no round is called {event.round!r}"
    if event.verb == "cancel":
        if current is None or not current.is_open:
            return (), f"round {event.round} has already ended"
        return (facts.RoundCancelled(round=current.round.id, reason=reason),), "cancelled"
    if current is None or current.cancelled is not None:
        return (), f"round {event.round} was cancelled; submit it under another id"
    retried = retried_tasks(current, event)
    return retried, _retry_answer(retried)


def retried_tasks(current: RoundState, event: inputs.RequestMade) -> tuple[facts.TaskRetried, ...]:
    """The task that is to be retried, or every one that a retry would change."""
    wanted = [event.task] if event.task else [name for name, t in current.tasks.items() if t.can_be_retried]
    return tuple(
        facts.TaskRetried(round=current.round.id, task=name) for name in wanted if name in current.tasks
    )


def _retry_answer(retried: tuple[facts.TaskRetried, ...]) -> str:
    return f"retrying {', '.join(fact.task for fact in retried)}" if retried else "nothing to retry"


def _after_load(event: inputs.RoundLoaded) -> tuple[Action, ...]:
    """A retry of an ended round, now that all of it is known. It stays ended where nothing is retried."""
    retried = retried_tasks(event.current, event.request)
    answered = act.DiscardRequest(id=event.request.id, answer=_retry_answer(retried))
    if not retried:
        return (act.UnloadRound(round=event.current.round.id), answered)
    return (*(act.Record(fact=fact) for fact in retried), answered)


def _recovered(attempt: Attempt, event: inputs.Recovered) -> facts.RunFinished:
    """A run that was in flight when the daemon ended: its result if it left one, else it is lost."""
    if attempt.id in event.results:
        result = event.results[attempt.id]
        return reported_end(attempt.intended, result, stop=attempt.stop, is_recovered=True)
    return lost_end(attempt.intended, event.wall_seconds.get(attempt.id))
