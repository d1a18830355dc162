"""Which effects follow from a recorded fact? Processes, gates, deadlines, files and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from scheduler.decide import actions as act
from scheduler.decide import facts, inputs
from scheduler.decide.actions import Action
from scheduler.decide.continuation import states_of_no_use
from scheduler.decide.facts import PROBE_STAGE
from scheduler.decide.failures import Limits, wait_before_next_try
from scheduler.decide.inputs import DeadlineKind
from scheduler.decide.moves import first_line
from scheduler.decide.result_cache import part_of
from scheduler.decide.room import has_room, holder, why_held
from scheduler.decide.state import State, open_attempt
from scheduler.decide.xids import kind_of, remedy, stops_the_queue, words_of
from scheduler.rounds.round import Task

#: what a worker that has finished may take to exit
EXIT_SECONDS = 10.0


def after_fact(before: State, state: State, fact: facts.Fact, limits: Limits) -> tuple[Action, ...]:
    """Effects that `fact`, already folded into `state`, calls for."""
    return (*_effects(before, state, fact, limits), *_dropped_states(state, fact, limits))


def _dropped_states(state: State, fact: facts.Fact, limits: Limits) -> tuple[Action, ...]:
    name = getattr(fact, "task", None)
    if not isinstance(fact, facts.RoundFact) or name is None:
        return ()
    run_dirs = states_of_no_use(state.rounds[fact.round].tasks[name], fact, limits.keep_checkpoints)
    return (act.DropStates(round=fact.round, run_dirs=run_dirs),) if run_dirs else ()


def _effects(before: State, state: State, fact: facts.Fact, limits: Limits) -> tuple[Action, ...]:
    match fact:
        case facts.RoundAccepted():
            return (act.MoveSpec(round=fact.round, file=fact.file, suffix=fact.suffix, to="active"),)
        case facts.RunIntended():
            return (
                *_make_worker(before, state, fact),
                deadline(fact.attempt_id, "heartbeat", limits.heartbeat_timeout_seconds),
                deadline(fact.attempt_id, "prepare", limits.prepare_timeout_seconds),
            )
        case facts.GpuCleared():
            return start_if_free(state)
        case facts.XidReported() if stops_the_queue(fact.xid) and state.paused is None:
            reason = f"{fact.device} reported {words_of(fact.xid)}; {remedy(fact.device)}"
            return (act.Record(fact=facts.QueuePaused(reason=reason)),)
        case facts.RunStarted():
            return _open_gate(state, fact, limits)
        case facts.StopDecided(is_audit=False):
            return (act.StopRun(attempt_id=fact.attempt_id, reason=f"{fact.rule}: {fact.reason}"),)
        case facts.RunFinished():
            return _after_run(state, fact, limits)
        case facts.RoundCancelled():
            return tuple(
                act.EndWorker(attempt_id=worker.attempt_id, ended_by="cancelled")
                for worker in state.live.workers.values()
                if worker.attempt_id.startswith(f"{fact.round}/") and not worker.is_done
            )
        case facts.TaskParked() | facts.TaskFinished():
            return (act.WriteReport(round=fact.round),)
        case facts.RoundFinished():
            ended = state.ended[fact.round]
            return (
                act.WriteReport(round=fact.round),
                act.MoveSpec(round=fact.round, file=ended.file, suffix=ended.suffix, to="done"),
                act.CloseRecords(ended=ended, results=part_of(before.rounds[fact.round])),
                act.PlanTidy(),
            )
        case facts.RunFilesDropped():
            return (act.DropRunFiles(dropped=fact),)
    return ()


def _make_worker(before: State, state: State, fact: facts.RunIntended) -> tuple[Action, ...]:
    """The prepared worker where the prediction was right, or the one that has done the run before; else a new
    one, once the name is free.
    """
    spare, done = before.live.spare, holder(before, fact)
    if done is not None:
        # What is prepared ahead may well follow after this one.
        return (act.ContinueWorker(attempt_id=done.attempt_id, start=start(state, fact)),)
    if spare is None:
        return (start(state, fact),)
    if state.live.spare is None:  # it was taken for this run
        return (act.HurryWorker(attempt_id=fact.attempt_id), *start_if_free(state))
    release = () if spare.is_leaving else (act.ReleaseWorker(attempt_id=spare.attempt_id),)
    # A spare of the same name, for a run that changed meanwhile, has to be gone before.
    return release if spare.attempt_id == fact.attempt_id else (*release, start(state, fact))


def start_if_free(state: State) -> tuple[Action, ...]:
    """Record the start of a prepared worker, once there is room for it on its device."""
    for worker in state.live.workers.values():
        attempt = open_attempt(state, worker.attempt_id)
        if worker.prepared is None or attempt is None or attempt.started is not None:
            continue
        if why_held(state, worker.device) is not None or not has_room(state, attempt.intended):
            continue
        if state.live.stopping is not None or not state.rounds[attempt.intended.round].is_open:
            continue  # it is being ended
        started = facts.RunStarted(
            round=attempt.intended.round,
            **asdict(attempt.intended.key),
            attempt=attempt.intended.attempt,
            device=worker.device,
            pid=worker.prepared.pid,
            start_time=worker.prepared.start_time,
            boot_id=worker.prepared.boot_id,
            start_ticks=worker.prepared.start_ticks,
            is_prepared_ahead=worker.is_prepared_ahead,
            made_for=worker.made_for,
        )
        return (act.Record(fact=started),)
    return ()


def start(state: State, intended: facts.RunIntended) -> act.StartWorker:
    """A worker of its own for a run."""
    task = state.rounds[intended.round].tasks[intended.task].task
    is_probe = intended.stage == PROBE_STAGE
    config = _config_of(task, intended)
    return act.StartWorker(intended=intended, task=task, config=config, is_probe=is_probe)


def _config_of(task: Task, intended: facts.RunIntended) -> Mapping[str, Any]:
    """The arguments an attempt is prepared with; a probe takes the costliest."""
    name = task.costliest if intended.stage == PROBE_STAGE else intended.config
    return task.variant(name).config


def _open_gate(state: State, started: facts.RunStarted, limits: Limits) -> tuple[Action, ...]:
    task = state.rounds[started.round].tasks[started.task]
    intended = task.attempts[started.key][-1].intended
    seconds = float(intended.budget["time_budget_sec"]) + limits.kill_margin_seconds
    return (
        act.OpenGate(started=started, intended=intended, config=_config_of(task.task, intended)),
        deadline(started.attempt_id, "time_budget", seconds),
        *hung_deadline(started.attempt_id, limits),
    )


def _after_run(state: State, run: facts.RunFinished, limits: Limits) -> tuple[Action, ...]:
    actions: tuple[Action, ...] = ()
    if run.attempt_id in state.live.workers:
        actions = (act.CancelDeadlines(attempt_id=run.attempt_id),)
    if run.error is not None:
        actions += (act.KeepError(run=run),)
    wait = wait_before_next_try(state.rounds[run.round].tasks[run.task], run, limits)
    if wait is not None:
        actions += (deadline(f"{run.round}/{run.task}", "backoff", wait),)
    if is_failure_of_device(run) and state.paused is None:
        actions += (act.Record(fact=facts.QueuePaused(reason=_gpu_failure(run))),)
    if run.stage != PROBE_STAGE:
        actions += (act.WriteReport(round=run.round, is_live=True),)
    return actions


def is_failure_of_device(run: facts.RunFinished) -> bool:
    """Whether the run failed for its GPU, and the next one would too."""
    return run.failure_class == "gpu" and run.device != "cpu" and not _is_passing(run)


def _is_passing(run: facts.RunFinished) -> bool:
    """Whether the driver told why the device failed, and that it is sound for the next run."""
    kinds = {kind_of(xid) for xid in run.xids}
    return "restart" in kinds and "device" not in kinds


def release(attempt_id: str) -> tuple[Action, ...]:
    """Tell a worker that has done its run to go, and see that it does."""
    return (act.ReleaseWorker(attempt_id=attempt_id), deadline(attempt_id, "exit", EXIT_SECONDS))


def deadline(attempt_id: str, kind: DeadlineKind, seconds: float) -> act.SetDeadline:
    """A deadline of `kind` for an attempt, replacing the one before."""
    event = inputs.DeadlinePassed(attempt_id=attempt_id, kind=kind)
    return act.SetDeadline(key=f"{kind}:{attempt_id}", seconds=seconds, event=event)


def hung_deadline(attempt_id: str, limits: Limits) -> tuple[Action, ...]:
    """So long a run may neither evaluate nor compute; for ever where nobody sets a limit."""
    seconds = limits.hung_timeout_seconds
    return (deadline(attempt_id, "hung", seconds),) if seconds > 0 else ()


def _gpu_failure(run: facts.RunFinished) -> str:
    message = first_line(run.error)[:300]
    todo = "look at it with `schedctl doctor`, then `schedctl resume`"
    return f"the GPU failed in {run.attempt_id}: {message}; {todo}"
