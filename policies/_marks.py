"""Where do the variants of a task stand? Sets of them: the next one due is found among thousands at once.

A set is an int: bit i stands for the variant at place i in file order.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from policies.evidence import Observation, VerdictName

Decided = Literal["pruned", "promoted", "held"]
DECIDED: tuple[Decided, ...] = ("pruned", "promoted", "held")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Every variant of a task, by what is over and what was decided."""

    #: every variant, in file order
    names: tuple[str, ...]
    #: by stage and slot: those whose run is over
    over: Mapping[tuple[str, int], int]
    #: by stage and decision
    decided: Mapping[tuple[str, Decided], int]
    judged: Mapping[VerdictName, int]
    #: by stage: as long as it is equal, so are all runs of the stage, and what follows from them alone may be
    #: kept. Empty where nobody knows
    versions: Mapping[str, Hashable] = field(default_factory=dict)

    @property
    def everyone(self) -> int:
        return (1 << len(self.names)) - 1

    @property
    def with_verdict(self) -> int:
        return union(self.judged.values())

    def has_run(self, stage: str, slot: int) -> int:
        """Those whose run of that stage and slot is over."""
        return self.over.get((stage, slot), 0)

    def was(self, decision: Decided, stage: str) -> int:
        """Those of which that was decided after the stage."""
        return self.decided.get((stage, decision), 0)

    def decided_after(self, stage: str) -> int:
        """Those of which anything was decided after the stage."""
        return union(self.was(decision, stage) for decision in DECIDED)

    def times(self, decision: Decided) -> int:
        """How often that was decided, over all stages."""
        return sum(places.bit_count() for (_, made), places in self.decided.items() if made == decision)


def marks_of(
    variants: Mapping[str, tuple[Observation, ...]],
    decisions: Mapping[str, Mapping[str, Decided]],
    verdicts: Mapping[str, VerdictName],
) -> Marks:
    """The same, from what is known of each variant."""
    over: dict[tuple[str, int], int] = {}
    decided: dict[tuple[str, Decided], int] = {}
    judged: dict[VerdictName, int] = {}
    for place, (name, runs) in enumerate(variants.items()):
        bit = 1 << place
        for run in runs:
            over[run.stage, run.slot] = over.get((run.stage, run.slot), 0) | bit
        for made in decisions.get(name, {}).items():
            decided[made] = decided.get(made, 0) | bit
        if name in verdicts:
            judged[verdicts[name]] = judged.get(verdicts[name], 0) | bit
    return Marks(names=tuple(variants), over=over, decided=decided, judged=judged)


def union(sets: Iterable[int]) -> int:
    """Those that are in any of the sets."""
    return functools.reduce(operator.or_, sets, 0)


def first(places: int) -> int | None:
    """The first of them; None when there is none."""
    return (places & -places).bit_length() - 1 if places else None


def last_before(places: int, end: int) -> int | None:
    """The last of them before place `end`; None when there is none."""
    before = places & ((1 << end) - 1)
    return before.bit_length() - 1 if before else None


def members(places: int) -> Iterator[int]:
    """All of them, in file order."""
    begin = first(places) or 0
    return (begin + i for i, digit in enumerate(reversed(f"{places >> begin:b}")) if digit == "1")
