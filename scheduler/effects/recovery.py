"""What did an earlier daemon leave behind? Its records, and results nobody heard of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from scheduler.decide.events import Recovered, from_record
from scheduler.decide.state import Attempt, State, fold, open_attempts
from scheduler.effects.records import Journal
from scheduler.rounds.paths import HomePaths, RunPaths


@dataclass(slots=True, kw_only=True)
class Recovery:
    """The state as recorded, and the open files to go on with."""

    state: State
    journal: Journal
    #: records of rounds that are not finished
    rounds: dict[str, Journal]
    #: when each open attempt started, by attempt id
    started_at: dict[str, datetime]


def replay(home: HomePaths) -> Recovery:
    """Fold every record of the home. Raises CorruptRecordsError where one cannot be read."""
    journal, records = Journal.open(home.journal)
    recovery = Recovery(state=State(), journal=journal, rounds={}, started_at={})
    _fold_all(recovery, records)
    opened = [
        (path.parent.name, *Journal.open(path)) for path in sorted(home.results.glob("*/records.jsonl"))
    ]
    for round_id, round_journal, round_records in sorted(opened, key=_accepted_at):
        _fold_all(recovery, round_records)
        current = recovery.state.rounds.get(round_id)
        if current is None or current.finished is not None:
            round_journal.close()
        else:
            recovery.rounds[round_id] = round_journal
    return recovery


def recovered(home: HomePaths, recovery: Recovery) -> Recovered:
    """What became of the runs in flight: results on disk, and signs of life."""
    results: dict[str, Mapping[str, Any]] = {}
    wall_seconds: dict[str, float] = {}
    for paths, attempt in _open_runs(home, recovery.state):
        if paths.result.exists():
            results[attempt.id] = orjson.loads(paths.result.read_bytes())
        seconds = _seconds_alive(paths, recovery.started_at.get(attempt.id))
        if seconds is not None:
            wall_seconds[attempt.id] = seconds
    return Recovered(results=results, wall_seconds=wall_seconds)


def _open_runs(home: HomePaths, state: State) -> Iterator[tuple[RunPaths, Attempt]]:
    for current, _, attempt in open_attempts(state):
        yield home.round(current.round.id).run(attempt.intended.run_dir), attempt


def _fold_all(recovery: Recovery, records: list[dict[str, Any]]) -> None:
    for record in records:
        fact = from_record(record)
        if fact is None:
            continue
        recovery.state = fold(recovery.state, fact)
        if record["event"] == "run_started":
            recovery.started_at[fact.attempt_id] = datetime.fromisoformat(record["ts"])  # type: ignore[union-attr]


def _accepted_at(opened: tuple[str, Journal, list[dict[str, Any]]]) -> tuple[str, str]:
    """Rounds queue in the order in which they were accepted."""
    round_id, _, records = opened
    return (records[0]["ts"] if records else "", round_id)


def _seconds_alive(paths: RunPaths, started_at: datetime | None) -> float | None:
    """A lost attempt is charged up to the last thing it wrote."""
    if started_at is None:
        return None
    written = [path.stat().st_mtime for path in _files(paths.root)]
    return max(0.0, max(written, default=started_at.timestamp()) - started_at.timestamp())


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if path.is_file())
