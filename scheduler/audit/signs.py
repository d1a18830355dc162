"""Which readings are not what they seem? Maxima over evaluations, and metrics that never move."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from policies.evidence import BASELINE
from scheduler.audit.claims import FIRST_STAGE
from scheduler.audit.rows import Row

#: runs that must agree before a metric is called constant
MIN_CONSTANT_RUNS = 3

SignKind = Literal["step", "prefix", "loss"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BestOverEvals:
    """A sign that a run is told by its best evaluation, not by its last."""

    row: Row
    #: "step": the best one came before the last; "prefix": the shorter run of the same variant and seed had
    #: it already; "loss": the accuracy gained over the baseline while the loss lost
    kind: SignKind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantMetric:
    """A task and stage where every run has the same accuracy, though their losses differ."""

    value: float
    rows: tuple[Row, ...]


def best_over_evals(rows: Sequence[Row]) -> tuple[BestOverEvals, ...]:
    """At most one sign a run, the most telling one, for runs whose metric is the best of several."""
    by_scope = _by_scope(rows)
    signs = []
    for row in rows:
        if row.has_reading and row.is_best_over_evals and row.outcome == "ok":
            sign = next(_signs(row, by_scope[row.scope]), None)
            if sign is not None:
                signs.append(sign)
    return tuple(signs)


def constant_metrics(rows: Sequence[Row]) -> tuple[ConstantMetric, ...]:
    """Tasks and stages whose accuracy tells nothing, since it is always the same."""
    groups: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if row.has_reading and row.acc is not None and row.outcome == "ok":
            groups[row.scope, row.stage].append(row)
    found = []
    for group in groups.values():
        losses = {row.loss for row in group}
        if len(group) >= MIN_CONSTANT_RUNS and len({row.acc for row in group}) == 1 and len(losses) > 1:
            found.append(ConstantMetric(value=group[0].value or 0.0, rows=tuple(group)))
    return tuple(found)


def _by_scope(rows: Sequence[Row]) -> dict[tuple[str, ...], list[Row]]:
    by_scope: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if row.has_reading:
            by_scope[row.scope].append(row)
    return by_scope


def _signs(row: Row, kin: Sequence[Row]) -> Iterator[BestOverEvals]:
    if row.best_step is not None and row.last_step is not None and row.best_step < row.last_step:
        text = f"best at step {row.best_step} of {row.last_step}"
        yield BestOverEvals(row=row, kind="step", text=text)
    for other in kin:
        if (other.stage, other.config, other.seed) != (FIRST_STAGE, row.config, row.seed) or other == row:
            continue
        for name, value, earlier in (("accuracy", row.acc, other.acc), ("loss", row.loss, other.loss)):
            if value is not None and value == earlier and (row.acc, row.loss) != (other.acc, other.loss):
                text = f"its best {name} is that of its {other.stage} run to the last digit"
                yield BestOverEvals(row=row, kind="prefix", text=text)
    baseline = next((each for each in kin if _is_baseline_of(row, each)), None)
    if baseline is not None and row.config != BASELINE:
        yield from _against_loss(row, baseline)


def _is_baseline_of(row: Row, other: Row) -> bool:
    return (other.config, other.stage, other.seed) == (BASELINE, row.stage, row.seed)


def _against_loss(row: Row, baseline: Row) -> Iterator[BestOverEvals]:
    if row.acc is None or baseline.acc is None or row.loss is None or baseline.loss is None:
        return
    gain = 100.0 * (row.acc - baseline.acc)
    if gain > 0 and row.loss > baseline.loss:
        text = f"accuracy {gain:+.2f}pp, but loss {row.loss:.4f} against the baseline's {baseline.loss:.4f}"
        yield BestOverEvals(row=row, kind="loss", text=text)
