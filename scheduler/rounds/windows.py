"""When may runs start? Windows of local time, as roundhouse.toml gives them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Self

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_PER_DAY = 24 * 60

_WINDOW = re.compile(r"(?:(?P<days>[a-z,-]+)\s+)?(?P<start>[0-9]{2}:[0-9]{2})-(?P<end>[0-9]{2}:[0-9]{2})")
_SHAPE = 'must look like "22:00-07:00" or "mon-fri 22:00-07:00"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Hours of some days. One that ends before it starts goes on into the next day."""

    #: minutes after midnight
    start_minute: int
    #: minutes after midnight, up to 24:00; at or before the start it means the next day
    end_minute: int
    #: days on which it starts, Monday being 0
    days: frozenset[int] = frozenset(range(7))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The window that `mon-fri 22:00-07:00` says; without days it is every day. Raises ValueError."""
        match = _WINDOW.fullmatch(text.strip().lower())
        if match is None:
            raise ValueError(_SHAPE)
        window = cls(
            start_minute=_minute(match["start"]),
            end_minute=_minute(match["end"]),
            days=_days(match["days"]) if match["days"] else frozenset(range(7)),
        )
        if window.start_minute == window.end_minute:
            raise ValueError("starts and ends at the same time; a whole day is 00:00-24:00")
        if window.start_minute == MINUTES_PER_DAY:
            raise ValueError("cannot start at 24:00; write 00:00 of the next day")
        return window

    @property
    def crosses_midnight(self) -> bool:
        """Whether it ends on the day after it starts."""
        return self.end_minute < self.start_minute

    def is_open(self, now: datetime) -> bool:
        """Whether runs may start at `now`, a local time. The end itself is outside."""
        minute, day = now.hour * 60 + now.minute, now.weekday()
        if not self.crosses_midnight:
            return day in self.days and self.start_minute <= minute < self.end_minute
        started_today = day in self.days and minute >= self.start_minute
        started_yesterday = (day - 1) % 7 in self.days and minute < self.end_minute
        return started_today or started_yesterday

    def cron_edges(self) -> Iterator[tuple[str, dict[str, str | int]]]:
        """("opens" or "closes", cron fields in local time) of both edges."""
        yield "opens", _cron(self.start_minute, self.days)
        ends_next_day = self.crosses_midnight or self.end_minute == MINUTES_PER_DAY
        last_days = frozenset((day + 1) % 7 for day in self.days) if ends_next_day else self.days
        yield "closes", _cron(self.end_minute % MINUTES_PER_DAY, last_days)

    def __str__(self) -> str:
        days = "" if len(self.days) == 7 else ",".join(DAYS[day] for day in sorted(self.days)) + " "
        return f"{days}{_clock(self.start_minute)}-{_clock(self.end_minute)}"


def _minute(text: str) -> int:
    hour, minute = int(text[:2]), int(text[3:])
    if minute > 59 or hour * 60 + minute > MINUTES_PER_DAY:
        raise ValueError(f"{text} is no time of day")
    return hour * 60 + minute


def _days(text: str) -> frozenset[int]:
    """`mon-fri,sun`; a range may go over the weekend."""
    days: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        for name in (first, last) if dash else (first,):
            if name not in DAYS:
                raise ValueError(f'"{name}" is no day; say {", ".join(DAYS)}')
        start = DAYS.index(first)
        length = (DAYS.index(last) - start) % 7 if dash else 0
        days |= {(start + step) % 7 for step in range(length + 1)}
    return frozenset(days)


def _cron(minute: int, days: frozenset[int]) -> dict[str, str | int]:
    names = ",".join(DAYS[day] for day in sorted(days))
    return {"day_of_week": names, "hour": minute // 60, "minute": minute % 60}


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
