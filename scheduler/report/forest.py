"""What is in the forest plot? A row a variant with its figures, and how far the axis reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policies.evidence import Objective
from scheduler.report import numbers
from scheduler.report.gains import Gain

#: more would make the picture taller than anybody scrolls; the table has them all
ROWS_AT_MOST = 40
_LABEL_LENGTH = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestRow:
    """One variant. Figures are in the objective's unit; positive is better."""

    label: str
    #: the figure to read, with what it is: `+1.41pp shrunk`
    figure: str
    #: name of a colour of the page
    colour: str
    #: the delta on fresh seeds, or the screening delta where there are none
    raw: float | None
    #: whether `raw` comes from fresh seeds
    is_fresh: bool
    shrunk: float | None
    interval: tuple[float, float] | None
    per_seed: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Rows, best first, and the axis from -limit to limit."""

    rows: tuple[ForestRow, ...]
    limit: float
    min_effect: float
    unit: str
    left_out: int


def forest(objective: Objective, rows: Sequence[Gain]) -> Forest | None:
    """The plot of every variant that has a figure; None where none has."""
    drawable = [row for row in rows if row.best is not None and row.best == row.best]
    if not drawable:
        return None
    return Forest(
        rows=tuple(_row(objective, row) for row in drawable[:ROWS_AT_MOST]),
        limit=_limit(objective, drawable[:ROWS_AT_MOST]),
        min_effect=objective.min_effect,
        unit=objective.unit,
        left_out=max(0, len(drawable) - ROWS_AT_MOST),
    )


def _row(objective: Objective, row: Gain) -> ForestRow:
    kind = "shrunk" if row.shrunk is not None else ("raw" if row.has_fresh_seeds else "screening")
    best = row.best
    return ForestRow(
        label=_short(row.config),
        figure="" if best is None else f"{numbers.signed(objective, best)} {kind}",
        colour="open" if row.verdict is None else row.verdict.lower(),
        raw=row.raw if row.has_fresh_seeds else row.screening,
        is_fresh=row.has_fresh_seeds,
        shrunk=row.shrunk,
        interval=row.interval,
        per_seed=tuple(delta for _, delta in row.per_seed) if len(row.per_seed) > 1 else (),
    )


def _short(name: str) -> str:
    """Both ends of a long name tell variants of a grid apart; its middle does not."""
    half = (_LABEL_LENGTH - 1) // 2
    return name if len(name) <= _LABEL_LENGTH else f"{name[:half]}…{name[-half:]}"


def _limit(objective: Objective, rows: Sequence[Gain]) -> float:
    """Far enough for nearly all: one variant that broke would press the others into a line."""
    told = [
        abs(figure)
        for row in rows
        for figure in (row.raw, row.screening, row.shrunk, *(row.interval or ()))
        if figure is not None and abs(figure) < float("inf")
    ]
    sizes = sorted(told)
    typical = sizes[(3 * len(sizes)) // 4] if sizes else 0.0
    largest = sizes[-1] if sizes else 0.0
    return max(2.5 * objective.min_effect, min(1.12 * largest, 3.0 * typical))
