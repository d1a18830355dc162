"""How long did a run take that recorded no time? As long as it was until the next one started."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from scheduler.audit.rows import Row

#: a gap of so many times a usual run is a pause of the script, not a run
PAUSE = 5.0


def seconds_by_place(rows: Sequence[Row]) -> Mapping[str, float]:
    """Wall seconds of each row that took any, by its place; a row whose time cannot be told is left out.

    Scripts name a run's folder by its start. Up to the next start pass the run itself and the rows without a
    folder behind it (failures, probes): the run gets what its like usually take, they share the rest.
    """
    timed = {row.place: row.wall_seconds for row in rows if row.wall_seconds is not None}
    for _, together in groupby(rows, key=lambda row: (row.source, row.round)):
        spans = _spans([row for row in together if row.kind != "decision" and _took_time(row)])
        for place, seconds in _told(spans).items():
            timed.setdefault(place, seconds)
    return timed


def _took_time(row: Row) -> bool:
    return row.outcome in ("ok", "failed")


class _Span:
    """A run that started at a known time, the rows behind it, and the time until the next start."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.others: list[Row] = []
        self.seconds: float | None = None


def _spans(rows: Iterable[Row]) -> list[_Span]:
    spans: list[_Span] = []
    for row in rows:
        if row.started_seconds is None:
            if spans:
                spans[-1].others.append(row)
            continue
        if spans and spans[-1].row.started_seconds is not None:
            gap = row.started_seconds - spans[-1].row.started_seconds
            spans[-1].seconds = gap if gap > 0 else None
        spans.append(_Span(row))
    return spans


def _told(spans: Sequence[_Span]) -> dict[str, float]:
    alone: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for span in spans:
        if span.seconds is not None and not span.others:
            for key in _likes(span.row):
                alone[key].append(span.seconds)
    # the lower one of two: a pause is longer than a run, never shorter
    usual = {key: statistics.median_low(values) for key, values in alone.items()}
    told: dict[str, float] = {}
    for span in spans:
        typical = next((usual[key] for key in _likes(span.row) if key in usual), None)
        told.update(_shared(span, typical))
    return told


def _likes(row: Row) -> tuple[tuple[str, ...], ...]:
    """Whose runs take about as long, the nearest kin first."""
    return ((row.family, row.stage), (row.stage,))


def _shared(span: _Span, typical: float | None) -> dict[str, float]:
    place, seconds = span.row.place, span.seconds
    if seconds is None or (typical is not None and not span.others and seconds > PAUSE * typical):
        return {} if typical is None else {place: typical}
    if not span.others:
        return {place: seconds}
    if typical is None or typical >= seconds:
        # nothing tells one from the other: equal shares
        share = seconds / (1 + len(span.others))
        return {row.place: share for row in (span.row, *span.others)}
    share = (seconds - typical) / len(span.others)
    return {place: typical} | {row.place: share for row in span.others}
