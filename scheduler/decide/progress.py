"""How far has the daemon come, and why does nothing run? The content of status.json, from the state alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from scheduler.decide.ended import EndedRound, first_open_task, parked_tasks, verdict_counts
from scheduler.decide.forecast import Outlook, forecast_round
from scheduler.decide.plan import why_no_start
from scheduler.decide.state import RoundState, State, Worker, open_attempts
from scheduler.decide.task_state import Attempt, TaskState

#: version of the format of status.json
VERSION = 1
#: ended rounds that are still listed, newest last
ENDED_ROUNDS_SHOWN = 5
#: last evaluations of a run that are told, for a sparkline
EVALUATIONS_SHOWN = 40


def status_of(
    state: State,
    *,
    now: datetime,
    pid: int,
    wait_reason: str | None,
    gpu: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Everything `schedctl status` shows; plain JSON values.

    `wait_reason` is why nothing starts, as the planner says; of a run that is prepared, why it is held back.
    """
    running = [{**run, "held": wait_reason} for run in _running(state)]
    rounds = [_ended(each) for each in _last_ended(state)]
    rounds += [_round(current, running, state) for current in _in_order(state)]
    return {
        "v": VERSION,
        "written_at": now.isoformat(timespec="seconds"),
        "pid": pid,
        "paused": state.paused,
        "draining": state.draining,
        "stopping": state.live.stopping,
        "why": None if running else _why(state, wait_reason),
        "running": running,
        "rounds": rounds,
        "devices": [_device(state, device, gpu) for device in state.devices],
    }


def told_again(status: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """The same status, as a sign of life."""
    return {**status, "written_at": now.isoformat(timespec="seconds")}


def in_a_sentence(status: Mapping[str, Any]) -> str:
    """What of it fits into one line: the runs under way, or why there is none."""
    runs = (
        f"{run['round']}: {run['task']}, {run['stage']} {run['config']} seed {run['seed']}"
        for run in status["running"]
    )
    return "; ".join(runs) or f"nothing runs: {status['why']}"


def _running(state: State) -> Iterator[dict[str, Any]]:
    """Every attempt that has a worker, with its latest evaluation."""
    for current, task, attempt in open_attempts(state):
        worker = state.live.workers.get(attempt.id)
        if worker is not None:
            yield _run(current, task, attempt, worker)


def _run(current: RoundState, task: TaskState, attempt: Attempt, worker: Worker) -> dict[str, Any]:
    intended = attempt.intended
    evaluated = worker.evaluations[-1] if worker.evaluations else None
    last = worker.evaluations[-EVALUATIONS_SHOWN:]
    objective = task.task.objective
    return {
        "round": current.round.id,
        "task": intended.task,
        "stage": intended.stage,
        "config": intended.config,
        "seed": intended.seed,
        "attempt": intended.attempt,
        "device": intended.device,
        "bsz": list(intended.bsz) if isinstance(intended.bsz, tuple) else intended.bsz,
        "phase": "preparing" if attempt.started is None else "training",
        "max_steps": intended.budget.get("max_steps"),
        "time_budget_sec": intended.budget.get("time_budget_sec"),
        "step": evaluated.step if evaluated else None,
        "value": _finite(evaluated.value) if evaluated else None,
        "loss": _finite(evaluated.loss) if evaluated else None,
        "values": [_finite(evaluation.value) for evaluation in last],
        "losses": [_finite(evaluation.loss) for evaluation in last],
        "train_seconds": evaluated.train_seconds if evaluated else None,
        "metric": objective.metric,
        "unit": objective.unit,
        "run_dir": intended.run_dir,
    }


def _finite(number: float | None) -> float | None:
    """JSON has no word for the others."""
    return number if number is not None and math.isfinite(number) else None


def _last_ended(state: State) -> list[EndedRound]:
    """The last few that ended, in order of acceptance."""
    newest_first = (state.ended[name] for name in reversed(state.accepted) if name in state.ended)
    return list(islice(newest_first, ENDED_ROUNDS_SHOWN))[::-1]


def _ended(ended: EndedRound) -> dict[str, Any]:
    return {
        "id": ended.id,
        "title": ended.title,
        "state": ended.outcome,
        "waits_for": [],
        "task": ended.open_task,
        "runs_done": ended.runs_done,
        "runs_least": ended.runs_done,
        "runs_most": ended.runs_done,
        "time_left_seconds": [0, 0],
        "time_left_expected_seconds": 0,
        "parked": list(ended.parked),
        "verdicts": dict(ended.verdicts),
    }


def _in_order(state: State) -> list[RoundState]:
    """Rounds in the order they will run."""
    return sorted(state.rounds.values(), key=lambda current: -current.round.priority)


def _round(current: RoundState, running: list[dict[str, Any]], state: State) -> dict[str, Any]:
    run = next((run for run in running if run["round"] == current.round.id), None)
    forecast = forecast_round(current)
    spent = _spent_seconds(current, run)
    low = max(0.0, forecast.seconds_least - spent)
    return {
        "id": current.round.id,
        "title": current.round.title,
        "state": _round_state(current, run),
        "waits_for": [name for name in current.round.after if name not in state.ended],
        "task": _task_position(current, run),
        "runs_done": forecast.runs_done,
        "runs_least": forecast.runs_done + forecast.runs_least,
        "runs_most": forecast.runs_done + forecast.runs_most,
        "time_left_seconds": [round(low), round(max(low, forecast.seconds_most - spent))],
        "time_left_expected_seconds": round(max(low, forecast.seconds_expected - spent)),
        "parked": list(parked_tasks(current)),
        "verdicts": verdict_counts(current),
    }


def _round_state(current: RoundState, run: Mapping[str, Any] | None) -> str:
    """`waiting`, `running`, or `cancelled` while its last run is being ended."""
    if current.cancelled is not None:
        return "cancelled"
    has_begun = run is not None or any(task.attempts for task in current.tasks.values())
    return "running" if has_begun else "waiting"


def _task_position(current: RoundState, run: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Name and number of the task in hand: the one that runs, else the first that is open."""
    if run is None:
        return first_open_task(current)
    name = run["task"]
    return {"name": name, "number": list(current.tasks).index(name) + 1, "of": len(current.tasks)}


def _spent_seconds(current: RoundState, run: Mapping[str, Any] | None) -> float:
    """What the run under way has done of its expected time."""
    if run is None or run["train_seconds"] is None or run["stage"] not in _stages(current, run):
        return 0.0
    likely = Outlook.of(current.tasks[run["task"]]).likely_seconds(run["stage"])
    return min(float(run["train_seconds"]), likely)


def _stages(current: RoundState, run: Mapping[str, Any]) -> list[str]:
    return [stage.name for stage in current.tasks[run["task"]].task.stages]


def _device(state: State, device: str, gpu: Mapping[str, Any] | None) -> dict[str, Any]:
    about = state.devices[device]
    return {
        "id": about.id,
        "name": about.name,
        "dirty": state.dirty.get(device),
        "gpu": dict(gpu) if gpu is not None and device != "cpu" else None,
    }


def _why(state: State, wait_reason: str | None) -> str:
    """Why nothing runs. There is always a reason."""
    if wait_reason is not None:
        return wait_reason
    held = why_no_start(state)
    if held is not None:
        return held
    if not state.rounds:
        return "the queue is empty"
    return "the next run is being chosen"
