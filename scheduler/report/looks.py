"""What did each declared look show? A row for each candidate at each look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scheduler.decide.facts import LookTaken
from scheduler.report.reading import TaskReading


@dataclass(frozen=True, slots=True, kw_only=True)
class LookRow:
    """One candidate at one look. Deltas are in the objective's unit; what was not recorded is None."""

    look: int
    config: str
    delta: float | None
    se: float | None
    p: float | None
    adjusted_p: float | None
    chance: float | None
    seeds: str
    #: its null fell at this look
    is_rejected: bool = False
    #: it gets no further seed
    is_given_up: bool = False
    #: the reason of that, where the policy tells one
    why: str = ""

    @property
    def has_reading(self) -> bool:
        """False for a candidate that was given up while it waited for a seed."""
        return self.delta is not None or self.p is not None

    @property
    def then(self) -> str:
        """What followed for the candidate."""
        if self.is_rejected:
            return "null rejected"
        if not self.is_given_up:
            return "goes on"
        when = "given up" if self.has_reading else "given up while it waited"
        return f"{when}: {self.why}" if self.why else when


def look_rows(task: TaskReading) -> Iterator[LookRow]:
    """Every look, in the order in which they were taken, and who was given up at it while waiting."""
    for look in task.state.looks:
        waiting = (config for config in look.futile if config not in look.readings)
        for config in (*look.readings, *waiting):
            yield _row(look, config, look.readings.get(config, {}))


def _row(look: LookTaken, config: str, reading: Mapping[str, Any]) -> LookRow:
    seeds = f"{reading['variant_seeds']} + {reading['baseline_seeds']}" if "variant_seeds" in reading else "–"
    return LookRow(
        look=look.look,
        config=config,
        delta=_number(reading, "delta"),
        se=_number(reading, "se"),
        p=_number(reading, "p"),
        adjusted_p=_number(reading, "adjusted_p"),
        chance=_number(reading, "chance"),
        seeds=seeds,
        is_rejected=config in look.rejected,
        is_given_up=config in look.futile,
        why=look.reasons.get(config, ""),
    )


def _number(reading: Mapping[str, Any], name: str) -> float | None:
    """A record spells numbers that JSON cannot hold as words; no figure is told for them."""
    value = reading.get(name)
    return float(value) if isinstance(value, int | float) else None
