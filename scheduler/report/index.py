"""Which rounds are there, and how did they end? One line a round, newest first."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from scheduler.decide import facts
from scheduler.decide.codec import event_name, from_record
from scheduler.effects.ended_file import EndedFile, read_ended
from scheduler.effects.records import read_records
from scheduler.report.load import load_round, round_ids
from scheduler.report.reading import read_round
from scheduler.report.templating import render
from scheduler.rounds.errors import CorruptRecordsError
from scheduler.rounds.paths import HomePaths, RoundPaths

#: the facts that a line is made of
_EVENTS = {
    event_name(kind)
    for kind in (
        facts.RoundAccepted,
        facts.VerdictReached,
        facts.TaskParked,
        facts.RoundCancelled,
        facts.RoundFinished,
    )
}
#: they take verdicts back, which only the whole state can tell
_REOPENING = {event_name(facts.TaskRetried), event_name(facts.TaskRebatched)}


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexLine:
    """One round."""

    id: str
    title: str = ""
    #: None where the records cannot be read
    accepted_at: datetime | None = None
    #: among all rounds, as its acceptance tells it; 0 in older records
    place: int = 0
    outcome: str = "in progress"
    #: how many variants got each verdict, by name
    verdicts: Mapping[str, int] = field(default_factory=dict)
    tasks: int = 0
    variants: int = 0
    parked: int = 0
    has_report: bool = False


def read_index(home: HomePaths) -> tuple[IndexLine, ...]:
    """Every round of the home, newest first."""
    lines = [line for name in round_ids(home) if (line := _line(home.round(name))) is not None]
    return tuple(sorted(lines, key=_age, reverse=True))


def _age(line: IndexLine) -> tuple[int, str, str]:
    return (line.place, "" if line.accepted_at is None else line.accepted_at.isoformat(), line.id)


def render_index(lines: tuple[IndexLine, ...]) -> str:
    """The whole page."""
    return render("index.html", lines=lines)


def _line(paths: RoundPaths) -> IndexLine | None:
    """The round's line; None when it has no records yet."""
    try:
        ended = read_ended(paths)
        return _read_line(paths) if ended is None else _ended_line(ended, paths)
    except CorruptRecordsError:
        return IndexLine(id=paths.root.name, outcome="damaged records")


def _ended_line(known: EndedFile, paths: RoundPaths) -> IndexLine:
    """The line of a round whose records need not be read for it."""
    ended = known.ended
    return IndexLine(
        id=ended.id,
        title=ended.title,
        accepted_at=datetime.fromisoformat(known.accepted_at),
        place=ended.place or 0,
        outcome=ended.outcome,
        verdicts=ended.verdicts,
        tasks=ended.tasks,
        variants=ended.variants,
        parked=len(ended.parked),
        has_report=paths.report.is_file(),
    )


def _read_line(paths: RoundPaths) -> IndexLine | None:
    line: IndexLine | None = None
    verdicts: dict[tuple[str, str], str] = {}
    parked: set[str] = set()
    is_reopened = False
    for record in read_records(paths.records):
        is_reopened = is_reopened or record["event"] in _REOPENING
        match from_record(record) if record["event"] in _EVENTS else None:
            case facts.RoundAccepted() as fact:
                line = _accepted(fact, datetime.fromisoformat(record["ts"]), paths)
            case facts.VerdictReached() as fact:
                verdicts[fact.task, fact.config] = fact.verdict
            case facts.TaskParked() as fact:
                parked.add(fact.task)
            case facts.RoundCancelled() if line is not None:
                line = dataclasses.replace(line, outcome="cancelled")
            case facts.RoundFinished() as fact if line is not None:
                line = dataclasses.replace(line, outcome=fact.outcome)
    if line is None:
        return None
    if is_reopened:
        return _reopened(line, paths)
    counts = dict(sorted(Counter(verdicts.values()).items()))
    return dataclasses.replace(line, verdicts=counts, parked=len(parked))


def _accepted(fact: facts.RoundAccepted, at: datetime, paths: RoundPaths) -> IndexLine:
    tasks = fact.spec["tasks"]
    return IndexLine(
        id=fact.round,
        title=fact.spec["title"],
        accepted_at=at,
        place=fact.place or 0,
        tasks=len(tasks),
        variants=sum(len(task["variants"]) for task in tasks),
        has_report=paths.report.is_file(),
    )


def _reopened(line: IndexLine, paths: RoundPaths) -> IndexLine:
    reading = read_round(load_round(paths))
    parked = sum(task.state.parked is not None for task in reading.tasks)
    return dataclasses.replace(line, outcome=reading.outcome, verdicts=reading.verdicts, parked=parked)
