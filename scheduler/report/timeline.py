"""What did a device do during a round? Spans of time in which it was busy, failed, waiting or idle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from scheduler.report.history import AttemptTimes, History

Use = Literal["busy", "failed", "waiting", "idle"]
USES: tuple[Use, ...] = ("busy", "failed", "waiting", "idle")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of time in which a device did one thing. Seconds count from the round's acceptance."""

    use: Use
    begin_seconds: float
    end_seconds: float

    @property
    def seconds(self) -> float:
        return self.end_seconds - self.begin_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """All of one device's time between the acceptance of a round and its last record, without gaps."""

    device: str
    spans: tuple[Span, ...]

    @property
    def seconds(self) -> float:
        return sum(span.seconds for span in self.spans)

    @property
    def seconds_by_use(self) -> Mapping[Use, float]:
        return {use: sum(span.seconds for span in self.spans if span.use == use) for use in USES}


def timelines(history: History) -> tuple[Timeline, ...]:
    """One for each device that the round was given.

    busy: a run trains or is evaluated. failed: it did, and the attempt failed. waiting: a run is being
    prepared and none trains. idle: nothing of this round is under way; another round, a pause, or no daemon.
    """
    attempts = history.attempts()
    devices = dict.fromkeys(attempt.intended.device for attempt in attempts)
    whole = (history.ended_at - history.began_at).total_seconds()
    if whole <= 0:
        return ()
    found = []
    for device in devices:
        own = [attempt for attempt in attempts if attempt.intended.device == device]
        claims = [span for attempt in own for span in _claims(attempt, history.began_at, whole)]
        found.append(Timeline(device=device, spans=tuple(_joined(_uses(claims, whole)))))
    return tuple(found)


def _claims(attempt: AttemptTimes, began_at: datetime, whole: float) -> Iterator[Span]:
    """What one attempt says of its device: waiting until it starts, then busy or failed."""

    def offset(moment: datetime) -> float:
        return min(whole, max(0.0, (moment - began_at).total_seconds()))

    intended = offset(attempt.intended_at)
    finished = whole if attempt.finished_at is None else offset(attempt.finished_at)
    has_failed = attempt.finished is not None and attempt.finished.has_failed
    use: Use
    if attempt.started_at is None:
        if attempt.finished is None or attempt.finished.cached_from is None:
            use = "failed" if has_failed else "waiting"
            yield Span(use=use, begin_seconds=intended, end_seconds=max(intended, finished))
        return
    started = offset(attempt.started_at)
    yield Span(use="waiting", begin_seconds=intended, end_seconds=max(intended, started))
    use = "failed" if has_failed else "busy"
    yield Span(use=use, begin_seconds=started, end_seconds=max(started, finished))


def _uses(claims: Sequence[Span], whole: float) -> Iterator[Span]:
    """The whole time cut at every change; where claims overlap, the first of USES holds."""
    changes: list[tuple[float, int, Use]] = []
    for claim in claims:
        changes += [(claim.begin_seconds, 1, claim.use), (claim.end_seconds, -1, claim.use)]
    active: Counter[Use] = Counter()
    begin = 0.0
    for at, change, use in sorted(changes, key=lambda item: item[0]):
        if at > begin:
            yield Span(use=_first(active), begin_seconds=begin, end_seconds=at)
            begin = at
        active[use] += change
    if whole > begin:
        yield Span(use=_first(active), begin_seconds=begin, end_seconds=whole)


def _first(active: Mapping[Use, int]) -> Use:
    return next((use for use in USES if active.get(use, 0) > 0), "idle")


def _joined(spans: Iterator[Span]) -> Iterator[Span]:
    """Neighbours of one use as one span."""
    last: Span | None = None
    for span in spans:
        if last is not None and last.use == span.use:
            last = Span(use=span.use, begin_seconds=last.begin_seconds, end_seconds=span.end_seconds)
            continue
        if last is not None:
            yield last
        last = span
    if last is not None:
        yield last
