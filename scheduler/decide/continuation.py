"""May a run go on from where a shorter one was? Which state is kept for it, and when it is of no more use.

A run goes on only from its own config, seed and batch size at an earlier stage. Whether its trainer can do
that bit for bit is the trainer's to say: what it cannot use it leaves, and begins with its first step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scheduler.decide import facts
from scheduler.decide.facts import PROBE_STAGE
from scheduler.decide.task_state import TaskState
from scheduler.rounds.identity import RunKey
from scheduler.rounds.retention_settings import KeptCheckpoints


def steps_to_keep_for(task: TaskState, stage: str, slot: int) -> int | None:
    """The steps of the longer run that may follow with the same seed; None where none does."""
    if slot >= len(task.task.seeds):
        return None  # such a seed follows from the protocol, and is another at every stage
    own = task.budget(stage).max_steps
    names = [each.name for each in task.task.stages if each.name != "confirm"]
    later = names[names.index(stage) + 1 :] if stage in names else []
    following = task.budget(later[0]).max_steps if later else None
    return following if own is not None and following is not None and following > own else None


def state_to_go_on_from(task: TaskState, key: RunKey, protocols: Mapping[str, str]) -> dict[str, Any] | None:
    """Folder and step of the state that the run may go on from: the one furthest on."""
    names = [each.name for each in task.task.stages]
    for stage in reversed(names[: names.index(key.stage)]):
        for run in _ended(task, RunKey(task=key.task, stage=stage, config=key.config, seed=key.seed)):
            is_current = run.protocol == protocols[stage] and run.bsz == task.bsz
            if run.kept_step is not None and run.cached_from is None and is_current:
                return {"run_dir": run.run_dir, "step": run.kept_step}
    return None


def states_of_no_use(task: TaskState, fact: facts.Fact, kept: KeptCheckpoints = "none") -> tuple[str, ...]:
    """Run folders whose kept state nobody will go on from any more, once `fact` is known.

    Those that a person wants to be `kept` are left out: who is a winner is known when the task is finished.
    """
    if kept == "all":
        return ()
    match fact:
        case facts.RunFinished() | facts.VariantHeld() if kept == "winners":
            return ()
        case facts.RunFinished(inherited_steps=steps, key=key) if steps and not fact.has_failed:
            origin = next((a.intended for a in task.attempts[key] if a.finished == fact), None)
            taken = origin.continue_from if origin is not None else None
            return (str(taken["run_dir"]),) if taken else ()
        case facts.VariantPruned(config=config) | facts.VariantHeld(config=config):
            return tuple(run.run_dir for run in _kept(task, task.keys.get(config, ())))
        case facts.TaskFinished():
            winners = {name for name, reached in task.verdicts.items() if reached.verdict == "WINNER"}
            spared = winners if kept == "winners" else set()
            return tuple(run.run_dir for run in _kept(task, task.attempts) if run.config not in spared)
    return ()


def _kept(task: TaskState, keys: Iterable[RunKey]) -> Iterator[facts.RunFinished]:
    for key in keys:
        if key.stage != PROBE_STAGE:
            kept = (run for run in _ended(task, key) if run.kept_step is not None)
            yield from (run for run in kept if run.cached_from is None)


def _ended(task: TaskState, key: RunKey) -> Iterator[facts.RunFinished]:
    """The ends of a run that went well, the newest first."""
    for attempt in reversed(task.attempts.get(key, ())):
        if attempt.finished is not None and attempt.finished.status == "ok":
            yield attempt.finished
