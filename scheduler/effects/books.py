"""Where is a fact written down? The daemon's journal or its round's records; nothing else writes either."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from scheduler.decide.events import Fact, RoundAccepted, RoundFact, RoundFinished, to_fields
from scheduler.effects.records import DiskFullError, Journal
from scheduler.rounds.errors import RecordsWriteError
from scheduler.rounds.paths import HomePaths

#: between two tries to write a record to a full disk
DISK_FULL_SECONDS = 1.0


#: facts of a round that the journal notes too, by the note's event; a note changes no state
NOTES: dict[type[Fact], str] = {RoundAccepted: "spec_accepted", RoundFinished: "round_ended"}

NOTED_FIELDS = ("round", "file", "sha256", "outcome")


class Books:
    """Every file of records that is open. A fact that was written is on the disk."""

    def __init__(
        self,
        home: HomePaths,
        *,
        journal: Journal,
        rounds: dict[str, Journal],
        say: Callable[[str], None],
        may_wait: Callable[[], bool],
    ) -> None:
        self._home = home
        self._journal = journal
        self._rounds = rounds
        self._say = say
        self._may_wait = may_wait

    def open_round(self, round_id: str, records: Journal) -> None:
        """Take over the empty records of a round that is about to be accepted."""
        self._rounds[round_id] = records

    def write(self, fact: Fact) -> None:
        """Make the fact durable, however long the disk is full: nothing may go on that is not recorded.

        Raises RecordsWriteError when the disk is full and the daemon may not wait, or an fsync failed.
        """
        self._append(self._file_of(fact), to_fields(fact))
        note = NOTES.get(type(fact))
        if note is not None and isinstance(fact, RoundFact):
            told = {name: value for name, value in to_fields(fact).items() if name in NOTED_FIELDS}
            self._append(self._journal, {"event": note, **told})

    def _append(self, journal: Journal, fields: Mapping[str, Any]) -> None:
        is_told = False
        while True:
            try:
                journal.append(fields)
                return
            except DiskFullError as error:
                if not self._may_wait():
                    raise RecordsWriteError("the disk is full and the daemon was told to stop") from error
                if not is_told:
                    self._say(f"the disk is full: {error}")
                is_told = True
                time.sleep(DISK_FULL_SECONDS)

    def close_round(self, round_id: str) -> None:
        """Let go of a finished round's file. A person's retry opens it again."""
        journal = self._rounds.pop(round_id, None)
        if journal is not None:
            journal.close()

    def close(self) -> None:
        for journal in (self._journal, *self._rounds.values()):
            journal.close()

    def _file_of(self, fact: Fact) -> Journal:
        if not isinstance(fact, RoundFact):
            return self._journal
        if fact.round not in self._rounds:
            self._rounds[fact.round], _ = Journal.open(self._home.round(fact.round).records)
        return self._rounds[fact.round]
