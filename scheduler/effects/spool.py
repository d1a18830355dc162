"""Which round specs have arrived, and where do they go? The scan of `queue/` is the truth about both."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scheduler.effects.arrivals import (
    MAX_NAME_BYTES,
    MAX_SPEC_BYTES,
    Arrival,
    Signature,
    Unreadable,
    is_candidate,
    problem_of,
    read_unless_written,
)
from scheduler.effects.files import fsync_folder, open_regular, publish, temporary_beside, write_new
from scheduler.effects.folder_watch import watch
from scheduler.effects.plain_text import plain_text
from scheduler.rounds.errors import UsageError
from scheduler.rounds.paths import HomePaths

__all__ = ["Arrival", "Spool", "Unreadable", "reject", "submit", "watch"]

#: a copied file is taken for complete after this long without a change
SETTLE_SECONDS = 1.0
#: how far back a submitted file's mtime is set, so that it is seen to have come complete
_SUBMITTED_AGE_NS = 1_000_000_000


@dataclass(slots=True, kw_only=True)
class _Sighting:
    """What is remembered of a file between two scans, for as long as it does not change."""

    signature: Signature
    #: monotonic seconds of the first scan that saw it like this
    since: float
    #: settling -> delivered by scan; delivered -> postponed by postpone; postponed -> delivered by scan, once
    stage: Literal["settling", "delivered", "postponed"] = "settling"


class Spool:
    """The queue's folders. Only the daemon moves files in them."""

    def __init__(
        self,
        home: HomePaths,
        *,
        quiet_period_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._quiet_period_seconds = quiet_period_seconds
        self._monotonic = monotonic
        self._sightings: dict[str, _Sighting] = {}

    def scan(self) -> list[Arrival | Unreadable]:
        """The files that became ready since the last scan, by name; each once, unless it changes."""
        now = self._monotonic()
        sightings: dict[str, _Sighting] = {}
        found = []
        for name in sorted(filter(is_candidate, os.listdir(self._home.queue))):
            path = self._home.queue / name
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(status.st_mode):
                continue
            sighting = self._sightings.get(name)
            if sighting is None or sighting.signature != Signature.of(status):
                sighting = _Sighting(signature=Signature.of(status), since=now)
            sightings[name] = sighting
            arrived = self._look(path, status, sighting, now)
            if arrived is not None:
                sighting.stage = "delivered"
                found.append(arrived)
        self._sightings = sightings
        return found

    def next_scan_in(self) -> float | None:
        """Seconds until another scan may find what this one could not; None when only a change can."""
        now = self._monotonic()
        waits = [self._ready_at(s) - now for s in self._sightings.values() if s.stage != "delivered"]
        # What should have been ready has a writer: it is asked again at the pace of settling.
        return min((wait if wait > 0 else SETTLE_SECONDS for wait in waits), default=None)

    def postpone(self, path: Path) -> None:
        """Give a file that could not be parsed the rest of its quiet period: its copy may not be complete."""
        sighting = self._sightings.get(path.name)
        if sighting is not None and sighting.stage == "delivered":
            sighting.stage = "postponed"

    def holds(self, name: str, sha256: str) -> bool:
        """Whether a file in the queue has exactly these bytes."""
        try:
            with open_regular(self._home.queue / name) as file:
                return hashlib.sha256(file.read(MAX_SPEC_BYTES + 1)).hexdigest() == sha256
        except (OSError, ValueError):
            return False

    def to_active(self, name: str, as_name: str | None = None) -> Path | None:
        """Move an accepted file to `active/`, there called `as_name`.

        None when it is gone, or has changed since it was handed out: then it stays, and is handed out anew.
        """
        return self._leave_queue(name, self._home.active, as_name or name)

    def to_done(self, active_name: str) -> Path | None:
        """Move a file from `active/` to `done/` when its round has ended; None when it is gone."""
        return _move(self._home.active / active_name, self._home.done, active_name)

    def duplicate_to_done(self, name: str) -> Path | None:
        """Move a file from the queue to `done/` whose round is known already; None as for `to_active`."""
        return self._leave_queue(name, self._home.done, name)

    def to_rejected(self, name: str, why_text: str) -> Path | None:
        """Move a file to `rejected/`, after `<file>.why.txt` is there; None as for `to_active`."""
        if not self._is_as_delivered(name):
            return None
        return reject(self._home.queue / name, self._home.rejected, why_text)

    def _look(
        self, path: Path, status: os.stat_result, sighting: _Sighting, now: float
    ) -> Arrival | Unreadable | None:
        if sighting.stage == "delivered" or (
            sighting.stage == "postponed" and now < self._ready_at(sighting)
        ):
            return None
        problem = problem_of(path.name, status)
        if problem is not None:
            return Unreadable(path=path, name=path.name, reason=problem)
        has_settled = now - sighting.since >= SETTLE_SECONDS
        came_by_rename = sighting.signature.came_by_rename
        if not has_settled and not came_by_rename:
            return None
        try:
            contents = read_unless_written(path, sighting.signature)
        except (FileNotFoundError, ValueError):
            return None
        except OSError as error:
            # Copying as another user sets the permissions last.
            reason = (
                f"the file cannot be read: {error.strerror}. Give the daemon's user the right to read it."
            )
            return Unreadable(path=path, name=path.name, reason=reason) if has_settled else None
        if contents is None or not (has_settled or contents.has_no_writer):
            return None
        came_complete = came_by_rename and contents.has_no_writer
        return Arrival(
            path=path,
            name=path.name,
            suffix=path.suffix.lower(),
            data=contents.data,
            sha256=hashlib.sha256(contents.data).hexdigest(),
            came_complete=came_complete,
            is_final=came_complete or now - sighting.since >= self._quiet_period_seconds,
        )

    def _ready_at(self, sighting: _Sighting) -> float:
        is_postponed = sighting.stage == "postponed"
        return sighting.since + (self._quiet_period_seconds if is_postponed else SETTLE_SECONDS)

    def _leave_queue(self, name: str, folder: Path, new_name: str) -> Path | None:
        if not self._is_as_delivered(name):
            return None
        return _move(self._home.queue / name, folder, new_name)

    def _is_as_delivered(self, name: str) -> bool:
        sighting = self._sightings.get(name)
        try:
            status = (self._home.queue / name).lstat()
        except FileNotFoundError:
            return False
        # Without a sighting the records say that it was accepted: a daemon before this one was killed.
        return sighting is None or sighting.signature == Signature.of(status)


def reject(path: Path, rejected: Path, why_text: str) -> Path | None:
    """Move a file to `rejected`, after a file beside its new name says why. None when it is gone."""
    if not os.path.lexists(path):
        return None
    target = _free_name(rejected, path.name)
    publish(target.with_name(f"{target.name}.why.txt"), plain_text(why_text).encode())
    return _move(path, rejected, path.name)


def submit(home: HomePaths, data: bytes, name: str) -> Path:
    """Put a spec into the queue, whole and durable, where the next scan takes it at once.

    A file of that name that waits there is kept: the same bytes are not queued twice, others get a number.
    """
    if not is_candidate(name) or Path(name).name != name:
        raise UsageError(f"{name!r} cannot be queued: the name of a spec ends in .toml or .json.")
    if not name.isprintable() or len(os.fsencode(name)) > MAX_NAME_BYTES:
        raise UsageError(f"{name!r} cannot be queued: it is too long, or cannot be shown. Rename the file.")
    home.queue.mkdir(exist_ok=True)
    temporary = temporary_beside(home.queue / name)
    write_new(temporary, data, mode=0o640, sync=True)
    try:
        written = time.time_ns() - _SUBMITTED_AGE_NS
        os.utime(temporary, ns=(written, written))
        target = _linked(temporary, home.queue / name, data)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_folder(home.queue)
    return target


def _linked(temporary: Path, path: Path, data: bytes) -> Path:
    target, number = path, 1
    while True:
        try:
            # A link refuses a name that is taken, which rename would overwrite.
            os.link(temporary, target)
            return target
        except FileExistsError:
            if not target.is_symlink() and target.is_file() and target.read_bytes() == data:
                return target
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS) or os.path.lexists(target):
                raise
            return temporary.rename(target)
        number += 1
        # The stem is a round's default id, which a dot would spoil.
        target = path.with_stem(f"{path.stem}-{number}")


def _move(source: Path, folder: Path, name: str) -> Path | None:
    # Only the daemon puts files into these folders, so that a free name stays free.
    target = _free_name(folder, name)
    try:
        source.rename(target)
    except FileNotFoundError:
        return None
    fsync_folder(folder)
    fsync_folder(source.parent)
    return target


def _free_name(folder: Path, name: str) -> Path:
    wanted = folder / name
    while len(os.fsencode(wanted.name)) > MAX_NAME_BYTES:
        wanted = wanted.with_stem(wanted.stem[:-1])
    target, number = wanted, 1
    while os.path.lexists(target):
        number += 1
        target = wanted.with_stem(f"{wanted.stem}.{number}")
    return target
