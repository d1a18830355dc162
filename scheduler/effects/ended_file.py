"""What is known of an ended round without reading its records? A small derived file beside them.

It holds for exactly one last record. Where that is no longer the last one, or anything else is not as it was
written, the records are read whole and the file is made again.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scheduler.decide.ended import EndedRound
from scheduler.effects.files import NO_ROOM, replace
from scheduler.effects.record_lines import decode, encode
from scheduler.effects.records import read_records
from scheduler.rounds.paths import RoundPaths

#: version of the format, of which the fields of EndedRound are part; a file of another one is made again
VERSION = 3
_EVENT = "round_ended"
#: most rounds end with a short line
_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedFile:
    """An ended round, and when it was accepted."""

    ended: EndedRound
    accepted_at: str
    #: of its last record
    ended_at: str
    #: what later rounds may reuse of it, as ResultCache.having takes it
    results: Mapping[str, Any]

    @property
    def acceptance(self) -> tuple[int, str]:
        """As the function of that name tells it."""
        return self.ended.place or 0, self.accepted_at


def write_ended(paths: RoundPaths, ended: EndedRound, results: Mapping[str, Any]) -> None:
    """Keep what is to be known of the round. Its last record must be on the disk.

    It is derived: nothing is fsynced, and it is left out where the disk is full, or the folder gone. Equal
    records give equal bytes.
    """
    try:
        replace(paths.ended, _line_of(paths, ended, results), sync=False)
    except OSError as error:
        if error.errno not in NO_ROOM | {errno.ENOENT}:
            raise


def _line_of(paths: RoundPaths, ended: EndedRound, results: Mapping[str, Any]) -> bytes:
    size, last = _last_line(paths.records)
    record = decode(last)
    return encode(
        {
            "v": record["v"],
            "seq": record["seq"],
            "ts": record["ts"],
            "event": _EVENT,
            "version": VERSION,
            "bytes": size,
            "last_crc": record["crc"],
            "accepted_at": acceptance(paths)[1],
            "ended": ended.to_json(),
            "results": results,
        }
    )


def read_ended(paths: RoundPaths) -> EndedFile | None:
    """What is known of the round, if it stands for the records as they are; else None."""
    try:
        told = decode(paths.ended.read_bytes())
        size, last = _last_line(paths.records)
        record = decode(last)
        if _stands_for(told) != (VERSION, size, record["seq"], record["crc"]):
            return None
        return EndedFile(
            ended=EndedRound.from_json(told["ended"]),
            accepted_at=told["accepted_at"],
            ended_at=str(told["ts"]),
            results=told["results"],
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def acceptance(paths: RoundPaths) -> tuple[int, str]:
    """Of the round among all, and when it was accepted, by its first record; (0, "") while there is none."""
    first = next(read_records(paths.records), None)
    return (0, "") if first is None else (first.get("place") or 0, str(first["ts"]))


def _stands_for(told: dict[str, Any]) -> tuple[Any, ...]:
    return told.get("version"), told.get("bytes"), told["seq"], told.get("last_crc")


def _last_line(path: Path) -> tuple[int, bytes]:
    """Size of the file and its last line. Raises ValueError where that is torn."""
    with path.open("rb") as file:
        size, tail, length = file.seek(0, 2), b"", _TAIL_BYTES
        while b"\n" not in tail[:-1] and len(tail) < size:
            file.seek(max(0, size - length))
            tail, length = file.read(), 4 * length
    if not tail.endswith(b"\n"):
        raise ValueError("the last line is torn")
    return size, tail[:-1].rpartition(b"\n")[2]
