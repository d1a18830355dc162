"""What happens right now? The lines of launcher.log as they are written, across its rotation."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from scheduler.cli.home import existing_home
from scheduler.cli.saying import say
from scheduler.effects.launcher_log import older_log
from scheduler.effects.plain_text import plain_line
from scheduler.rounds.errors import UnknownIdError
from scheduler.rounds.paths import HomePaths

_POLL_SECONDS = 0.25


def follow(
    context: typer.Context,
    round_id: Annotated[str | None, typer.Argument(metavar="ROUND", help="Only lines about it.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Earlier lines to begin with.")] = 10,
) -> None:
    """Show launcher.log as it grows, until Ctrl-C."""
    home: HomePaths = existing_home(context.obj)
    if round_id is not None and not home.round(round_id).root.is_dir():
        raise UnknownIdError(f"no round {round_id!r} in {home.results}; `schedctl status` lists them")
    try:
        for line in log_lines(home.launcher_log, about=round_id, earlier=lines, pause=_pause):
            say(line)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def log_lines(path: Path, *, about: str | None, earlier: int, pause: Callable[[], bool]) -> Iterator[str]:
    """Whole lines of the log: the last `earlier` ones there are, then new ones while `pause` returns True.

    When another file takes the log's place, the rest of the old one comes first.
    """
    tail = Tail(path)
    try:
        yield from deque((line for line in tail.new_lines() if _is_about(line, about)), maxlen=earlier)
        while pause():
            yield from (line for line in tail.new_lines() if _is_about(line, about))
    finally:
        tail.close()


class Tail:
    """The lines of a log that others append to and rotate; a line that is not complete is read later.

    A reader that slept through several rotations reads all files that are still there, oldest first.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def new_lines(self) -> Iterator[str]:
        """What was written since the last call, with nothing in it that steers a terminal."""
        if self._file is not None:
            yield from self._complete_lines(self._file)
        if self._file is None or self._is_replaced(self._file):
            # Between the look above and the change of files its writer may have added a last line.
            if self._file is not None:
                yield from self._complete_lines(self._file)
                yield from self._lines_between(self._file)
            self.close()
            with contextlib.suppress(FileNotFoundError):
                self._file = self._path.open("rb")
                yield from self._complete_lines(self._file)

    def skip(self) -> None:
        """Leave out all that is there now."""
        self.close()
        with contextlib.suppress(FileNotFoundError):
            self._file = self._path.open("rb")
            self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Let go of the file; a later call of `new_lines` begins with the one that is there then."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _complete_lines(self, file: BinaryIO) -> Iterator[str]:
        while True:
            start = file.tell()
            line = file.readline()
            if not line.endswith(b"\n"):
                file.seek(start)
                return
            yield plain_line(line.decode("utf-8", "replace"))

    def _lines_between(self, file: BinaryIO) -> Iterator[str]:
        """The lines of the older files that are younger than `file`, where that is one of them."""
        ours, younger = os.fstat(file.fileno()), []
        for number in count(1):
            try:
                older = older_log(self._path, number).open("rb")
            except FileNotFoundError:
                return
            with older:
                there = os.fstat(older.fileno())
                if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                    break
            younger.append(number)
        for number in reversed(younger):
            with contextlib.suppress(FileNotFoundError), older_log(self._path, number).open("rb") as older:
                yield from self._complete_lines(older)

    def _is_replaced(self, file: BinaryIO) -> bool:
        """Whether the path leads to another file by now, or to less than was read of it."""
        ours = os.fstat(file.fileno())
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return True
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino) or there.st_size < file.tell()


def _pause() -> bool:
    """Wait a moment; False when nobody reads our output any more (`schedctl follow | head`)."""
    reader = select.poll()
    reader.register(sys.stdout.fileno(), 0)
    return not reader.poll(_POLL_SECONDS * 1000)


def _is_about(line: str, round_id: str | None) -> bool:
    return round_id is None or f"round={round_id}" in line.split()
