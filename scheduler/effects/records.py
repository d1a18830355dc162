"""How is a fact kept so that no crash, full disk or flipped bit can change or lose it unnoticed?

A file of JSON lines, each numbered and checksummed, with one writer; fsynced before anything acts on it.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from scheduler.effects.clock import utc_now
from scheduler.effects.files import fsync_folder, publish
from scheduler.rounds.errors import AlreadyRunningError, CorruptRecordsError, RecordsWriteError

#: version of the line's format; a reader refuses newer ones
VERSION = 1

#: a text longer than this is cut to head and tail, marker included
MAX_TEXT_LENGTH = 4000
_KEPT_LENGTH = 1960

_CRC_LENGTH = len(b'"crc":"01234567"}')
_RECORD_START = re.compile(rb'\{"v":')
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFullError(RecordsWriteError):
    """The disk is full: the record was taken back whole, and the journal works again once there is space."""


def encode(record: Mapping[str, Any]) -> bytes:
    """The record as one line, newline included, with its checksum as the last key.

    Numbers that JSON cannot hold become "nan", "inf" and "-inf" at any depth. Texts for people, which are
    strings and lists of strings among the record's own fields, are cut when long; mappings are data and are
    kept whole. Raises TypeError for anything that JSON has no word for.
    """
    fields = {_clean(key): _field(value) for key, value in record.items() if key != "crc"}
    if not isinstance(fields.get("event"), str):
        raise ValueError("a record needs an event")
    checked = orjson.dumps(fields)[:-1] + b","
    return checked + _crc(checked) + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The record in a line, newline or none. Raises ValueError unless it is whole and unchanged."""
    line = line.removesuffix(b"\n")
    # Over the raw bytes up to and including the comma: a checksum of the parsed object misses some flips.
    if line[-_CRC_LENGTH:] != _crc(line[:-_CRC_LENGTH]):
        raise ValueError("the checksum does not match")
    record = orjson.loads(line)
    kinds = {"v": int, "seq": int, "ts": str, "event": str}
    if not all(type(record.get(key)) is kind for key, kind in kinds.items()):
        raise ValueError("v, seq, ts or event is missing")
    return dict(record)


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole record in a file, for readers; a writer may be at work on it.

    An unterminated or damaged last line is left out, silently: its writer repairs it. Raises
    CorruptRecordsError at damage that has whole records after it.
    """
    with path.open("rb") as file:
        for record, _ in _verified(file, path):
            yield record


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
        fd = _open_for_one_writer(path)
        try:
            with open(fd, "rb", closefd=False) as file:
                verified = list(_verified(file, path))
            end = verified[-1][1] if verified else 0
            records = [record for record, _ in verified]
            journal = cls(fd, path, end=end, next_seq=len(records) + 1, clock=clock)
            repaired = journal._repair()
        except BaseException:
            os.close(fd)
            raise
        return journal, records + ([repaired] if repaired else [])

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
        """Make a record durable and return it as a reader will see it.

        Raises DiskFullError with the file as it was before, and the journal stays usable. After any other
        RecordsWriteError the journal takes nothing more, since a second fsync proves nothing about the first.
        """
        if self._failure is not None:
            raise RecordsWriteError(
                f"{self.path}: {self._failure}. Start the daemon again: it replays the file."
            )
        line = encode(self._numbered(fields))
        # Holds unless every step below is seen to succeed, also when a signal handler raises in between.
        self._failure = "an earlier append did not finish"
        self._write(line)
        self._sync()
        self._failure = None
        self._end += len(line)
        self._next_seq += 1
        return decode(line)

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
            if error.errno not in _DISK_FULL:
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

    def _sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise self._broken("cannot be made durable", error) from error

    def _broken(self, what: str, error: OSError) -> RecordsWriteError:
        self._failure = f"{what} ({error.strerror})"
        return RecordsWriteError(
            f"{self.path}: {self._failure}. Look at the disk (dmesg), then start the daemon again."
        )

    def _repair(self) -> dict[str, Any] | None:
        with open(self._fd, "rb", closefd=False) as file:
            file.seek(self._end)
            tail = file.read()
        torn = self.path.with_name(f"{self.path.stem}.torn.{self._next_seq}")
        try:
            if tail:
                torn = _free_name(torn, tail)
                publish(torn, tail)
                os.ftruncate(self._fd, self._end)
                os.fsync(self._fd)
        except OSError as error:
            raise RecordsWriteError(
                f"{self.path}: its torn tail cannot be repaired ({error.strerror}). "
                f"Make room on the disk or repair it, then start again."
            ) from error
        # No tail but its copy: a repair was killed after the cut and before its record.
        if not tail and not torn.exists():
            return None
        return self.append(
            {"event": "repaired", "file": torn.name, "offset": self._end, "bytes": torn.stat().st_size}
        )


def _field(value: Any) -> Any:
    if isinstance(value, str):
        return _cut(_clean(value))
    if isinstance(value, list | tuple):
        return [_cut(_clean(item)) if isinstance(item, str) else _storable(item) for item in value]
    return _storable(value)


def _storable(value: Any) -> Any:
    """`value` in JSON's own types. orjson's leniency (dataclasses, dates, NaN as null) would change it."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, Mapping):
        return {_clean(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    raise TypeError(f"a record cannot hold {type(value).__name__}")


def _clean(text: Any) -> str:
    """Half a surrogate pair (a file name that is not UTF-8) is spelled out: UTF-8 has no bytes for it."""
    if not isinstance(text, str):
        raise TypeError(f"a key is a text, not {type(text).__name__}")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _cut(text: str) -> str:
    if len(text) <= MAX_TEXT_LENGTH:
        return text
    left_out = len(text) - 2 * _KEPT_LENGTH
    return f"{text[:_KEPT_LENGTH]}\n[... {left_out} characters left out ...]\n{text[-_KEPT_LENGTH:]}"


def _crc(checked: bytes) -> bytes:
    return b'"crc":"%08x"}' % zlib.crc32(checked)


def _verified(file: BinaryIO, path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Each record with the offset of its end; stops before a torn tail."""
    end = 0
    for number, line in enumerate(file, start=1):
        is_terminated = line.endswith(b"\n")
        try:
            record = decode(line) if is_terminated else None
        except ValueError:
            record = None
        if record is None:
            # Nothing more is read after an unterminated line: what a writer adds meanwhile would look
            # like the lines after a damaged one.
            rest = line + file.read() if is_terminated else line
            if _holds_whole_record(rest):
                raise _corrupt(path, number, end, "is damaged, and whole records follow it")
            return
        if record["v"] > VERSION:
            raise _corrupt(path, number, end, f"was written by a newer version (format {record['v']})")
        if record["seq"] != number:
            raise _corrupt(path, number, end, f"has seq {record['seq']}, so records are missing or doubled")
        end += len(line)
        yield record, end


def _holds_whole_record(damaged: bytes) -> bool:
    """True when a whole record lies behind the damage, be it on the same line."""
    for match in _RECORD_START.finditer(damaged, 1):
        try:
            decode(damaged[match.start() :].split(b"\n", 1)[0])
        except ValueError:
            continue
        return True
    return False


def _corrupt(path: Path, line: int, offset: int, what: str) -> CorruptRecordsError:
    return CorruptRecordsError(
        f"{path}, line {line} (byte {offset}): the record {what}. Nothing was changed. Restore the file from "
        f"a backup, or move it away (a round's whole folder) to start without it."
    )


def _open_for_one_writer(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
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


def _free_name(path: Path, content: bytes) -> Path:
    """`path`, or it with a number, such that no other content is overwritten."""
    candidate, number = path, 1
    while candidate.exists() and candidate.read_bytes() != content:
        number += 1
        candidate = path.with_name(f"{path.name}.{number}")
    return candidate
