"""What time is it, and what falls due next? The one place that reads clocks, and a fake for tests."""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, Protocol, TypeVar

Event = TypeVar("Event")

#: where a FakeClock starts unless told otherwise
FAKE_START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Two clocks: one for people and records, one for deadlines."""

    def now(self) -> datetime:
        """The wall clock, in UTC. May jump when somebody sets it."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment. Never goes back; only differences mean something."""


def utc_now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


class RealClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return utc_now()

    def monotonic(self) -> float:
        return time.monotonic()


class FakeClock:
    """A clock that stands still until it is told to advance."""

    def __init__(self, start: datetime = FAKE_START) -> None:
        self._start = start
        self._elapsed_seconds = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed_seconds)

    def monotonic(self) -> float:
        return self._elapsed_seconds

    def advance(self, seconds: float) -> None:
        self._elapsed_seconds += seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class _Deadline(Generic[Event]):
    at: float
    #: breaks ties: of two that fall due together, the one set first comes first
    order: int
    event: Event


class Deadlines(Generic[Event]):
    """Events that fall due at a moment of the monotonic clock, at most one for each key."""

    # A plain mapping: there are a handful of deadlines at a time, and a heap would have to carry the
    # ones that heartbeats replace every second.

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_key: dict[Hashable, _Deadline[Event]] = {}
        self._order = 0

    def set(self, key: Hashable, seconds: float, event: Event) -> None:
        """Let `event` fall due in `seconds`. Replaces what was set under the same key."""
        self._order += 1
        at = self._clock.monotonic() + seconds
        self._by_key[key] = _Deadline(at=at, order=self._order, event=event)

    def cancel(self, key: Hashable) -> None:
        """Forget the key's deadline. Does nothing when there is none."""
        self._by_key.pop(key, None)

    def due(self) -> list[Event]:
        """The events whose time has come, earliest first. Each is handed out once."""
        now = self._clock.monotonic()
        passed = {key: deadline for key, deadline in self._by_key.items() if deadline.at <= now}
        for key in passed:
            del self._by_key[key]
        in_order = sorted(passed.values(), key=lambda deadline: (deadline.at, deadline.order))
        return [deadline.event for deadline in in_order]

    def next_in(self) -> float | None:
        """Seconds until the next event falls due, 0.0 when one already is; None when there is none."""
        if not self._by_key:
            return None
        earliest = min(deadline.at for deadline in self._by_key.values())
        return max(0.0, earliest - self._clock.monotonic())
