"""How does a person follow along? One line a thing worth knowing, in a file made for `tail -F`."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TextIO

from scheduler.effects.clock import utc_now
from scheduler.effects.files import NO_ROOM
from scheduler.effects.plain_text import plain_line

#: characters of a line that are kept
MAX_LINE_LENGTH = 4000


def older_log(path: Path, number: int) -> Path:
    """The `number`-th older file of a log; the first one is the youngest."""
    return path.with_name(f"{path.name}.{number}")


class LauncherLog:
    """Appends lines in local time. Never raises for a disk that will not take one: where `make_room` finds no
    room on a full one either, it counts what it drops.

    A line that would make the file larger than `max_bytes` begins a new one, and the `kept` youngest older
    files stay beside it. Somebody else may rotate it as well, at any time; the next line then opens the new
    file. Any thread may write a line.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], datetime] = utc_now,
        echo: TextIO | None = None,
        max_bytes: int | None = None,
        kept: int = 5,
        make_room: Callable[[], bool] = lambda: False,
    ) -> None:
        self._path = path
        self._now = now
        self._max_bytes = max_bytes
        self._kept = kept
        self._make_room = make_room
        self._lock = threading.Lock()
        #: also gets every line, for a daemon in the foreground
        self._echo = echo
        self._fd = -1
        #: lines lost since the last one that was written
        self.dropped = 0
        #: True when a full disk cut a line short, so that the next one must not be glued to it
        self._is_torn = False
        #: whether the last line found no room
        self._is_full = False

    def line(self, text: str) -> None:
        """Append "2026-11-20 13:05:01+0100 TEXT"."""
        line = self._stamped(text)
        with self._lock:
            self._show(line)
            if self.dropped and self._append(
                self._stamped(f"LOG dropped={self.dropped} (the disk was full)")
            ):
                self.dropped = 0
            if self.dropped or not (self._append(line) or self._append_after_all(line)):
                self.dropped += 1

    def close(self) -> None:
        """Let go of the file. A later line opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _stamped(self, text: str) -> str:
        return f"{self._now().astimezone():%Y-%m-%d %H:%M:%S%z} {_shortened(plain_line(text))}\n"

    def _append(self, line: str) -> bool:
        data = (b"\n" if self._is_torn else b"") + line.encode()
        try:
            self._reopen_if_rotated()
            self._rotate_before(len(data))
            count = os.write(self._fd, data)
        except OSError as error:
            self._is_full = error.errno in NO_ROOM
            return False
        self._is_full = count < len(data)
        self._is_torn = 0 < count < len(data) or (self._is_torn and count == 0)
        return count == len(data)

    def _append_after_all(self, line: str) -> bool:
        return self._is_full and self._make_room() and self._append(line)

    def _show(self, line: str) -> None:
        if self._echo is None:
            return
        try:
            self._echo.write(line)
            self._echo.flush()
        except (OSError, ValueError):
            # The terminal or pipe is gone; the file goes on.
            self._echo = None

    def _reopen_if_rotated(self) -> None:
        if self._fd >= 0:
            ours = os.fstat(self._fd)
            try:
                there = self._path.stat()
                is_ours = (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
            except FileNotFoundError:
                is_ours = False
            if is_ours:
                return
            self.close()
            self._is_torn = False
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self._path, flags, 0o640)

    def _rotate_before(self, length: int) -> None:
        """Begin a new file where `length` more bytes would be too many for this one."""
        size = os.fstat(self._fd).st_size
        if self._max_bytes is None or size == 0 or size + length <= self._max_bytes:
            return
        # Each step is a rename, the oldest first: whatever interrupts them, none but the oldest lines go.
        # Where the folder forbids one, a file that is too large is better than a line that is lost.
        with contextlib.suppress(OSError):
            for older, younger in self._moves():
                younger.replace(older)
            if self._kept == 0:
                self._path.unlink()
        self._reopen_if_rotated()

    def _moves(self) -> Iterator[tuple[Path, Path]]:
        """(new name, old name) of the files to rename; a name that is free keeps those behind it in place."""
        names = [self._path, *(older_log(self._path, number) for number in range(1, self._kept + 1))]
        free = next((i for i, name in enumerate(names) if not name.exists()), len(names) - 1)
        yield from ((names[i], names[i - 1]) for i in range(free, 0, -1))


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_LINE_LENGTH else f"{text[: MAX_LINE_LENGTH - 4]} ..."
