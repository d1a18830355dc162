"""What did each declared look show? A row for each candidate at each look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
    #: what followed for the candidate
    then: str


def look_rows(task: TaskReading) -> Iterator[LookRow]:
    """Every look, in the order in which they were taken, and who was given up at it while waiting."""
    for look in task.state.looks:
        for config, reading in look.readings.items():
            rejected = "null rejected" if config in look.rejected else ""
            then = rejected or ("given up" if config in look.futile else "goes on")
            yield _row(look.look, config, reading, then)
        for config in look.futile:
            if config not in look.readings:
                yield _row(look.look, config, {}, "given up while it waited")


def _row(look: int, config: str, reading: Mapping[str, Any], then: str) -> LookRow:
    seeds = f"{reading['variant_seeds']} + {reading['baseline_seeds']}" if "variant_seeds" in reading else "–"
    return LookRow(
        look=look,
        config=config,
        delta=_number(reading, "delta"),
        se=_number(reading, "se"),
        p=_number(reading, "p"),
        adjusted_p=_number(reading, "adjusted_p"),
        chance=_number(reading, "chance"),
        seeds=seeds,
        then=then,
    )


def _number(reading: Mapping[str, Any], name: str) -> float | None:
    """A record spells numbers that JSON cannot hold as words; no figure is told for them."""
    value = reading.get(name)
    return float(value) if isinstance(value, int | float) else None
