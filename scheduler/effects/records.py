"""How is a fact kept so that no crash, full disk or flipped bit can change or lose it unnoticed?

A file of JSON lines, each numbered and checksummed, with one writer; fsynced before anything acts on it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scheduler.effects.clock import utc_now
from scheduler.effects.fact_lines import Recorded, read_fact
from scheduler.effects.files import NO_ROOM, fsync_folder, publish
from scheduler.effects.record_lines import VERSION, decode, encode
from scheduler.effects.record_reading import (
    BUFFER_BYTES,
    Line,
    read_facts,
    read_record,
    read_records,
    taken,
)
from scheduler.rounds.errors import AlreadyRunningError, RecordsWriteError

__all__ = ["DiskFullError", "Journal", "decode", "encode", "read_facts", "read_records"]


class DiskFullError(RecordsWriteError):
    """The disk is full: the record was taken back whole, and the journal works again once there is space."""


class Journal:
    """The one writer of a file of records. Whoever holds it open keeps every other writer out."""

    @classmethod
    def open(
        cls, path: Path, *, clock: Callable[[], datetime] = utc_now
    ) -> tuple[Journal, list[dict[str, Any]]]:
        """The journal and every record in it; the file is made when there is none.

        A torn tail is moved to `<stem>.torn.<seq>` beside it, and a `repaired` record says so. Raises
        CorruptRecordsError when records would be lost, AlreadyRunningError when another writer has it.
        """
        records: list[dict[str, Any]] = []
        journal, repaired = cls._opened(
            path, read_record, lambda line: records.append(line.record), clock=clock
        )
        return journal, records if repaired is None else [*records, repaired]

    @classmethod
    def replay(
        cls, path: Path, take: Callable[[Recorded], object], *, clock: Callable[[], datetime] = utc_now
    ) -> Journal:
        """Like `open`, with every fact in the file handed to `take` instead: many of them need no memory.

        Raises CorruptRecordsError also where `take` raises ValueError, KeyError or TypeError: the fact cannot
        follow the ones before it.
        """
        journal, _ = cls._opened(path, read_fact, take, clock=clock)  # a repair is no fact
        return journal

    @classmethod
    def _opened(
        cls,
        path: Path,
        read: Callable[[bytes], Line],
        take: Callable[[Line], object],
        *,
        clock: Callable[[], datetime],
    ) -> tuple[Journal, dict[str, Any] | None]:
        """The journal, and the record of its repair if it needed one."""
        fd = _open_for_one_writer(path)
        try:
            with open(fd, "rb", buffering=BUFFER_BYTES, closefd=False) as file:
                count, end = taken(file, path, read, take)
            journal = cls(fd, path, end=end, next_seq=count + 1, clock=clock)
            return journal, journal._repair()
        except BaseException:
            os.close(fd)
            raise

    def __init__(
        self, fd: int, path: Path, *, end: int, next_seq: int, clock: Callable[[], datetime]
    ) -> None:
        self.path = path
        self._fd = fd
        #: bytes of whole records; whatever lies beyond was never acknowledged
        self._end = end
        self._next_seq = next_seq
        self._clock = clock
        #: why nothing can be appended any more; None while all is well
        self._failure: str | None = None

    def append(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Make a record durable and return it as a reader will see it. Raises as `write` and `sync` do."""
        line = self.write(fields)
        self.sync()
        return decode(line)

    def write(self, fields: Mapping[str, Any]) -> bytes:
        """Put a record at the end of the file, and return its line. It is durable after the next `sync`.

        Raises DiskFullError with the file as it was before, and the journal stays usable. After any other
        RecordsWriteError the journal takes nothing more.
        """
        self._require_sound()
        line = encode(self._numbered(fields))
        # Holds unless every step below is seen to succeed, also when a signal handler raises in between.
        self._failure = "an earlier record was not written whole"
        self._write(line)
        self._failure = None
        self._end += len(line)
        self._next_seq += 1
        return line

    def sync(self) -> None:
        """Make every record durable that was written so far.

        After a RecordsWriteError the journal takes nothing more, since a second fsync proves nothing about
        the first.
        """
        self._require_sound()
        self._failure = "an earlier fsync did not finish"
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise self._broken("cannot be made durable", error) from error
        self._failure = None

    def _require_sound(self) -> None:
        if self._failure is not None:
            raise RecordsWriteError(
                f"{self.path}: {self._failure}. Start the daemon again: it replays the file."
            )

    def close(self) -> None:
        """Let other writers in. The journal takes nothing more."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
        self._failure = "the journal is closed"

    def _numbered(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        reserved = {"v", "seq", "ts", "crc"} & fields.keys()
        if reserved:
            raise ValueError(f"a fact may not carry {', '.join(sorted(reserved))}")
        moment = self._clock().astimezone(UTC).isoformat(timespec="milliseconds")
        return {"v": VERSION, "seq": self._next_seq, "ts": moment.replace("+00:00", "Z"), **fields}

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:
                count = os.write(self._fd, rest)
                if count <= 0:
                    raise OSError(errno.EIO, "the disk took no bytes")
                rest = rest[count:]
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise self._broken("cannot be written", error) from error
            self._take_back()
            raise DiskFullError(
                f"{self.path}: {os.strerror(error.errno)}. Free some space; the queue resumes by itself."
            ) from error

    def _take_back(self) -> None:
        """Remove the part of a record that a full disk let through."""
        try:
            os.ftruncate(self._fd, self._end)
        except OSError as error:
            raise self._broken("cannot be cut back after the disk was full", error) from error
        self._failure = None

    def _broken(self, what: str, error: OSError) -> RecordsWriteError:
        self._failure = f"{what} ({error.strerror})"
        return RecordsWriteError(
            f"{self.path}: {self._failure}. Look at the disk (dmesg), then start the daemon again."
        )

    def _repair(self) -> dict[str, Any] | None:
        with open(self._fd, "rb", closefd=False) as file:
            file.seek(self._end)
            tail = file.read()
        name = f"{self.path.stem}.torn.{self._next_seq}"
        try:
            if tail:
                publish(_free_name(self.path.with_name(name), tail), tail)
                os.ftruncate(self._fd, self._end)
                os.fsync(self._fd)
        except OSError as error:
            raise RecordsWriteError(
                f"{self.path}: its torn tail cannot be repaired ({error.strerror}). "
                f"Make room on the disk or repair it, then start again."
            ) from error
        # Copies from before this start: a repair that was killed between the cut and its record.
        torn = sorted(path for path in self.path.parent.glob(f"{name}*") if _is_torn_copy(path, name))
        if not torn:
            return None
        return self.append(
            {
                "event": "repaired",
                "files": [path.name for path in torn],
                "offset": self._end,
                "bytes": sum(path.stat().st_size for path in torn),
            }
        )


def _open_for_one_writer(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_size == 0:  # whoever wrote a first record has made the file's name durable before
            fsync_folder(path.parent)
    except BlockingIOError as error:
        os.close(fd)
        raise AlreadyRunningError(
            f"{path} is being written by another process. Stop the other daemon first (schedctl status)."
        ) from error
    except BaseException:
        os.close(fd)
        raise
    return fd


def _is_torn_copy(path: Path, name: str) -> bool:
    """True for `name` and what `_free_name` makes of it."""
    rest = path.name.removeprefix(name)
    return not rest or (rest[0] == "." and rest[1:].isdecimal())


def _free_name(path: Path, content: bytes) -> Path:
    """`path`, or it with a number, such that no other content is overwritten."""
    candidate, number = path, 1
    while candidate.exists() and candidate.read_bytes() != content:
        number += 1
        candidate = path.with_name(f"{path.name}.{number}")
    return candidate
