"""How do the metrics of a home reach a monitor? A file for the node exporter's textfile collector."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from scheduler.decide.ended import EndedRound
from scheduler.decide.metrics import EndedSums, Readings, exposition, metrics_of, usage_of
from scheduler.decide.state import State
from scheduler.effects.files import NO_ROOM, replace
from scheduler.rounds.paths import HomePaths

#: what has changed is written at most this often, which is as often as anybody scrapes
CHANGED_SECONDS = 5.0
#: and as a sign of life, where nothing has
ALIVE_SECONDS = 15.0


class MetricsFile:
    """Replaces the file atomically. It is derived: nothing is fsynced, and a full disk leaves the old one."""

    def __init__(
        self,
        home: HomePaths,
        *,
        version: str,
        disk_floor_mib: float,
        last_run_finished_at: float | None,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._home = home
        self._version = version
        self._disk_floor_bytes = round(disk_floor_mib * 2**20)
        self._last_run_finished_at = last_run_finished_at
        self._monotonic = monotonic
        self._now = now
        self._started_at = now()
        self._written_at: float | None = None
        #: state, reason to wait and GPU, as written last
        self._told: tuple[State, str | None, Mapping[str, Any] | None] | None = None
        self._ended: tuple[Mapping[str, EndedRound], EndedSums] | None = None
        #: attempts that have ended, by the last look
        self._ends: int | None = None

    def offer(self, state: State, wait_reason: str | None, gpu: Mapping[str, float | None] | None) -> None:
        """Let the file tell how things are, if it is time for it."""
        about = (state, wait_reason, gpu)
        told = self._told
        is_news = told is None or told[0] is not state or told[1:] != about[1:]
        if self._seconds_left(CHANGED_SECONDS if is_news else ALIVE_SECONDS) == 0.0:
            self._write(about, is_up=True)

    def next_in(self) -> float:
        """Seconds until the file wants a sign of life."""
        return self._seconds_left(ALIVE_SECONDS)

    def close(self, state: State, reason: str) -> None:
        """Let the file tell that nobody serves the home any more."""
        self._write((state, reason, None), is_up=False)

    def _seconds_left(self, interval: float) -> float:
        if self._written_at is None:
            return 0.0
        return max(0.0, self._written_at + interval - self._monotonic())

    def _write(
        self, about: tuple[State, str | None, Mapping[str, float | None] | None], *, is_up: bool
    ) -> None:
        state, wait_reason, gpu = about
        self._written_at, self._told = self._monotonic(), about
        sums = self._sums(state)
        self._look_for_ends(state, sums)
        readings = Readings(
            now=round(self._now(), 3),
            is_up=is_up,
            version=self._version,
            started_at=round(self._started_at, 3),
            wait_reason=wait_reason,
            disk_free_bytes=self._free_bytes(),
            disk_floor_bytes=self._disk_floor_bytes,
            gpu=gpu,
            last_run_finished_at=self._last_run_finished_at,
        )
        try:
            # Readable for the node exporter, which runs as somebody else; the umask has the last word.
            replace(self._home.metrics, exposition(metrics_of(state, sums, readings)), mode=0o644, sync=False)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise

    def _sums(self, state: State) -> EndedSums:
        if self._ended is None or self._ended[0] is not state.ended:
            self._ended = (state.ended, EndedSums.of(state.ended))
        return self._ended[1]

    def _look_for_ends(self, state: State, sums: EndedSums) -> None:
        usage = usage_of(state, sums)
        ends = sum(usage.runs.values()) + usage.probes
        if self._ends is not None and ends > self._ends:
            self._last_run_finished_at = round(self._now(), 3)
        self._ends = ends

    def _free_bytes(self) -> int | None:
        try:
            disk = os.statvfs(self._home.results)
        except OSError:
            return None
        return disk.f_bavail * disk.f_frsize
