"""What did a run write beside its figures? The rows of JSON-lines files in its folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

#: of one file: a report is no place for more, and nothing unbounded is read
MAX_BYTES = 64 * 2**20


def read_exhibits(folder: Path, names: Iterable[str]) -> dict[str, tuple[Mapping[str, Any], ...]]:
    """The rows by name, of the files that are there. Lines that are no objects are left out.

    Of a file above MAX_BYTES only the whole lines up to there are read.
    """
    found = {name: _rows(folder / name) for name in names}
    return {name: rows for name, rows in found.items() if rows is not None}


def _rows(path: Path) -> tuple[Mapping[str, Any], ...] | None:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES)
    except OSError:
        return None  # a run of another trainer, or one whose folder was tidied away
    return tuple(_objects(data.split(b"\n")))


def _objects(lines: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue  # torn, or being written
        if isinstance(value, dict):
            yield value
