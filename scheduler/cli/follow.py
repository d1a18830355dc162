"""What happens right now? The lines of launcher.log as they are written, across its rotation."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from scheduler.cli.home import existing_home
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
            typer.echo(line)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def log_lines(path: Path, *, about: str | None, earlier: int, pause: Callable[[], bool]) -> Iterator[str]:
    """Whole lines of the log: the last `earlier` ones there are, then new ones while `pause` returns True.

    When another file takes the log's place, the rest of the old one comes first.
    """
    file = _open(path)
    last: deque[str] = deque(maxlen=earlier)
    if file is not None:
        last.extend(line for line in _complete_lines(file) if _is_about(line, about))
    yield from last
    while pause():
        if file is not None:
            yield from (line for line in _complete_lines(file) if _is_about(line, about))
        if file is None or _is_replaced(file, path):
            if file is not None:
                yield from (line for line in _complete_lines(file) if _is_about(line, about))
                file.close()
            file = _open(path)


def _pause() -> bool:
    time.sleep(_POLL_SECONDS)
    return True


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _is_replaced(file: BinaryIO, path: Path) -> bool:
    """Whether `path` is another file by now, or shorter than what was read of it."""
    ours = os.fstat(file.fileno())
    try:
        there = path.stat()
    except FileNotFoundError:
        return True
    return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino) or there.st_size < file.tell()


def _complete_lines(file: BinaryIO) -> Iterator[str]:
    """Lines up to the last line end; what follows it is read again later."""
    while True:
        start = file.tell()
        line = file.readline()
        if not line.endswith(b"\n"):
            file.seek(start)
            return
        yield plain_line(line.decode("utf-8", "replace"))


def _is_about(line: str, round_id: str | None) -> bool:
    return round_id is None or f"round={round_id}" in line.split()
