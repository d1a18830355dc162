"""Which runs of earlier rounds may stand in for new ones? A fold of facts, in memory little more than keys.

Only where a run lies is known here; the run itself is read from the records of its round when it is wanted.
A run that was itself reused is left out: its origin is here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, astuple, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

from policies._memo import Same
from policies._stop_rules import OPTUNA_PREFIX, StopRules
from policies.evidence import Outcome
from scheduler.decide import facts
from scheduler.decide.codec import from_record, to_fields
from scheduler.decide.layered import Layered
from scheduler.rounds.identity import digest
from scheduler.rounds.round import Task

if TYPE_CHECKING:  # the state holds this cache
    from scheduler.decide.state import RoundState

TaskFact = TypeVar("TaskFact", bound=facts.TaskProbed | facts.TaskBegun)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """What a task's results have in common: all that the choice among equal runs depends on."""

    round: str
    task: str
    #: in which their values are told
    metric: str
    #: "ok", or "pruned" by a rule
    status: Outcome
    #: how often the protocol's baseline had drifted before they ran
    drifts: int = 0
    #: whether the scores of each of their evaluations were kept
    has_scores: bool = False
    #: digest of what a rule went by that ended them before their time; empty for whole ones
    rules: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultCache:
    """Where results lie, by content key; and with what tasks began, by their signature."""

    shelves: Layered[str, tuple[Shelf, ...]] = field(default_factory=Layered)
    probes: Layered[str, tuple[facts.TaskProbed, ...]] = field(default_factory=Layered)
    beginnings: Layered[str, tuple[facts.TaskBegun, ...]] = field(default_factory=Layered)
    #: (round, content key) a person wants to be reused no more; None stands for all of the round
    forgotten: frozenset[tuple[str, str | None]] = frozenset()

    def after(self, fact: facts.RoundFact, task: Task) -> Self:
        """The cache after a fact of `task`; itself where the fact adds nothing."""
        match fact:
            case facts.RunFinished() if may_be_reused(fact, task):
                alone = _shelf(Same(task), fact)
                known = self.shelves.get(fact.content_key) or ()
                if alone[0] in known:
                    return self
                return replace(self, shelves=self.shelves.after(fact.content_key, _ordered(known + alone)))
            case facts.TaskProbed(signature=signature, taken_from=None) if signature:
                return self._with_probe(fact)
            case facts.TaskRebatched(signature=signature) if signature:
                lowered = _lowered(fact, self.probes.get(signature) or ())
                return self if lowered is None else self._with_probe(lowered)
            case facts.TaskBegun(signature=signature, taken_from=None) if signature:
                return self._with_beginning(fact)
        return self

    def forgetting(self, fact: facts.ResultsForgotten) -> Self:
        """The cache without what a person wants to be forgotten."""
        return replace(self, forgotten=self.forgotten | {(fact.round, fact.content_key)})

    def find(self, content_key: str) -> tuple[Shelf, ...]:
        """Every shelf on which the result lies."""
        return tuple(
            shelf
            for shelf in self.shelves.get(content_key) or ()
            if not self.is_forgotten(shelf.round) and (shelf.round, content_key) not in self.forgotten
        )

    def is_forgotten(self, round_id: str) -> bool:
        """Whether nothing of the round is to be reused."""
        return (round_id, None) in self.forgotten

    def probed(self, signature: str) -> tuple[facts.TaskProbed, ...]:
        """What probes of equal tasks found."""
        return tuple(p for p in self.probes.get(signature) or () if not self.is_forgotten(p.round))

    def begun(self, signature: str) -> tuple[facts.TaskBegun, ...]:
        """With what equal tasks began."""
        return tuple(b for b in self.beginnings.get(signature) or () if not self.is_forgotten(b.round))

    def results(self) -> Iterator[tuple[str, Shelf]]:
        """Every result that may be reused, by content key."""
        for key in self.shelves:
            yield from ((key, shelf) for shelf in self.find(key))

    def part(self, round_id: str) -> dict[str, Any]:
        """What the facts of one round have added, as a JSON object for `having`."""
        lies_on = ((shelf, key) for key, shelves in self.shelves.items() for shelf in shelves)
        tasks: list[facts.TaskProbed | facts.TaskBegun] = []
        for known in (self.beginnings, self.probes):
            tasks += [fact for _, found in known.items() for fact in found if fact.round == round_id]
        return _part(((shelf, key) for shelf, key in lies_on if shelf.round == round_id), tasks)

    def having(self, *parts: Mapping[str, Any]) -> Self:
        """The cache with what `part` gave of others."""
        told = (
            ((Shelf(**{name: value for name, value in shelf.items() if name != "keys"}),), shelf["keys"])
            for part in parts
            for shelf in part["shelves"]
        )
        lies_on = ((alone, key) for alone, keys in told for key in keys)
        return self._with(lies_on, (from_record(task) for part in parts for task in part["tasks"]))

    def having_rounds(self, *rounds: RoundState) -> Self:
        """The cache with what the facts of those rounds have added."""
        tasks = [fact for current in rounds for fact in _task_facts(current)]
        return self._with((each for current in rounds for each in _lies_on(current)), tasks)

    def _with(self, lies_on: Iterable[tuple[tuple[Shelf], str]], tasks: Iterable[facts.Fact | None]) -> Self:
        found: dict[str, tuple[Shelf, ...] | list[Shelf]] = {}
        for alone, key in lies_on:
            before = found.get(key) or self.shelves.get(key)
            if before is None:
                found[key] = alone
            elif isinstance(before, list):
                before.append(alone[0])
            else:
                found[key] = [*before, alone[0]]
        made = replace(self, shelves=self.shelves.having(_settled(found)))
        for fact in tasks:
            match fact:
                case facts.TaskProbed():
                    made = made._with_probe(fact)
                case facts.TaskBegun():
                    made = made._with_beginning(fact)
        return made

    def _with_probe(self, probed: facts.TaskProbed) -> Self:
        known = _with(self.probes.get(probed.signature) or (), probed)
        return replace(self, probes=self.probes.after(probed.signature, known))

    def _with_beginning(self, begun: facts.TaskBegun) -> Self:
        known = _with(self.beginnings.get(begun.signature) or (), begun)
        return replace(self, beginnings=self.beginnings.after(begun.signature, known))


