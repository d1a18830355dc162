"""Does anything around the daemon forbid a start? Free disk space and the hours set aside for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from scheduler.decide.inputs import GateChanged
from scheduler.effects.files import free_mib
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.settings import Settings


class Surroundings:
    """Looks when asked, and tells only what changed since it looked last."""

    def __init__(self, home: HomePaths, settings: Settings, local_now: Callable[[], datetime]) -> None:
        self._home = home
        self._settings = settings
        self._local_now = local_now
        self._told: dict[str, str | None] = {"disk": None, "window": None}

    def changes(self) -> Iterator[GateChanged]:
        """The gates that opened or closed."""
        now: dict[str, str | None] = {"disk": self._disk(), "window": self._window()}
        for source, reason in now.items():
            # The free space in the reason changes all the time; only whether there is one is news.
            if (reason is None) != (self._told[source] is None):
                self._told[source] = reason
                yield GateChanged(source=source, wait_reason=reason)

    def _disk(self) -> str | None:
        free = free_mib(self._home.results)
        if free >= self._settings.disk_floor_mib:
            return None
        return f"disk: {free:.0f} MiB free, the floor is {self._settings.disk_floor_mib} MiB; free some space"

    def _window(self) -> str | None:
        windows = self._settings.windows
        if not windows or any(window.is_open(self._local_now()) for window in windows):
            return None
        return f"outside the hours set aside: {', '.join(str(window) for window in windows)}"
