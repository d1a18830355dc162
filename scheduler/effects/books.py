"""Where is a fact written down? The daemon's journal, the ledger, or its round's records: one writer each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scheduler.decide.codec import to_fields
from scheduler.decide.ended import EndedRound
from scheduler.decide.facts import Fact, LedgerFact, RoundAccepted, RoundFact, RoundFinished
from scheduler.decide.state import RoundState
from scheduler.effects.ended_file import write_ended
from scheduler.effects.patience import Patience
from scheduler.effects.records import Journal
from scheduler.effects.recovery import reopened_round
from scheduler.rounds.paths import HomePaths

#: facts of a round that the journal notes too, by the note's event; a note changes no state
NOTES: dict[type[Fact], str] = {RoundAccepted: "spec_accepted", RoundFinished: "round_ended"}

NOTED_FIELDS = ("round", "file", "sha256", "outcome")


class Books:
    """Every file of records that is open. Facts become durable in the order in which they were written."""

    def __init__(
        self,
        home: HomePaths,
        *,
        journal: Journal,
        ledger: Journal,
        rounds: dict[str, Journal],
        patience: Patience,
    ) -> None:
        self._home = home
        self._journal = journal
        self._ledger = ledger
        self._rounds = rounds
        self._patience = patience
        #: the file with facts that may not be durable yet; there is never a second one
        self._unsynced: Journal | None = None

    def open_round(self, round_id: str, records: Journal) -> None:
        """Take over the empty records of a round that is about to be accepted."""
        self._rounds[round_id] = records

    def write(self, fact: Fact) -> None:
        """Write the fact down, however long the disk is full. It counts for others after the next `sync`.

        Raises RecordsWriteError when the disk is full and the daemon may not wait, or an fsync failed.
        """
        self._write(self._file_of(fact), to_fields(fact))
        note = NOTES.get(type(fact))
        if note is not None and isinstance(fact, RoundFact):
            told = {name: value for name, value in to_fields(fact).items() if name in NOTED_FIELDS}
            self._write(self._journal, {"event": note, **told})

    def sync(self) -> None:
        """Make durable what was written. Raises RecordsWriteError when that fails."""
        if self._unsynced is not None:
            self._unsynced.sync()
            self._unsynced = None

    def _write(self, file: Journal, fields: Mapping[str, Any]) -> None:
        if self._unsynced is not file:
            self.sync()  # or a crash of the machine might keep the later fact and lose the earlier one
        self._patience.on_full_disk(lambda: file.write(fields))
        self._unsynced = file

    def load_round(self, round_id: str) -> RoundState:
        """All of an ended round, as its records tell it; its file is open again.

        Raises CorruptRecordsError, or UnknownIdError where the records are gone.
        """
        self._rounds[round_id], current = reopened_round(self._home.round(round_id))
        return current

    def end_round(self, ended: EndedRound, results: Mapping[str, Any]) -> None:
        """Let go of a finished round's file, and keep beside it what is still to be known of the round."""
        write_ended(self._home.round(ended.id), ended, results)
        self.close_round(ended.id)

    def close_round(self, round_id: str) -> None:
        """Let go of a finished round's file. A person's retry opens it again."""
        journal = self._rounds.pop(round_id, None)
        if journal is not None:
            journal.close()

    def close(self) -> None:
        for journal in (self._journal, self._ledger, *self._rounds.values()):
            journal.close()

    def _file_of(self, fact: Fact) -> Journal:
        if isinstance(fact, LedgerFact):
            return self._ledger
        if not isinstance(fact, RoundFact):
            return self._journal
        return self._rounds[fact.round]
