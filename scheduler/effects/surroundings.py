"""Does anything around the daemon forbid a start? Free disk space and the hours set aside for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from scheduler.decide.inputs import GateChanged
from scheduler.effects.files import free_files, free_mib
from scheduler.effects.reserve import BYTES, Reserve
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.settings import Settings

#: below as many files that can still be made nothing starts: a run makes some ten
LEAST_FILES = 1000
_RESERVE_MIB = BYTES // 2**20


class Surroundings:
    """Looks when asked, and tells only what changed since it looked last."""

    def __init__(
        self, home: HomePaths, settings: Settings, reserve: Reserve, local_now: Callable[[], datetime]
    ) -> None:
        self._home = home
        self._settings = settings
        self._reserve = reserve
        self._local_now = local_now
        self._told: dict[str, str | None] = {"disk": None, "window": None}

    def changes(self) -> Iterator[GateChanged]:
        """The gates that opened or closed."""
        yield from self._changed("disk", self._disk())
        yield from self._changed("window", self._window())

    def disk_refused(self) -> Iterator[GateChanged]:
        """The disk was full just now, and what was set aside is being used: nothing may start on that."""
        needed = self._settings.disk_floor_mib + _RESERVE_MIB
        yield from self._changed("disk", f"disk: it is full; the queue goes on when {needed:g} MiB are free")

    def _changed(self, source: str, reason: str | None) -> Iterator[GateChanged]:
        # The free space in the reason changes all the time; only whether there is one is news.
        if (reason is None) != (self._told[source] is None):
            self._told[source] = reason
            yield GateChanged(source=source, wait_reason=reason)

    def _disk(self) -> str | None:
        """Why the disk forbids a start. Where it does not, room for the records of a run is set aside."""
        free, floor = free_mib(self._home.results), self._settings.disk_floor_mib
        # taken from what is free now, and not from below the floor
        needed = floor if self._reserve.is_whole else floor + _RESERVE_MIB
        if free < needed:
            beside = "" if needed == floor else f", and {_RESERVE_MIB} MiB are to be set aside"
            return f"disk: {free} MiB free, the floor is {floor:g} MiB{beside}; free some space"
        files = free_files(self._home.results)
        if files is not None and files < LEAST_FILES:
            return f"disk: only {files} more files can be made (inodes); delete some files"
        refusal = self._reserve.secure()
        if refusal is None:
            return None
        return (
            f"disk: {_RESERVE_MIB} MiB cannot be set aside for records ({refusal.strerror}); free some space"
        )

    def _window(self) -> str | None:
        windows = self._settings.windows
        if not windows or any(window.is_open(self._local_now()) for window in windows):
            return None
        return f"outside the hours set aside: {', '.join(str(window) for window in windows)}"
