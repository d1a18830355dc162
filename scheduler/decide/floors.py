"""What of a task ran before? Its baseline's values by stage, and runs it need not make again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from policies.steps import PossibleRun
from scheduler.decide.baseline_store import family_of
from scheduler.decide.failures import Limits
from scheduler.decide.state import State
from scheduler.decide.task_results import TaskResults
from scheduler.decide.task_state import TaskState
from scheduler.rounds.identity import Device, protocol_of, slot_seed
from scheduler.rounds.round import BASELINE

#: further slots of a baseline hardly ever run
SLOTS_LOOKED_AT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBaseline:
    """The runs of a task's baseline at one stage that later rounds may reuse."""

    stage: str
    protocol: str
    #: the objective's metric, raw, by seed
    values: Mapping[int, float]


def stored_baseline(state: State, task: TaskState, stage: str) -> StoredBaseline | None:
    """What is stored for `stage` on the home's device; None when there is nothing.

    Where a batch size is still to be probed, the first of the list that was ever used counts.
    """
    for protocol in _protocols(state, task, stage):
        family = family_of(protocol, task.task.baseline.config, task.task.objective.metric)
        values = state.baselines.values(family)
        if values:
            return StoredBaseline(stage=stage, protocol=protocol, values=values)
    return None


def stored_slots(state: State, task: TaskState) -> frozenset[tuple[str, int]]:
    """Stage and slot of every run of the task's baseline that need not run again."""
    found = set()
    for stage in task.task.stages:
        stored = stored_baseline(state, task, stage.name)
        if stored is not None:
            seeds = (slot_seed(task.task.seeds, slot, stored.protocol) for slot in range(SLOTS_LOOKED_AT))
            found |= {(stage.name, slot) for slot, seed in enumerate(seeds) if seed in stored.values}
    return frozenset(found)


def earlier_runs(state: State, task: TaskState, runs: Iterable[PossibleRun]) -> frozenset[PossibleRun]:
    """Those of `runs` that an earlier round has made, and that are taken from there.

    Of candidates that nobody knows yet, none is counted.
    """
    names = {BASELINE, *(variant.name for variant in task.task.variants)}
    known = list(_results(state, task))
    return frozenset(
        run for run in runs if run.config in names and any(_has_run(results, task, run) for results in known)
    )


def equal_task(state: State, task: TaskState) -> str | None:
    """The <round>/<task> of an earlier task that is equal in all that its decisions depend on."""
    for results in _results(state, task):
        begun = results.beginning(results.signature())
        if begun is not None:
            return f"{begun.round}/{begun.task}"
    return None


def _results(state: State, task: TaskState) -> Iterator[TaskResults]:
    """What earlier rounds have of it, wherever it would run."""
    stages = [stage.name for stage in task.task.stages]
    for device, bsz in _places(state, task):
        yield TaskResults(
            state=state,
            task=task,
            device=device,
            protocols={stage: protocol_of(task.task, task.budget(stage), bsz, device) for stage in stages},
            limits=Limits(),
        )


def _has_run(results: TaskResults, task: TaskState, run: PossibleRun) -> bool:
    seed = slot_seed(task.task.seeds, run.slot, results.protocols[run.stage])
    return results.shelf_of(run.config, run.stage, seed) is not None


def _protocols(state: State, task: TaskState, stage: str) -> Iterator[str]:
    for device, bsz in _places(state, task):
        yield protocol_of(task.task, task.budget(stage), bsz, device)


def _places(state: State, task: TaskState) -> Iterator[tuple[Device, int | None]]:
    """Where it would run: the home's device, with the batch size in force or those still to be probed."""
    sizes = (task.bsz,) if task.probed is not None else (task.task.bsz or (None,))
    for device in state.devices.values():
        yield from ((device, bsz) for bsz in sizes)
