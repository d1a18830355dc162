"""Which runs told nothing new? Bit-identical repetitions, and variants that equal the baseline bit by bit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from policies.evidence import BASELINE
from scheduler.audit.rows import Row

#: significant digits of a loss from which two tasks do not share it by chance
FULL_DIGITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """One configuration that ran several times with the same result to the last bit; the first counts."""

    first: Row
    again: tuple[Row, ...]

    @property
    def has_other_seed(self) -> bool:
        """Whether a seed was changed and changed nothing; a run that names none tells nothing of it."""
        return len({row.seed for row in (self.first, *self.again)} - {None}) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NoOp:
    """A variant's run that equals the baseline's."""

    row: Row
    baseline: Row


def duplicates_of(rows: Sequence[Row]) -> tuple[Duplicate, ...]:
    """Runs of one stage and variant that agree in every digit, whatever their task is called.

    An accuracy alone may agree by chance, over few examples, and so may losses that were rounded: only runs
    that have a loss are compared, and those with a rounded one only within their task.
    """
    groups: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if row.kind == "run" and row.outcome == "ok" and row.loss is not None:
            task = row.scope if _is_rounded(row.loss) else ()
            groups[task, row.stage, row.config, row.loss, row.acc].append(row)
    return tuple(
        Duplicate(first=group[0], again=tuple(group[1:])) for group in groups.values() if len(group) > 1
    )


def reruns_of(duplicates: Sequence[Duplicate]) -> frozenset[str]:
    """The places of all runs that repeat an earlier one."""
    return frozenset(row.place for duplicate in duplicates for row in duplicate.again)


def no_ops_of(rows: Sequence[Row]) -> tuple[NoOp, ...]:
    """Variants whose loss, and accuracy where there is one, are the baseline's of their stage bit by bit."""
    readings = [row for row in rows if row.has_reading and row.loss is not None]
    baselines: dict[tuple[object, ...], Row] = {}
    for row in readings:
        if row.config == BASELINE:
            baselines.setdefault(_result(row), row)
    return tuple(
        NoOp(row=row, baseline=baselines[_result(row)])
        for row in readings
        if row.config != BASELINE and row.outcome == "ok" and _result(row) in baselines
    )


def _is_rounded(loss: float) -> bool:
    digits = repr(loss).partition("e")[0].replace(".", "").strip("-0")
    return len(digits) < FULL_DIGITS


def _result(row: Row) -> tuple[object, ...]:
    return (row.scope, row.stage, row.loss, row.acc)
