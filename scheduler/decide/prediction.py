"""Which run will most likely be next? The plan is asked as if the run in flight had ended as it looks now."""

from __future__ import annotations

from dataclasses import replace

from scheduler.decide import facts
from scheduler.decide.ending import reported_end
from scheduler.decide.failures import Limits
from scheduler.decide.moves import Wait
from scheduler.decide.plan import next_move
from scheduler.decide.state import PROBE_STAGE, Attempt, Live, State, TaskState, fold, open_attempts
from scheduler.rounds.round import BASELINE

#: decisions between the end of one run and the intent of the next: prune, verdict, task and round end
MOST_DECISIONS = 8
#: share of its steps after which a run's evaluations tell whether it will be promoted
TELLING_SHARE = 0.5


def predicted_run(state: State, limits: Limits) -> facts.RunIntended | None:
    """The run that is intended next if the one in flight ends as it looks now.

    None while nothing is in flight, while its evaluations do not tell yet, and when nothing would start.
    A wrong prediction costs a process, never a result.
    """
    flight = next(iter(open_attempts(state)), None)
    if flight is None:
        return None
    _, task, attempt = flight
    if attempt.started is None or attempt.intended.stage == PROBE_STAGE:
        return None
    value = _likely_value(state, task, attempt)
    if value is None:
        return None
    # What only waits for the run in flight is not waited for here.
    state = replace(state, live=Live(waits=state.live.waits, is_recovered=True))
    state = fold(state, _imagined_end(attempt.intended, value))
    for _ in range(MOST_DECISIONS):
        move = next_move(state, limits)
        if isinstance(move, Wait):
            return None
        if isinstance(move, facts.RunIntended):
            return move if move.stage != PROBE_STAGE else None
        state = fold(state, move)
    return None


def _imagined_end(intended: facts.RunIntended, value: float) -> facts.RunFinished:
    steps = intended.budget["max_steps"] or 1
    result = {"status": "ok", "value": value, "acc": value, "loss": value, "steps": steps}
    return reported_end(intended, {**result, "curve": [[steps, value]]})


def _likely_value(state: State, task: TaskState, attempt: Attempt) -> float | None:
    """Where the run's metric is heading, as far as the next decision depends on it."""
    reference = _reference(task, attempt.intended)
    if reference is None or reference.value is None:
        return 0.0  # a baseline, or nothing to compare with: no decision depends on the value
    if attempt.intended.stage == task.task.stages[-1].name:
        return reference.value  # after the last stage the same follows, whatever the value
    worker = state.live.workers.get(attempt.id)
    seen = reversed(worker.evaluations) if worker is not None else ()
    last = next((evaluation for evaluation in seen if evaluation.value is not None), None)
    steps = attempt.intended.budget["max_steps"]
    if steps is None:
        return _worst(task)
    if last is None or last.value is None or last.step < TELLING_SHARE * steps:
        return None
    at_step = dict(reference.curve).get(last.step)
    return None if at_step is None else reference.value + last.value - at_step


def _worst(task: TaskState) -> float:
    """A value that is pruned: most variants are."""
    return float("-1e30") if task.task.objective.direction == "maximize" else float("1e30")


def _reference(task: TaskState, intended: facts.RunIntended) -> facts.RunFinished | None:
    """The baseline's run that the one in flight will be compared with."""
    if intended.config == BASELINE:
        return None
    for key, attempts in task.attempts.items():
        if (key.config, key.stage, key.seed) == (BASELINE, intended.stage, intended.seed):
            ended = (attempt.finished for attempt in attempts)
            return next((run for run in ended if run is not None and run.status == "ok"), None)
    return None
