"""How are batch size and steps frozen for a task? By its own probe or an equal task's, or at once."""

from __future__ import annotations

from dataclasses import asdict, replace

from scheduler.decide import facts
from scheduler.decide.facts import PROBE_CONFIG, PROBE_STAGE
from scheduler.decide.failures import Again, InFlight, Limits, LowerBatch, Over, Park, standing
from scheduler.decide.fixes import remedy_for
from scheduler.decide.moves import Move, Wait, how_it_failed, parked
from scheduler.decide.task_results import TaskResults
from scheduler.decide.task_state import TaskState
from scheduler.rounds.identity import Device, RunKey, run_folder
from scheduler.rounds.round import Task

#: a probe may take this long, or as long as the task's longest stage
PROBE_SECONDS = 600.0


def probe_move(
    round_id: str, task: TaskState, device: Device, limits: Limits, results: TaskResults
) -> Move | None:
    """The next fact on the way to frozen batch size and steps; None when the spec has fixed both."""
    uncalibrated = has_uncalibrated_stages(task.task)
    if len(task.task.bsz) <= 1 and not uncalibrated:
        return None
    if device.id == "cpu" and not uncalibrated:
        return facts.TaskProbed(
            round=round_id, task=task.task.name, bsz=task.task.bsz[0], reason="the CPU takes the first"
        )
    key = RunKey(task=task.task.name, stage=PROBE_STAGE, config=PROBE_CONFIG, seed=0)
    signature = results.probe_signature()
    earlier = results.probed(signature) if key not in task.attempts else None
    if earlier is not None:
        source = f"{earlier.round}/{earlier.task}"
        return replace(earlier, round=round_id, task=task.task.name, taken_from=source)
    match standing(task, task.counted(key), len(task.attempts.get(key, ())), limits):
        case Again(attempt=attempt):
            return _intended(round_id, task, key, attempt, device)
        case InFlight(attempt=in_flight):
            return Wait(reason=f"running {in_flight.id}")
        case Over(run=run) if run.status == "ok":
            return _probed(run, signature)
        case Over(run=run):
            return parked(run, f"the probe {how_it_failed(run)}", "see error.txt of the probe, then retry")
        case Park(run=run, remedy=remedy):
            return parked(run, f"the probe {how_it_failed(run)}", remedy_for(task.task, run, remedy))
        case LowerBatch():
            raise AssertionError("a probe lowers the batch size itself")


def has_uncalibrated_stages(task: Task) -> bool:
    """Whether a stage's budget is given in seconds only, where steps mean something to the trainer."""
    return task.has_steps and any(stage.budget.max_steps is None for stage in task.stages)


def _intended(round_id: str, task: TaskState, key: RunKey, attempt: int, device: Device) -> facts.RunIntended:
    longest = max(stage.budget.time_budget_sec for stage in task.task.stages)
    return facts.RunIntended(
        round=round_id,
        **asdict(key),
        attempt=attempt,
        slot=0,
        device=device.id,
        bsz=task.bsz,
        budget={
            "max_steps": None,
            "time_budget_sec": max(PROBE_SECONDS, longest),
            "eval_every": None,
            "n_eval": None,
        },
        protocol="",
        content_key="",
        run_dir=run_folder(key, attempt),
    )


def _probed(run: facts.RunFinished, signature: str) -> facts.TaskProbed:
    prefix = "max_steps."
    return facts.TaskProbed(
        round=run.round,
        task=run.task,
        bsz=run.bsz,
        max_steps={
            name.removeprefix(prefix): int(steps)
            for name, steps in run.extra.items()
            if name.startswith(prefix)
        },
        reason="the largest that fits" if run.bsz else "calibrated",
        peak_memory_mib=run.peak_memory_mib,
        seconds_per_step=run.extra.get("seconds_per_step"),
        signature=signature,
    )
