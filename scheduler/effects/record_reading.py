"""What do the lines of a file of records say, as far as they are whole? Writer and readers ask here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

from scheduler.effects.fact_lines import NotAFactError, Recorded, read_fact
from scheduler.effects.record_lines import VERSION, decode
from scheduler.rounds.errors import CorruptRecordsError

#: what the lines of a file are read as
Line = TypeVar("Line", "WholeRecord", Recorded)
_RECORD_START = re.compile(rb'\{"v":')
#: a file is read in pieces of this size
BUFFER_BYTES = 2**20


class WholeRecord(NamedTuple):
    """A record as it lies in its line."""

    v: int
    seq: int
    record: dict[str, Any]


class DamagedRecordError(CorruptRecordsError):
    """A line that nobody may go on from."""

    def __init__(self, path: Path, line: int, offset: int, what: str) -> None:
        #: what is wrong and where, in one sentence
        self.damage = f"{path}, line {line} (byte {offset}): the record {what}"
        super().__init__(
            f"{self.damage}. Nothing was changed. `schedctl fsck` looks at every file of records and says"
            f" what can be done."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How far a file of records is whole."""

    records: int
    #: bytes of those; what lies beyond was never acknowledged
    end: int
    torn_bytes: int


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole record in a file, for readers; a writer may be at work on it.

    An unterminated or damaged last line is left out, silently: its writer repairs it. Raises
    CorruptRecordsError at damage that has whole records after it.
    """
    with path.open("rb") as file:
        for line, _ in verified(file, path, read_record):
            yield line.record


def read_facts(path: Path, take: Callable[[Recorded], object] | None = None) -> Iterator[Recorded]:
    """Every fact in a file, and None for what is none; else like `read_records`, and much faster.

    Each is handed to `take` first. Raises CorruptRecordsError also where that raises ValueError, KeyError or
    TypeError: the fact cannot follow the ones before it.
    """
    with path.open("rb", buffering=BUFFER_BYTES) as file:
        for line, _ in verified(file, path, read_fact, take):
            yield line


def extent(path: Path, take: Callable[[Recorded], object]) -> Extent:
    """How much of a file is whole. Raises CorruptRecordsError as `read_facts` does."""
    with path.open("rb", buffering=BUFFER_BYTES) as file:
        records, end = taken(file, path, read_fact, take)
        return Extent(records=records, end=end, torn_bytes=len(_from(file, end)))


def taken(
    file: BinaryIO, path: Path, read: Callable[[bytes], Line], take: Callable[[Line], object]
) -> tuple[int, int]:
    """Hand over every record before a torn tail; returns how many there are, and where the last one ends."""
    count = end = 0
    for _, place in verified(file, path, read, take):
        count, end = count + 1, place
    return count, end


def verified(
    file: BinaryIO,
    path: Path,
    read: Callable[[bytes], Line],
    take: Callable[[Line], object] | None = None,
) -> Iterator[tuple[Line, int]]:
    """Each record before a torn tail, as `read` gives it and after `take` took it; and where it ends."""
    end = 0
    for number, line in enumerate(file, start=1):
        record = _whole(line, file, path, read, number=number, offset=end)
        if record is None:
            return
        if take is not None:
            try:
                take(record)
            except (ValueError, KeyError, TypeError) as error:
                what = f"cannot follow the ones before it ({error})"
                raise DamagedRecordError(path, number, end, what) from error
        end += len(line)
        yield record, end


def read_record(line: bytes) -> WholeRecord:
    """The record in a line. Raises ValueError unless it is whole and unchanged."""
    record = decode(line)
    return WholeRecord(record["v"], record["seq"], record)


def _whole(
    line: bytes, file: BinaryIO, path: Path, read: Callable[[bytes], Line], *, number: int, offset: int
) -> Line | None:
    """The record in a line that was just read from `file`; None at a torn tail, which ends the file."""
    is_terminated = line.endswith(b"\n")
    try:
        record = read(line) if is_terminated else None
    except NotAFactError as error:
        what = f"makes no sense to this version ({error})"
        raise DamagedRecordError(path, number, offset, what) from error
    except ValueError:
        record = None
    if record is None:
        # Nothing more is read after an unterminated line: what a writer adds meanwhile would look
        # like the lines after a damaged one.
        rest = line + file.read() if is_terminated else line
        if _holds_whole_record(rest):
            raise DamagedRecordError(path, number, offset, "is damaged, and whole records follow it")
        return None
    if record.v > VERSION:
        what = f"was written by a newer version (format {record.v}), which can read it"
        raise DamagedRecordError(path, number, offset, what)
    if record.seq != number:
        what = f"has seq {record.seq}, so records are missing or doubled"
        raise DamagedRecordError(path, number, offset, what)
    return record


def _holds_whole_record(damaged: bytes) -> bool:
    """True when a whole record lies behind the damage, be it on the same line."""
    for match in _RECORD_START.finditer(damaged, 1):
        try:
            decode(damaged[match.start() :].split(b"\n", 1)[0])
        except ValueError:
            continue
        return True
    return False


def _from(file: BinaryIO, offset: int) -> bytes:
    file.seek(offset)
    return file.read()