def _settled(found: Mapping[str, tuple[Shelf, ...] | list[Shelf]]) -> dict[str, tuple[Shelf, ...]]:
    """Each list in the order of `_ordered` and without repeats: a key may lie on as many shelves as there are
    rounds, and those are compared once for all keys.
    """
    seen = {id(shelf): shelf for shelves in found.values() if isinstance(shelves, list) for shelf in shelves}
    in_order = sorted(set(seen.values()), key=astuple)
    place = {shelf: position for position, shelf in enumerate(in_order)}
    place_of = {known: place[shelf] for known, shelf in seen.items()}
    return {
        key: tuple(in_order[position] for position in sorted({place_of[id(shelf)] for shelf in shelves}))
        if isinstance(shelves, list)
        else shelves
        for key, shelves in found.items()
    }


def _ordered(shelves: tuple[Shelf, ...]) -> tuple[Shelf, ...]:
    """In an order that does not depend on which round's facts were read first."""
    return tuple(sorted(shelves, key=astuple)) if len(shelves) > 1 else shelves


def _with(known: tuple[TaskFact, ...], fact: TaskFact) -> tuple[TaskFact, ...]:
    """What is known of equal tasks, in such an order, with the newest fact of one."""
    others = tuple(each for each in known if (each.round, each.task) != (fact.round, fact.task))
    return tuple(sorted((*others, fact), key=lambda each: (each.round, each.task)))


def part_of(current: RoundState) -> dict[str, Any]:
    """The same `part`, from the state of the round alone: for a file that stands for an ended round."""
    return _part(((alone[0], key) for alone, key in _lies_on(current)), _task_facts(current))


def _lies_on(current: RoundState) -> Iterator[tuple[tuple[Shelf], str]]:
    """The results of a round, each with the shelf on which it lies alone."""
    for known in current.tasks.values():
        the = Same(known.task)
        for attempts in known.attempts.values():
            for attempt in attempts:
                run = attempt.finished
                if run is not None and may_be_reused(run, known.task):
                    yield _shelf(the, run), run.content_key


