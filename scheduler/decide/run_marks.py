"""How do the runs of a task stand, as its records tell it? Variants whose runs stand alike, as one set.

What follows from that (another try, an end for good) depends on more than records, and is no part of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self, TypeVar

from policies.evidence import Outcome
from scheduler.decide import facts
from scheduler.decide.same_failure import times_alike

NANOSECONDS = 1_000_000_000

Mark = TypeVar("Mark")


class RunMark(NamedTuple):
    """How a run ended last, of the attempts at it that count and share a protocol."""

    stage: str
    slot: int
    protocol: str
    status: Outcome
    failure_class: str | None
    #: attempts that ended in a failure of that class
    failures: int
    #: those of them that failed the same way as the last one
    alike: int
    bsz: int | None
    is_cached: bool
    asks_for_repeat: bool

    @property
    def has_failed(self) -> bool:
        return self.status in ("failed", "lost")


def run_marks(ends: Iterable[tuple[str, facts.RunFinished | None]]) -> frozenset[RunMark]:
    """The marks of a run, one for each protocol it was tried in: (protocol, end) of the attempts that count.

    None for a protocol whose last attempt is under way, or was cancelled: it has not ended.
    """
    by_protocol: dict[str, list[facts.RunFinished | None]] = {}
    for protocol, end in ends:
        by_protocol.setdefault(protocol, []).append(end)
    return frozenset(
        _mark(protocol, tried[-1], tried)
        for protocol, tried in by_protocol.items()
        if tried[-1] is not None and tried[-1].status != "cancelled"
    )


def _mark(protocol: str, last: facts.RunFinished, tried: list[facts.RunFinished | None]) -> RunMark:
    failures = sum(end is not None and end.failure_class == last.failure_class for end in tried)
    return RunMark(
        stage=last.stage,
        slot=last.slot,
        protocol=protocol,
        status=last.status,
        failure_class=last.failure_class,
        failures=failures if last.has_failed else 0,
        alike=times_alike(tried, last) if last.has_failed else 0,
        bsz=last.bsz,
        is_cached=last.cached_from is not None,
        asks_for_repeat=asks_for_repeat(tried),
    )


def asks_for_repeat(tried: Sequence[facts.RunFinished | None]) -> bool:
    """Whether the last of the attempts at a run shared its device, and none before it that came to an end of
    its own did: it is made once more, and what comes of that counts.
    """
    *before, last = ((end is not None and is_contaminated(end)) for end in tried)
    return last and not any(before)


def is_contaminated(end: facts.RunFinished) -> bool:
    """Whether it came to an end of its own, and shared its device on the way."""
    return end.contaminated is not None and end.status not in ("cancelled", "lost")


def moved(
    sets: Mapping[Mark, int], place: int, before: Iterable[Mark], after: Iterable[Mark]
) -> Mapping[Mark, int]:
    """The sets, when the variant at `place` has left those of `before` for those of `after`."""
    changed = dict(sets)
    bit = 1 << place
    for mark in before:
        changed[mark] &= ~bit
        if not changed[mark]:
            del changed[mark]
    for mark in after:
        changed[mark] = changed.get(mark, 0) | bit
    return changed


def gathered(marked: Iterable[tuple[Mark, int]], size: int) -> dict[Mark, int]:
    """The sets of variants by mark, from the (mark, place) of each; there are `size` places."""
    sets: dict[Mark, bytearray] = {}
    for mark, place in marked:
        if mark not in sets:
            sets[mark] = bytearray(size // 8 + 1)
        sets[mark][place >> 3] |= 1 << (place & 7)
    return {mark: int.from_bytes(places, "little") for mark, places in sets.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long the runs of a stage lasted that were trained here. Sums are exact, in whole nanoseconds."""

    runs: int = 0
    total_nanoseconds: int = 0
    #: the slowest one ever, whether it still counts or not
    most_seconds: float = 0.0

    @classmethod
    def of(cls, lasting: Sequence[float], most_seconds: float) -> Self:
        """Of runs that lasted so long, and the slowest one ever."""
        total = sum(map(_nanoseconds, lasting))
        return cls(runs=len(lasting), total_nanoseconds=total, most_seconds=most_seconds)

    @property
    def mean_seconds(self) -> float:
        return self.total_nanoseconds / self.runs / NANOSECONDS

    def moved(self, before: float | None, after: float | None) -> Self:
        """The pace, when a run that had lasted `before` lasts `after`; None where it tells nothing."""
        return type(self)(
            runs=self.runs + (after is not None) - (before is not None),
            total_nanoseconds=self.total_nanoseconds + _nanoseconds(after) - _nanoseconds(before),
            most_seconds=max(self.most_seconds, after or 0.0),
        )


def measured_seconds(end: facts.RunFinished | None) -> float | None:
    """How long a run took that was trained here, alone, and not cut short; None where that is not known."""
    if end is None or end.status not in ("ok", "timed_out") or end.cached_from is not None:
        return None
    if end.contaminated is not None:
        return None
    seconds = end.wall_seconds if end.wall_seconds is not None else end.train_seconds
    return seconds if seconds is not None and math.isfinite(seconds) else None


def _nanoseconds(seconds: float | None) -> int:
    return 0 if seconds is None else round(seconds * NANOSECONDS)
