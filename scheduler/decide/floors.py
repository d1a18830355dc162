"""What is stored of a task's own baseline? Its values by stage, wherever the protocol would be the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scheduler.decide.baseline_store import family_of
from scheduler.decide.state import State, TaskState
from scheduler.rounds.identity import protocol_of, slot_seed

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


def _protocols(state: State, task: TaskState, stage: str) -> Iterator[str]:
    sizes = (task.bsz,) if task.probed is not None else (task.task.bsz or (None,))
    for device in state.devices.values():
        for bsz in sizes:
            yield protocol_of(task.task, task.budget(stage), bsz, device)
