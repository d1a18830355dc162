"""Why did runs fail? By the classes that the scheduler itself tells failures apart with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.audit.rows import Row
from scheduler.decide.failures import RULES
from trainers._failure_texts import classify_text

#: what scripts write where they drop the error's text
WITHOUT_TEXT = frozenset({"", "rc_nonzero", "no_val_metric", "missing_metrics", "fail", "failed", "error"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """All failures of one class."""

    failure_class: str
    rows: tuple[Row, ...]


def class_of(row: Row) -> str:
    """The recorded class where it is a known one, else what the error's text gives away."""
    if row.failure_class in RULES:
        return row.failure_class
    return classify_text(row.error) or "crash"


def lost_its_text(row: Row) -> bool:
    """Whether nothing was kept of what the run said."""
    return row.error.lower() in WITHOUT_TEXT


def failures_by_class(rows: Sequence[Row]) -> tuple[FailureGroup, ...]:
    """The failed runs by class, the most frequent first."""
    by_class: dict[str, list[Row]] = {}
    for row in rows:
        if row.outcome == "failed" and row.kind != "decision":
            by_class.setdefault(class_of(row), []).append(row)
    groups = [FailureGroup(failure_class=name, rows=tuple(found)) for name, found in by_class.items()]
    return tuple(sorted(groups, key=lambda group: (-len(group.rows), group.failure_class)))
