"""Which dropped files become rounds? Scans the queue, has files checked in children, moves them on."""

from __future__ import annotations

import itertools
import queue
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson

from scheduler.decide.actions import MoveSpec
from scheduler.decide.facts import RoundAccepted, SpecRejected
from scheduler.decide.inputs import SpecChecked
from scheduler.effects.arrivals import Arrival, Unreadable
from scheduler.effects.errands import Errands
from scheduler.effects.files import fsync_folder, publish
from scheduler.effects.intake import Draught, Dropped, checked, read_specs, rejection_text
from scheduler.effects.records import Journal
from scheduler.effects.spool import Spool
from scheduler.rounds.paths import HomePaths

#: files that one child reads
READ_AT_ONCE = 64
#: such children: what comes while one is busy with slow files does not wait for it
READERS = 2
#: files of which the trainers are asked side by side: one whose trainer hangs holds up no other
ASKED_AT_ONCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecReturned:
    """A file came back from its check."""

    arrival: Arrival
    checked: SpecChecked


class Reception:
    """The daemon's side of the queue folder. Parsing happens elsewhere, and no file waits for a bad one."""

    def __init__(
        self,
        home: HomePaths,
        spool: Spool,
        post: Callable[[SpecReturned], None],
        environment: Mapping[str, str],
    ) -> None:
        self._home = home
        self._environment = environment
        self._spool = spool
        self._post = post
        #: first all files are read, then the trainers are asked of them, of sound ones before the others
        self._readers = Errands("read", most_threads=READERS)
        self._askers = Errands("ask", most_threads=ASKED_AT_ONCE)
        self._unread: queue.SimpleQueue[Arrival] = queue.SimpleQueue()
        self._unasked: queue.PriorityQueue[tuple[bool, int, Arrival, Draught]] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._is_open = True
        self._arrivals: dict[tuple[str, str], Arrival] = {}
        #: of those that came back from their check, the values that are in no record
        self._secrets: dict[tuple[str, str], Mapping[str, str]] = {}

    @property
    def is_quiet(self) -> bool:
        """Whether no file is being checked or still settling."""
        return not self._arrivals and self._spool.next_scan_in() is None

    def next_scan_in(self) -> float | None:
        """Seconds until another scan is useful."""
        return self._spool.next_scan_in()

    def scan(self) -> list[SpecChecked]:
        """Send what is ready to its check; gives back files that cannot be specs, whatever they hold."""
        refused = []
        for found in self._spool.scan():
            if isinstance(found, Unreadable):
                refused.append(
                    SpecChecked(file=found.name, sha256="", suffix="", spec=None, problems=(found.reason,))
                )
            else:
                self._arrivals[found.name, found.sha256] = found
                self._unread.put(found)
                self._readers.run(self._read_what_waits)
        return refused

    def take_back(self, returned: SpecReturned) -> SpecChecked | None:
        """What the check found; None when a copy may still be under way and the file gets more time."""
        if returned.checked.problems and not returned.arrival.is_final:
            self._spool.postpone(returned.arrival.path)
            self._forget(returned.checked)
            return None
        checked = returned.checked
        self._secrets[checked.file, checked.sha256] = checked.secrets
        return checked

    def keep(self, accepted: RoundAccepted) -> Journal:
        """Make the spec's bytes and the resolved round durable; returns the round's empty records."""
        paths = self._home.round(accepted.round)
        key = accepted.file, accepted.sha256
        paths.root.mkdir(parents=True, exist_ok=True)
        fsync_folder(paths.root.parent)  # or a power cut may take the folder with all that is durable in it
        secrets = self._secrets.get(key)
        if secrets:
            publish(paths.secrets, orjson.dumps(secrets), mode=0o600)
        publish(paths.spec(accepted.suffix), self._arrivals[key].data, mode=0o600 if secrets else 0o640)
        publish(paths.resolved, orjson.dumps(accepted.spec, option=orjson.OPT_INDENT_2))
        journal, _ = Journal.open(paths.records)
        return journal

    def reject(self, rejected: SpecRejected) -> None:
        """Move the file out of the way, with every problem beside it."""
        checked = SpecChecked(
            file=rejected.file,
            sha256=rejected.sha256,
            suffix="",
            spec=None,
            problems=rejected.problems,
        )
        self._spool.to_rejected(rejected.file, rejection_text(checked))
        self._forget(checked)

    def finish(self, accepted: RoundAccepted) -> None:
        """Move a file on that a daemon had accepted, and that was killed before it moved it.

        It is not checked again: what has changed since, a trainer or an input, must not have it rejected.
        """
        name = f"{accepted.round}{accepted.suffix}"
        if not (self._home.active / name).exists() and self._spool.holds(accepted.file, accepted.sha256):
            self._spool.to_active(accepted.file, name)

    def move(self, action: MoveSpec) -> None:
        """Move an accepted file on. In `active/` and `done/` it is called by the round's id."""
        name = f"{action.round}{action.suffix}"
        match action.to:
            case "active":
                self._spool.to_active(action.file, name)
            case "done":
                self._spool.to_done(name)
            case "known" if action.is_open and not (self._home.active / name).exists():
                self._spool.to_active(action.file, name)
            case "known":
                self._spool.duplicate_to_done(action.file)
        self._arrivals = {key: kept for key, kept in self._arrivals.items() if key[0] != action.file}
        self._secrets = {key: kept for key, kept in self._secrets.items() if key[0] != action.file}

    def close(self) -> None:
        self._is_open = False
        for errands in (self._readers, self._askers):
            errands.close()

    def _read_what_waits(self) -> None:
        """Read every file that waits by now, in one child: its start takes longer than a file does."""
        arrivals: list[Arrival] = []
        while len(arrivals) < READ_AT_ONCE:
            try:
                arrivals.append(self._unread.get_nowait())
            except queue.Empty:
                break

        def tell(number: int, read: Draught) -> None:
            self._unasked.put((bool(read.problems), next(self._numbers), arrivals[number], read))
            self._askers.run(self._ask_of_one)

        files = [Dropped(name=arrival.name, data=arrival.data) for arrival in arrivals]
        read_specs(files, tell, self._environment, is_wanted=lambda: self._is_open)

    def _ask_of_one(self) -> None:
        _, _, arrival, read = self._unasked.get_nowait()
        dropped = Dropped(name=arrival.name, data=arrival.data)
        found = checked(dropped, read, self._home, self._environment, is_wanted=lambda: self._is_open)
        self._post(SpecReturned(arrival=arrival, checked=found))

    def _forget(self, checked: SpecChecked) -> None:
        self._arrivals.pop((checked.file, checked.sha256), None)
        self._secrets.pop((checked.file, checked.sha256), None)
