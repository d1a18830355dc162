"""What did an earlier daemon leave behind? Its records, and results nobody heard of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from scheduler.decide.codec import from_record
from scheduler.decide.facts import RunFinished, RunStarted
from scheduler.decide.inputs import Recovered
from scheduler.decide.state import Attempt, State, fold, open_attempts
from scheduler.effects.records import Journal, read_records
from scheduler.rounds.paths import HomePaths, RunPaths


@dataclass(slots=True, kw_only=True)
class Recovery:
    """The state as recorded, and the open files to go on with."""

    state: State
    #: records of rounds that are not finished
    rounds: dict[str, Journal]
    #: when each open attempt started, by attempt id
    started_at: dict[str, datetime]
    journal: Journal = field(init=False)
    ledger: Journal = field(init=False)

    def take(self, record: dict[str, Any]) -> None:
        """Fold one record."""
        fact = from_record(record)
        if fact is None:
            return
        self.state = fold(self.state, fact)
        match fact:
            case RunStarted():
                self.started_at[fact.attempt_id] = datetime.fromisoformat(record["ts"])
            case RunFinished():
                self.started_at.pop(fact.attempt_id, None)


def replay(home: HomePaths) -> Recovery:
    """Fold every record of the home. Raises CorruptRecordsError where one cannot be read."""
    recovery = Recovery(state=State(), rounds={}, started_at={})
    recovery.journal, _ = Journal.open(home.journal, fold=recovery.take)
    recovery.ledger, _ = Journal.open(home.ledger, fold=recovery.take)
    for path in sorted(home.results.glob("*/records.jsonl"), key=_accepted_at):
        round_id = path.parent.name
        journal, _ = Journal.open(path, fold=recovery.take)
        current = recovery.state.rounds.get(round_id)
        if current is None or current.finished is not None:
            journal.close()
        else:
            recovery.rounds[round_id] = journal
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


def _accepted_at(path: Path) -> tuple[str, str]:
    """Rounds queue in the order in which they were accepted."""
    first = next(read_records(path), None)
    return (first["ts"] if first is not None else "", path.parent.name)


def _seconds_alive(paths: RunPaths, started_at: datetime | None) -> float | None:
    """A lost attempt is charged up to the last thing it wrote."""
    if started_at is None:
        return None
    written = [path.stat().st_mtime for path in _files(paths.root)]
    return max(0.0, max(written, default=started_at.timestamp()) - started_at.timestamp())


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if path.is_file())
