"""What of a home's records survives the end of a daemon, or of the machine; and what they tell.

The files are written by the daemon's own code. What a power cut takes of them is decided by what had been
fsynced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scheduler.decide import facts
from scheduler.decide.replay import Replay
from scheduler.decide.state import Live, State
from scheduler.effects.books import Books
from scheduler.effects.patience import Patience
from scheduler.effects.records import Journal, read_facts
from scheduler.rounds.paths import HomePaths


class Crash(Exception):
    """The daemon is gone, as by kill -9, or the machine with it."""


@dataclass(slots=True, kw_only=True)
class Loss:
    """What a crash takes with it."""

    #: with the machine's power, what was not fsynced may be gone
    is_power_cut: bool = False
    #: share of the bytes that were not fsynced and are there nevertheless
    kept: float = 1.0
    #: whether runs in flight came to their end before they were gone
    do_finish: bool = False


@dataclass(slots=True, kw_only=True)
class Fuse:
    """Blows at an action of the daemon that was chosen beforehand."""

    actions_left: int | None = None

    def burn(self) -> None:
        """Another action is about to happen. Raises Crash when it does not."""
        if self.actions_left is not None:
            self.actions_left -= 1
            if self.actions_left < 0:
                self.actions_left = None
                raise Crash


class WatchedBooks(Books):
    """Books that burn the fuse at each action, and know what of them would survive a power cut."""

    def __init__(self, home: HomePaths, *, fuse: Fuse, **files: Any) -> None:
        super().__init__(home, **files, patience=Patience(say=print, may_wait=lambda: False))
        self._fuse = fuse
        #: bytes of a file that are durable, where that is not all of it
        self.durable_bytes: dict[Path, int] = {}
        #: what is durable, and what is not yet
        self.durable: list[facts.Fact] = []
        self._written: list[facts.Fact] = []

    def write(self, fact: facts.Fact) -> None:
        self._fuse.burn()
        super().write(fact)
        self._written.append(fact)

    def _write(self, file: Journal, fields: Mapping[str, Any]) -> None:
        size = file.path.stat().st_size
        super()._write(file, fields)
        self.durable_bytes.setdefault(file.path, size)

    def sync(self) -> None:
        self._fuse.burn()
        super().sync()
        self.durable_bytes.clear()
        self.durable += self._written
        self._written = []


def lose(home: HomePaths, durable_bytes: Mapping[Path, int], kept: float) -> None:
    """Of what was not fsynced a part is gone, in the middle of a record as like as not."""
    for path, durable in durable_bytes.items():
        with path.open("r+b") as file:
            file.truncate(durable + int(kept * (path.stat().st_size - durable)))
    for path in home.results.glob("*/ended.json"):
        if kept < 0.3:
            path.write_bytes(b"")


def recorded(home: HomePaths) -> list[facts.Fact]:
    """Every fact on the disk: the daemon's, the ledger's, then each round's. Their seq has no gap, or this
    raises CorruptRecordsError.
    """
    files = (home.journal, home.ledger, *sorted(home.results.glob("*/records.jsonl")))
    return [line.fact for path in files if path.exists() for line in read_facts(path) if line.fact]


def as_replayed(home: HomePaths) -> State:
    """The state that the files tell, with nothing taken from what is known of ended rounds."""
    known = Replay()
    for fact in recorded(home):
        known.take(fact)
    return known.state()


def without_life(state: State) -> State:
    """What of a state has to be on the disk."""
    return replace(state, live=Live(), accepted=tuple(sorted(state.accepted)))
