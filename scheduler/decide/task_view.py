"""How does a task look to its policy? Runs that are over, and what was decided about them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from policies._assessment import Ledger
from policies._marks import Marks
from policies.evidence import Observation
from policies.steps import ConfirmSet, Decided, TaskView
from scheduler.decide import facts
from scheduler.decide.facts import PROBE_STAGE
from scheduler.decide.task_state import TaskState, observation
from scheduler.rounds.identity import RunKey
from scheduler.rounds.round import BASELINE

Value = TypeVar("Value")

_DECIDED: dict[type[facts.VariantFact], Decided] = {
    facts.VariantPruned: "pruned",
    facts.VariantPromoted: "promoted",
    facts.VariantHeld: "held",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsOver:
    """The runs of a task that are over, in the protocols of now."""

    #: by stage
    protocols: Mapping[str, str]
    #: the end of a run that is over; None for any other
    end_of: Callable[[RunKey], facts.RunFinished | None]
    #: variants by stage and slot
    places: Mapping[tuple[str, int], int]
    #: what `end_of` depends on beside the runs themselves
    known_by: Hashable = None


def task_view(
    task: TaskState, over: RunsOver, stored: Mapping[str, Mapping[int, float]] | None = None
) -> TaskView:
    """The view that holds the runs `over`, and what was decided in their protocols.

    What was decided under another driver or version no longer counts, like its runs. Of the baselines that
    were stored when the task began, those count that are still `stored`, by stage; all when None.
    """
    protocols = over.protocols
    frozen = task.confirm_set
    if frozen is not None and frozen.protocol not in protocols.values():
        frozen = None
    return TaskView(
        objective=task.task.objective,
        stages=tuple(stage.name for stage in task.task.stages),
        listed_seeds=len(task.task.seeds),
        examples={
            stage.name: stage.independent_examples for stage in task.task.stages if stage.independent_examples
        },
        baseline=_observations(task, over, BASELINE),
        variants=_ReadWhenAsked(task.task.names, functools.partial(_observations, task, over)),
        decisions=_ReadWhenAsked(task.decisions, functools.partial(_decisions, task, protocols)),
        ledger=Ledger() if task.begun is None else task.begun.ledger,
        stored=_stored(task, protocols, stored),
        confirm_set=_confirm_set(frozen),
        looks_taken=len([look for look in task.looks if frozen and look.protocol == frozen.protocol]),
        verdicts=_ReadWhenAsked(task.verdicts, lambda config: task.verdicts[config].verdict),
        known_marks=_marks(task, over),
    )


class _ReadWhenAsked(Mapping[str, Value]):
    """A value by name, each worked out when it is asked for: most decisions ask for a few of thousands."""

    __slots__ = ("_known", "_names", "_read")

    def __init__(self, names: Collection[str], read: Callable[[str], Value]) -> None:
        self._names = names
        self._read = read
        self._known: dict[str, Value] = {}

    def __getitem__(self, name: str) -> Value:
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _observations(task: TaskState, over: RunsOver, config: str) -> tuple[Observation, ...]:
    """The runs of a variant, or of the baseline. Raises KeyError for any other name."""
    if config != BASELINE and config not in task.task.places:
        raise KeyError(config)
    ends = (over.end_of(key) for key in task.keys.get(config, ()) if key.stage != PROBE_STAGE)
    return tuple(observation(end) for end in ends if end is not None)


def _decisions(task: TaskState, protocols: Mapping[str, str], config: str) -> Mapping[str, Decided]:
    return {
        fact.stage: _DECIDED[type(fact)]
        for fact in task.decisions[config]
        if fact.protocol is not None and protocols.get(fact.stage) == fact.protocol
    }


def _marks(task: TaskState, over: RunsOver) -> Marks:
    protocols = over.protocols
    return Marks(
        names=task.task.names,
        over=over.places,
        decided={
            (mark.stage, _DECIDED[mark.kind]): places
            for mark, places in task.decided.items()
            if mark.protocol is not None and protocols.get(mark.stage) == mark.protocol
        },
        judged=task.judged,
        versions={
            stage: (version, protocols.get(stage), task.forgiven, over.known_by)
            for stage, version in task.versions.items()
        },
    )


def _confirm_set(fact: facts.ConfirmSetFrozen | None) -> ConfirmSet | None:
    if fact is None:
        return None
    return ConfirmSet(
        candidates=fact.candidates,
        looks=fact.looks,
        alpha=fact.alpha,
        share=fact.share,
        examples=fact.examples,
        chances=fact.chances,
    )


def _stored(
    task: TaskState, protocols: Mapping[str, str], stored: Mapping[str, Mapping[int, float]] | None
) -> dict[str, Mapping[int, float]]:
    """By stage. After a drift, what was frozen before it is out of date."""
    if task.begun is None:
        return {}
    found: dict[str, Mapping[int, float]] = {}
    for stage, protocol in protocols.items():
        values = {int(seed): value for seed, value in task.begun.stored.get(protocol, {}).items()}
        if stored is not None:
            values = {seed: value for seed, value in values.items() if stored[stage].get(seed) == value}
        found[stage] = values
    return found