def _task_facts(current: RoundState) -> list[facts.TaskProbed | facts.TaskBegun]:
    told = [fact for known in current.tasks.values() for fact in (known.begun, known.probed)]
    return [fact for fact in told if fact is not None and fact.signature and fact.taken_from is None]


def _part(
    lies_on: Iterable[tuple[Shelf, str]], tasks: Iterable[facts.TaskProbed | facts.TaskBegun]
) -> dict[str, Any]:
    # Equal shelves in a row are one object, and to hash that takes longer than all the rest.
    keys: dict[Shelf, set[str]] = {}
    last: Shelf | None = None
    found: set[str] = set()
    for shelf, key in lies_on:
        if shelf is not last:
            last, found = shelf, keys.setdefault(shelf, set())
        found.add(key)
    shelves = [{**asdict(shelf), "keys": sorted(told)} for shelf, told in keys.items()]
    return {
        "shelves": sorted(shelves, key=lambda told: (told["task"], told["keys"])),
        "tasks": sorted(map(to_fields, tasks), key=lambda told: (told["task"], told["event"])),
    }


def _shelf(the: Same, run: facts.RunFinished) -> tuple[Shelf]:
    """Where a run of the task that may be reused lies, alone."""
    rule = run.stopped_by if run.status == "pruned" else None
    return _alone(the, run.round, run.task, run.status, run.drifts, rule)


def may_be_reused(run: facts.RunFinished, task: Task) -> bool:
    """Whether a run of `task` may stand in for an equal one: it is whole, or ended by a rule, and had its
    device to itself.
    """
    is_whole = run.status == "ok" and run.value is not None and math.isfinite(run.value)
    was_stopped = run.status == "pruned" and run.stopped_by is not None
    is_known = bool(run.content_key) and task.identity.is_complete
    is_our_own = run.cached_from is None and run.contaminated is None
    return (is_whole or was_stopped) and is_known and is_our_own


def needs_scores(task: Task) -> bool:
    """Whether a rule of the task reads the scores of every evaluation in a run's folder."""
    return StopRules.of(task.policy.options).needs_scores


def rules_of(task: Task, *, ask_others: bool) -> str:
    """Digest of what in-run rules go by, beside the run itself; with `ask_others`, all other runs."""
    seen: dict[str, Any] = {
        "policy": asdict(task.policy),
        "objective": asdict(task.objective),
        "baseline": task.baseline.config,
        "seeds": task.seeds,
    }
    if ask_others:
        seen["variants"] = [variant.config for variant in task.variants]
    return digest(seen)


@functools.lru_cache(maxsize=256)
def _alone(
    the: Same, round_id: str, task: str, status: Outcome, drifts: int, rule: str | None
) -> tuple[Shelf]:
    """The shelf; equal ones in a row are one object, so that a result takes little more than its key.

    Of a task as itself: to compare its variants would take longer than all the rest.
    """
    found = the.thing
    assert isinstance(found, Task)
    asks_others = rule is not None and rule.startswith(OPTUNA_PREFIX)
    shelf = Shelf(
        round=round_id,
        task=task,
        metric=found.objective.metric,
        status=status,
        drifts=drifts,
        has_scores=needs_scores(found),
        rules="" if rule is None else rules_of(found, ask_others=asks_others),
    )
    return (shelf,)


def _task(fact: facts.TaskProbed | facts.TaskBegun) -> tuple[str, str]:
    return fact.round, fact.task


def _lowered(fact: facts.TaskRebatched, known: tuple[facts.TaskProbed, ...]) -> facts.TaskProbed | None:
    """What the probe should have found: a size that ran out of memory later does not fit."""
    own = next((each for each in known if _task(each) == (fact.round, fact.task)), None)
    found = own or (known[-1] if known else None)
    if found is None:
        return None
    return facts.TaskProbed(
        round=fact.round,
        task=fact.task,
        bsz=fact.bsz,
        max_steps=found.max_steps,
        reason=fact.reason,
        signature=fact.signature,
    )
