"""Which runs lie in files and folders that somebody else's scripts wrote? Read from what a person names.

A folder with a `metrics.jsonl` is one run; a CSV, JSONL or JSON file holds runs row by row.
"""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scheduler.judging._prompt_suite import with_prompt_set
from scheduler.judging.evidence import JudgedRun, UnfitRunsError
from scheduler.judging.foreign import facts_of_folder, rows_of_csv, rows_of_json, rows_of_jsonl
from scheduler.judging.foreign_runs import ForeignRuns, runs_of
from scheduler.report.exhibits import read_exhibits
from scheduler.rounds.errors import UnknownIdError, UsageError

METRICS_FILE = "metrics.jsonl"
CONFIG_FILE = "config.json"
_READERS = {".csv": rows_of_csv, ".jsonl": rows_of_jsonl, ".ndjson": rows_of_jsonl, ".json": rows_of_json}


def read_foreign(names: Iterable[str], task: str | None = None, exhibits: Sequence[str] = ()) -> ForeignRuns:
    """The runs in what `names` stand for: files, folders searched for metrics.jsonl, or patterns with `*`.

    Runs that have a folder bring what they wrote into its files `exhibits`.
    Raises UnknownIdError for what does not exist, UsageError for what cannot be read, and UnfitRunsError.
    """
    runs: list[JudgedRun] = []
    notes: list[str] = []
    for path in dict.fromkeys(path for name in names for path in _paths(name)):
        found = _read(path, task, exhibits)
        runs += found.runs
        notes += (f"{path}: {note}" for note in found.notes)
    if not runs:
        raise UnfitRunsError(f"no finished run in {', '.join(names)}")
    return ForeignRuns(runs=tuple(runs), notes=tuple(notes))


def _paths(name: str) -> Iterator[Path]:
    """The files that `name` stands for, seed42 before seed137."""
    path = Path(name)
    found = [path] if path.exists() else [Path(match) for match in glob.glob(name, recursive=True)]
    matches = sorted(found, key=_by_number)
    if not matches:
        words = (
            "matches no file" if glob.has_magic(name) else "is no round of this home, no file and no folder"
        )
        raise UnknownIdError(f"{name} {words}")
    for match in matches:
        if match.is_dir():
            inside = sorted(match.rglob(METRICS_FILE), key=_by_number)
            if not inside and len(matches) == 1:
                raise UsageError(f"no {METRICS_FILE} in {match} or below; name CSV or JSONL files themselves")
            yield from inside
        else:
            yield match


def _by_number(path: Path) -> list[tuple[int, str]]:
    """A key that sorts the numbers in a path as numbers."""
    parts = re.split(r"([0-9]+)", str(path))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _read(path: Path, task: str | None, exhibits: Sequence[str]) -> ForeignRuns:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{path} must be called {', '.join('*' + suffix for suffix in _READERS)}")
    text = _text(path)
    defaults: dict[str, Any] = {}
    if path.name == METRICS_FILE:
        folder = path.absolute().parent
        defaults = facts_of_folder((folder.name, folder.parent.name), _config_beside(path))
    found = runs_of(reader(text, str(path)), task=task, defaults=defaults)
    if path.name != METRICS_FILE or not exhibits:
        return found
    shown = read_exhibits(path.parent, exhibits)
    runs = (with_prompt_set(replace(run, exhibits=shown)) for run in found.runs)
    return replace(found, runs=tuple(runs))


def _config_beside(path: Path) -> Mapping[str, Any] | None:
    beside = path.parent / CONFIG_FILE
    if not beside.is_file():
        return None
    try:
        value = json.loads(_text(beside))
    except ValueError as error:
        raise UnfitRunsError(f"{beside}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UnfitRunsError(f"{beside}: must be a JSON object")
    # our own run folders tell the event that wrote the file, which says nothing of how the run ended
    return {key: told for key, told in value.items() if key not in ("event", "status")}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
