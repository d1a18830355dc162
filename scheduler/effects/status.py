"""What is the daemon doing right now? One small file, replaced, that anybody can read without asking it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from scheduler.effects.files import NO_ROOM, replace

_MAX_BYTES = 4 * 2**20


class StatusFile:
    """Replaces the status atomically, not oftener than people can read.

    It is derived: nothing is fsynced, and a full disk, on which `make_room` finds none either, leaves the old
    one in place until there is room.
    """

    def __init__(
        self,
        path: Path,
        min_interval_seconds: float = 0.5,
        *,
        make_room: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._min_interval_seconds = min_interval_seconds
        self._make_room = make_room
        self._monotonic = monotonic
        self._written: bytes | None = None
        self._written_at: float | None = None
        #: offered, and not on disk yet
        self._pending: bytes | None = None

    def offer(self, data: Mapping[str, Any]) -> None:
        """Let readers see `data`: at once, or by a later call when the last one was just now."""
        encoded = orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        self._pending = None if encoded == self._written else encoded
        if self.next_in() == 0.0:
            self.flush()

    def flush(self) -> None:
        """Let readers see what was offered last, now."""
        if self._pending is None:
            return
        self._written_at = self._monotonic()
        if self._replaced(self._pending) or (self._make_room() and self._replaced(self._pending)):
            self._written, self._pending = self._pending, None

    def _replaced(self, content: bytes) -> bool:
        """Whether the disk had room."""
        try:
            replace(self._path, content, sync=False)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            return False
        return True

    def next_in(self) -> float | None:
        """Seconds until `flush` has something to do; None when readers have seen everything."""
        if self._pending is None:
            return None
        if self._written_at is None:
            return 0.0
        return max(0.0, self._written_at + self._min_interval_seconds - self._monotonic())


def read_status(path: Path) -> dict[str, Any] | None:
    """What the daemon said last; None when it has never said anything that is still whole."""
    try:
        with path.open("rb") as file:
            data = orjson.loads(file.read(_MAX_BYTES))
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    return data if isinstance(data, dict) else None
