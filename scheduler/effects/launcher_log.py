"""How does a person follow along? One line a thing worth knowing, in a file made for `tail -f`."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TextIO

from scheduler.effects.clock import utc_now
from scheduler.effects.plain_text import plain_line

#: characters of a line that are kept
MAX_LINE_LENGTH = 4000


class LauncherLog:
    """Appends lines in local time. Never raises for a disk that will not take one: it counts what it drops.

    Somebody else may rotate the file at any time; the next line then opens the new one.
    """

    def __init__(
        self, path: Path, *, now: Callable[[], datetime] = utc_now, echo: TextIO | None = None
    ) -> None:
        self._path = path
        self._now = now
        #: also gets every line, for a daemon in the foreground
        self._echo = echo
        self._fd = -1
        #: lines lost since the last one that was written
        self.dropped = 0
        #: True when a full disk cut a line short, so that the next one must not be glued to it
        self._is_torn = False

    def line(self, text: str) -> None:
        """Append "2026-11-20 13:05:01+0100 TEXT"."""
        line = self._stamped(text)
        self._show(line)
        if self.dropped and self._append(self._stamped(f"LOG dropped={self.dropped} (the disk was full)")):
            self.dropped = 0
        if self.dropped or not self._append(line):
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
            count = os.write(self._fd, data)
        except OSError:
            return False
        self._is_torn = 0 < count < len(data) or (self._is_torn and count == 0)
        return count == len(data)

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


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_LINE_LENGTH else f"{text[: MAX_LINE_LENGTH - 4]} ..."
