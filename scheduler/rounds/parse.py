"""Which plain data do the bytes of a spec hold? TOML or JSON within limits, or what is wrong with them.

Hostile bytes can make a parser slow or large, whatever is checked here: a process that must stay alive lets a
child with limited time and memory call `parse` (see `scheduler.rounds.__main__`).
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scheduler.rounds.problems import Path, Problem, printable, shortened
from scheduler.rounds.redaction import redacted, without

MAX_BYTES = 256 * 1024
#: what the process that reads a file may use: memory, and wall seconds on a machine that is busy training
MEMORY_BYTES = 512 * 1024 * 1024
WALL_SECONDS = 30.0
#: bytes of its answer: 10,000 variants with whole configs of 3 kB; more would enlarge the daemon
ANSWER_BYTES = 32 * 1024 * 1024
#: tables and lists within each other, the file itself being the first
MAX_DEPTH = 16

SUFFIXES = (".toml", ".json")

_TOML_PLACE = re.compile(
    r"(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What could be read of a file. `data` is None when nothing could."""

    data: dict[str, Any] | None
    problems: tuple[Problem, ...] = ()


class _Table(dict[str, Any]):
    """A JSON object that remembers which of its keys were written twice."""

    repeated: tuple[str, ...] = ()


class _TextError(Exception):
    """The text cannot be read any further; the message says where and why."""


def parse(data: bytes, suffix: str) -> Parsed:
    """The plain data of a `.toml` or `.json` file. Every problem is returned, none is raised."""
    try:
        text = _decoded(data)
        values = _from_toml(text) if suffix == ".toml" else _from_json(text)
    except _TextError as error:
        return Parsed(data=None, problems=(Problem(path=(), message=str(error)),))
    if not isinstance(values, dict):
        return Parsed(
            data=None,
            problems=(Problem(path=(), message="the file must hold one JSON object", found=values),),
        )
    deep = _too_deep(values)
    if deep is not None:
        message = f"nested more than {MAX_DEPTH} levels deep"
        return Parsed(data=None, problems=(Problem(path=deep, message=message),))
    return Parsed(data=values, problems=tuple(_value_problems(values)))


def shown_bytes(data: bytes, suffix: str) -> bytes | None:
    """The bytes of an accepted file with markers for its secrets; None where they cannot be cut out.

    What cannot be read as a spec any more is shown as it is.
    """
    secrets: dict[str, str] = {}
    redacted(parse(data, suffix).data, secrets)
    if not secrets:
        return data
    shown = without(data.decode("utf-8-sig"), secrets).encode()
    left: dict[str, str] = {}
    redacted(parse(shown, suffix).data, left)
    return shown if not left else None


def _decoded(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _TextError(f"the file has {len(data)} bytes; at most {MAX_BYTES} are read")
    if not data.strip():
        raise _TextError("the file is empty")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _TextError(
            f"line {line}: not UTF-8 (byte {data[error.start]:#04x} at offset {error.start});"
            " save the file as UTF-8"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise _TextError(f"line {line}: the file holds a NUL byte; is it a text file?")
    return text


def _from_toml(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _TextError(_toml_words(str(error), text)) from error
    except RecursionError as error:
        raise _TextError(f"nested more than {MAX_DEPTH} levels deep") from error
    except ValueError as error:  # an integer of thousands of digits, a date that is none
        raise _TextError(f"not TOML: {printable(str(error))}") from error


def _toml_words(message: str, text: str) -> str:
    """The parser's message with the line it is about."""
    match = _TOML_PLACE.fullmatch(message)
    if match is None:
        return f"not TOML: {printable(message)}"
    if match["line"] is None:
        return f"not TOML: {printable(match['what'])} at the end of the file"
    lines = text.splitlines()
    number = int(match["line"])
    line = lines[number - 1].strip() if number <= len(lines) else ""
    name, equals, _ = line.partition("=")  # the value may be a secret
    where = f" in `{shortened(printable(name.strip()), 60)}{' = ...' if equals else ''}`" if line else ""
    return f"line {number}, column {match['column']}: not TOML: {printable(match['what'])}{where}"


def _from_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_table)
    except json.JSONDecodeError as error:
        raise _TextError(f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise _TextError(f"nested more than {MAX_DEPTH} levels deep") from error
    except ValueError as error:  # an integer of thousands of digits
        raise _TextError(f"not JSON: {printable(str(error))}") from error


def _table(pairs: list[tuple[str, Any]]) -> _Table:
    table = _Table(pairs)
    if len(table) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        table.repeated = tuple(key for key in table if counts[key] > 1)
    return table


def _too_deep(data: dict[str, Any]) -> Path | None:
    """Path of a table or list below MAX_DEPTH others. Walks without recursion: `data` may be very deep."""
    pending: list[tuple[Path, Any]] = [((), data)]
    while pending:
        path, value = pending.pop()
        if not isinstance(value, dict | list):
            continue
        if len(path) >= MAX_DEPTH:
            return path
        items = value.items() if isinstance(value, dict) else enumerate(value)
        pending.extend(((*path, key), item) for key, item in items)
    return None


def _value_problems(value: Any, path: Path = ()) -> Iterator[Problem]:
    """Every value that a record could not hold, in file order."""
    if isinstance(value, dict):
        for key in getattr(value, "repeated", ()):
            yield Problem(path=(*path, key), message="the key is given twice")
        for key, item in value.items():
            if not _is_text(key):
                yield Problem(
                    path=(*path, key), message="the key is empty or holds characters that are no text"
                )
            yield from _value_problems(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _value_problems(item, (*path, index))
    elif message := _scalar_words(value):
        yield Problem(path=path, message=message, found=value)


def _scalar_words(value: Any) -> str | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**63 else "must fit into 64 bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else "must be a finite number"
    if isinstance(value, str):
        return None if not value or _is_text(value) else "holds a NUL or half a character"
    return "dates and times have no meaning here; write it as a string"


def _is_text(text: str) -> bool:
    """Whether the text is not empty and can be encoded and passed to a program."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return bool(text) and "\0" not in text
