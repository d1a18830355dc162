"""What have attempts taken, and how did they end? Sums that outlive the runs, for counters that only grow.

Amounts are whole numbers, so that a sum does not depend on the order in which it was made.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from scheduler.decide import facts
from scheduler.decide.facts import PROBE_STAGE

_NANOSECONDS = 1_000_000_000
_MILLIJOULES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Sums over attempts that have ended. Runs that were reused took nothing, and are counted apart."""

    #: attempts at runs, by status; without probes
    runs: Mapping[str, int] = field(default_factory=dict)
    #: failures by class, those of probes too
    failures: Mapping[str, int] = field(default_factory=dict)
    reused: int = 0
    probes: int = 0
    #: from the gate to the end: what they had the device for
    device_nanoseconds: int = 0
    train_nanoseconds: int = 0
    eval_nanoseconds: int = 0
    #: before the gate, on the CPU
    startup_nanoseconds: int = 0
    energy_millijoules: int = 0

    @classmethod
    def of(cls, ends: Iterable[facts.RunFinished]) -> Self:
        """The sums over those ends."""
        ended = list(ends)
        own = [end for end in ended if end.cached_from is None]
        runs = [end for end in own if end.stage != PROBE_STAGE]
        return cls(
            runs=_counted(end.status for end in runs),
            failures=_counted(end.failure_class or end.status for end in own if end.has_failed),
            reused=len(ended) - len(own),
            probes=len(own) - len(runs),
            device_nanoseconds=_sum(map(_device_seconds, own), _NANOSECONDS),
            train_nanoseconds=_sum((end.train_seconds for end in own), _NANOSECONDS),
            eval_nanoseconds=_sum((end.eval_seconds for end in own), _NANOSECONDS),
            startup_nanoseconds=_sum((end.startup_seconds for end in own), _NANOSECONDS),
            energy_millijoules=_sum((end.energy_joule for end in own), _MILLIJOULES),
        )

    def __add__(self, other: Usage) -> Usage:
        return Usage.total((self, other))

    @classmethod
    def total(cls, usages: Iterable[Usage]) -> Self:
        """All of them together."""
        runs: Counter[str] = Counter()
        failures: Counter[str] = Counter()
        amounts = dict.fromkeys(_AMOUNTS, 0)
        for usage in usages:
            runs.update(usage.runs)
            failures.update(usage.failures)
            for name in _AMOUNTS:
                amounts[name] += getattr(usage, name)
        return cls(runs=dict(sorted(runs.items())), failures=dict(sorted(failures.items())), **amounts)

    @property
    def device_seconds(self) -> float:
        return self.device_nanoseconds / _NANOSECONDS

    @property
    def train_seconds(self) -> float:
        return self.train_nanoseconds / _NANOSECONDS

    @property
    def eval_seconds(self) -> float:
        return self.eval_nanoseconds / _NANOSECONDS

    @property
    def startup_seconds(self) -> float:
        return self.startup_nanoseconds / _NANOSECONDS

    @property
    def energy_joules(self) -> float:
        return self.energy_millijoules / _MILLIJOULES

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `dataclasses.asdict` made of it. Raises TypeError for anything else."""
        return cls(**data)


_AMOUNTS = (
    "reused",
    "probes",
    "device_nanoseconds",
    "train_nanoseconds",
    "eval_nanoseconds",
    "startup_nanoseconds",
    "energy_millijoules",
)


def _counted(names: Iterable[str]) -> dict[str, int]:
    """In an order that does not depend on which came first: equal records make equal files."""
    return dict(sorted(Counter(names).items()))


def _device_seconds(end: facts.RunFinished) -> float | None:
    """A worker that went without a word is charged for what it was heard of."""
    return end.wall_seconds if end.wall_seconds is not None else end.train_seconds


def _sum(amounts: Iterable[float | None], parts: int) -> int:
    """In so many parts of their unit; what is unknown, or no number, adds nothing."""
    return sum([round(amount * parts) for amount in amounts if amount is not None and math.isfinite(amount)])
