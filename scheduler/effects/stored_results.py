"""How does a run that may be reused come back from the records of its round? Whole, or with a reason.

A thread of its own reads: the first run of a round takes a pass over its records, further ones a few lines.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from scheduler.decide.actions import FetchResult
from scheduler.decide.codec import NON_FINITE, from_record
from scheduler.decide.facts import RunFinished
from scheduler.decide.inputs import ResultFetched
from scheduler.effects.errands import Errands
from scheduler.effects.records import decode
from scheduler.rounds.paths import HomePaths, RunPaths

_EVENT = b'"event":"run_finished"'
_CONTENT_KEY = re.compile(rb'"content_key":"([0-9a-f]+)"')


class UnusableResultError(ValueError):
    """The run is not there any more, or not as it was recorded. Says what is wrong."""


class StoredResults:
    """Looks runs up, one after the other, and posts what it found."""

    def __init__(
        self, home: HomePaths, *, post: Callable[[ResultFetched], None], report: Callable[[str], None]
    ) -> None:
        self._home = home
        self._post = post
        self._report = report
        self._errands = Errands("results")
        #: of the round that was read last: rounds are mostly taken whole
        self._lines: RunLines | None = None

    def fetch(self, wanted: FetchResult) -> None:
        """Look `wanted` up; what comes of it is posted as ResultFetched."""
        self._errands.run(partial(self._fetch, wanted))

    def close(self) -> None:
        self._errands.close()

    def _fetch(self, wanted: FetchResult) -> None:
        run, problem = None, ""
        try:
            run = self._found(wanted)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            problem = str(error) or type(error).__name__
            told = f"CACHE round={wanted.round} key={wanted.content_key} cannot be reused, so it is run"
            self._report(f"{told}: {problem}")
        self._post(
            ResultFetched(round=wanted.round, content_key=wanted.content_key, run=run, problem=problem)
        )

    def _found(self, wanted: FetchResult) -> RunFinished:
        round_paths = self._home.round(wanted.round)
        if self._lines is None or self._lines.path != round_paths.records:
            self._lines = RunLines(path=round_paths.records)
        run = next((each for each in self._lines.runs(wanted.content_key) if _is_origin(each, wanted)), None)
        if run is None:
            raise UnusableResultError(f"{round_paths.records} has no whole record of it")
        check_folder(round_paths.run(run.run_dir), run, needs_scores=wanted.needs_scores)
        return run


@dataclass(slots=True, kw_only=True)
class RunLines:
    """Where the records of finished runs begin and end in a file of records."""

    path: Path
    #: (offset, length) by content key, oldest first
    places: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    #: bytes that were looked through, whole lines all of them
    end: int = 0
    #: the file that they were read in; a round may be deleted, and another one take its id
    inode: int = 0

    def runs(self, content_key: str) -> Iterator[RunFinished]:
        """Runs of that key whose records are whole, newest first. Raises OSError."""
        with self.path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_ino != self.inode or status.st_size < self.end:
                self.places, self.end, self.inode = {}, 0, status.st_ino
            file.seek(self.end)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # it is being written
                self._note(line)
            for offset, length in reversed(self.places.get(content_key, [])):
                file.seek(offset)
                run = _run_in(file.read(length))
                if run is not None:
                    yield run

    def _note(self, line: bytes) -> None:
        # Only what is wanted is decoded: a text in a record cannot look like this, its quotes are escaped.
        if _EVENT in line[:120]:
            key = _CONTENT_KEY.search(line)
            if key is not None:
                self.places.setdefault(key[1].decode(), []).append((self.end, len(line)))
        self.end += len(line)


def check_folder(paths: RunPaths, run: RunFinished, *, needs_scores: bool) -> None:
    """Raises UnusableResultError unless the run's folder holds what was recorded of it."""
    try:
        result = orjson.loads(paths.result.read_bytes())
    except FileNotFoundError:
        raise UnusableResultError(f"{paths.result} is gone") from None
    except ValueError:
        raise UnusableResultError(f"{paths.result} cannot be read") from None
    for name, recorded in _recorded(run).items():
        value = result.get(name)
        told = NON_FINITE.get(value, value) if isinstance(value, str) else value
        # a number that is none equals nothing, not even itself
        if told != recorded and (told == told or recorded == recorded):
            raise UnusableResultError(f"{paths.result} says {name} = {value}, its record {recorded}")
    if run.scores_digest is not None and not paths.scores.is_file():
        raise UnusableResultError(f"{paths.scores} is gone")
    if needs_scores and not paths.scores_at(0).parent.is_dir():
        raise UnusableResultError(f"{paths.scores_at(0).parent} is gone")


def _recorded(run: RunFinished) -> Mapping[str, Any]:
    return {"status": run.status, "value": run.value, "steps": run.steps, "scores_digest": run.scores_digest}


def _run_in(line: bytes) -> RunFinished | None:
    try:
        fact = from_record(decode(line))
    except ValueError:
        return None
    return fact if isinstance(fact, RunFinished) else None


def _is_origin(run: RunFinished, wanted: FetchResult) -> bool:
    is_it = run.content_key == wanted.content_key and run.cached_from is None
    return is_it and run.status == wanted.status and run.contaminated is None
