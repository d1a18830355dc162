"""How is a record spelled as one line, so that a change to any byte of it is noticed?"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any

import orjson

#: version of the line's format; a reader refuses newer ones
VERSION = 1

#: a text longer than this is cut to head and tail, marker included
MAX_TEXT_LENGTH = 4000
_KEPT_LENGTH = 1960

_CRC_LENGTH = len(b'"crc":"01234567"}')


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
    check(line)
    record: dict[str, Any] = orjson.loads(line)
    match record:
        case {"v": int(), "seq": int(), "ts": str(), "event": str()}:
            return record
    raise ValueError("v, seq, ts or event is missing")


def check(line: bytes) -> None:
    """Raise ValueError unless every byte of the line, newline or none, is as it was written."""
    if line.endswith(b"\n"):
        line = line[:-1]
    # Over the raw bytes up to and including the comma: a checksum of the parsed object misses some flips.
    if line[-_CRC_LENGTH:] != b'"crc":"%08x"}' % zlib.crc32(line[:-_CRC_LENGTH]):
        raise ValueError("the checksum does not match")


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
