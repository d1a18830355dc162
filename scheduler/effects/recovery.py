"""What did an earlier daemon leave behind? Its records, and results nobody heard of."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from scheduler.decide.ended import ended_round
from scheduler.decide.facts import RoundFact, RunFinished, RunStarted
from scheduler.decide.inputs import Recovered
from scheduler.decide.replay import Replay, RoundReplay
from scheduler.decide.result_cache import part_of
from scheduler.decide.state import RoundState, State, open_attempts
from scheduler.decide.task_state import Attempt
from scheduler.effects.ended_file import acceptance, read_ended, write_ended
from scheduler.effects.fact_lines import Recorded
from scheduler.effects.records import Journal
from scheduler.rounds.errors import UnknownIdError
from scheduler.rounds.paths import HomePaths, RoundPaths, RunPaths


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """The state as recorded, and the open files to go on with."""

    state: State
    journal: Journal
    ledger: Journal
    #: records of rounds that are not finished
    rounds: dict[str, Journal]
    #: when each open attempt started, by attempt id
    started_at: Mapping[str, datetime]
    #: when a run ended last, or the round that it belonged to; None where none ever did
    last_run_finished_at: datetime | None = None


def replay(home: HomePaths, about_to_read: Callable[[Path], object] = lambda path: None) -> Recovery:
    """The state after every record of the home. Raises CorruptRecordsError where one cannot be read.

    `about_to_read` hears of each file of records before it is read. Of a round that has ended nothing is read
    but the file that tells what is still needed of it, as long as that stands for its records; else it is
    made again.
    """
    with _uninterrupted():
        reading = _Reading(about_to_read)
        journal = reading.read(home.journal)
        ledger = reading.read(home.ledger)
        rounds = reading.read_rounds(home)
        state = reading.known.state()
        started_at = reading.started_at(state)
    return Recovery(
        state=state,
        journal=journal,
        ledger=ledger,
        rounds=rounds,
        started_at=started_at,
        last_run_finished_at=datetime.fromisoformat(reading.last_end) if reading.last_end else None,
    )


def reopened_round(paths: RoundPaths) -> tuple[Journal, RoundState]:
    """All of an ended round, as its records tell it, and their file, open to go on with.

    Raises CorruptRecordsError, or UnknownIdError where the records are gone.
    """
    if not paths.records.is_file():
        raise UnknownIdError(f"{paths.records} is gone")
    with _uninterrupted():
        reading = _RoundReading()
        journal = Journal.replay(paths.records, reading.take)
    if not reading.known.is_accepted:
        journal.close()
        raise UnknownIdError(f"{paths.records} is empty")
    return journal, reading.known.current


class _Reading:
    """What has been read of a home so far."""

    def __init__(self, about_to_read: Callable[[Path], object]) -> None:
        self.known = Replay()
        self._about_to_read = about_to_read
        self._last_starts: list[tuple[RunStarted, str]] = []
        #: time of the last end of a run, as recorded
        self.last_end = ""

    def read(self, path: Path) -> Journal:
        """Take every fact of the daemon's or the ledger's; their open file."""
        self._about_to_read(path)
        return Journal.replay(path, self._take)

    def _take(self, recorded: Recorded) -> None:
        if recorded.fact is not None:
            self.known.take(recorded.fact)

    def read_rounds(self, home: HomePaths) -> dict[str, Journal]:
        """Take every round, in the order in which they were accepted; returns the files of open ones."""
        folders = [RoundPaths(path.parent) for path in home.results.glob("*/records.jsonl")]
        found = [(paths, read_ended(paths)) for paths in folders]
        known = [(ended.acceptance if ended else acceptance(paths), paths, ended) for paths, ended in found]
        journals = {}
        for _, paths, ended in sorted(known, key=lambda each: (each[0], each[1].root.name)):
            if ended is not None:
                self.last_end = max(self.last_end, ended.ended_at)
                self.known.add_ended(ended.ended, ended.results)
            elif (journal := self._read_round(paths)) is not None:
                journals[paths.root.name] = journal
        return journals

    def _read_round(self, paths: RoundPaths) -> Journal | None:
        """Take every record of a round; its open file, unless it has ended."""
        # A repair that was killed half way is only told by one that reads the records.
        paths.ended.unlink(missing_ok=True)
        self._about_to_read(paths.records)
        reading = _RoundReading()
        journal = Journal.replay(paths.records, reading.take)
        self.last_end = max(self.last_end, reading.last_end)
        # A folder that was copied speaks of another round.
        if not reading.known.is_accepted or reading.known.current.round.id != paths.root.name:
            journal.close()
            return None
        current = reading.known.current
        if current.finished is None:
            self.known.add(current)
            self._last_starts += reading.last_starts.values()
            return journal
        journal.close()
        ended, results = ended_round(current), part_of(current)
        self.known.add_ended(ended, results)
        write_ended(paths, ended, results)
        return None

    def started_at(self, state: State) -> dict[str, datetime]:
        """When each open attempt started, by its id."""
        open_ids = {attempt.id for _, _, attempt in open_attempts(state)}
        starts = {fact.attempt_id: moment for fact, moment in self._last_starts}
        return {name: datetime.fromisoformat(starts[name]) for name in open_ids & starts.keys()}


class _RoundReading:
    """What has been read of a round so far."""

    def __init__(self) -> None:
        self.known = RoundReplay()
        #: by device: an open attempt was the last to start on its own
        self.last_starts: dict[str, tuple[RunStarted, str]] = {}
        self.last_end = ""

    def take(self, recorded: Recorded) -> None:
        """Let a fact of the round count."""
        fact = recorded.fact
        if isinstance(fact, RoundFact):
            self.known.take(fact)
            if isinstance(fact, RunStarted):
                self.last_starts[fact.device] = (fact, recorded.ts)
            elif isinstance(fact, RunFinished):
                self.last_end = recorded.ts


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Nothing that is read here is garbage: looking through it, now and later, would take seconds."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


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


def _seconds_alive(paths: RunPaths, started_at: datetime | None) -> float | None:
    """A lost attempt is charged up to its last heartbeat, or the last thing it wrote after that."""
    if started_at is None:
        return None
    written = [path.stat().st_mtime for path in _signs(paths.root)]
    return max(0.0, max(written, default=started_at.timestamp()) - started_at.timestamp())


def _signs(folder: Path) -> Iterator[Path]:
    """The folder itself, which a worker touches while it lives, and its files."""
    if folder.is_dir():
        yield folder
        yield from (path for path in folder.iterdir() if path.is_file())
