"""May a run start on the GPU now? A thread reads the device and posts what has changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from scheduler.decide.inputs import GateChanged, WorkerEnded
from scheduler.effects.gpu import Gpu, GpuLostError
from scheduler.effects.gpu_sharing import (
    GpuReading,
    foreign,
    free_memory_mib,
    idle_memory_mib,
    kept_memory,
    wait_reason,
)
from scheduler.effects.meter import Meter

PERIOD_SECONDS = 2.0
#: how long a device may take to give back the memory of a process that is gone
SETTLE_SECONDS = 10.0


class GpuWatch:
    """Everything the daemon asks of its GPU. Nothing here blocks the caller for long."""

    def __init__(self, gpu: Gpu, post: Callable[[Any], None], own_pids: Callable[[], set[int]]) -> None:
        self._gpu = gpu
        self._post = post
        self._own_pids = own_pids
        self._meter = Meter(gpu.read)
        #: who or what forbade a start when it was posted last; None before the first look
        self._posted: frozenset[int | str] | None = None
        self._stopped = threading.Event()
        #: memory in use before any run of ours; None until it was read while nothing else ran
        self._idle_mib: float | None = None
        #: attempts that have ended and whose memory has not come back yet
        self._leaving: set[str] = set()
        self._leaving_lock = threading.Lock()
        self.latest: GpuReading | None = None

    def start(self) -> None:
        """Read once, so that the first run waits for a foreign process too, then go on in a thread."""
        self.look()
        threading.Thread(target=self._watch, name="gpu-watch", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def run_began(self, attempt_id: str) -> None:
        with self._leaving_lock:
            is_shared = bool(self._leaving)
            self._meter.start(attempt_id, idle_memory_mib=self._idle_mib or 0.0, is_shared=is_shared)

    def run_ended(self, attempt_id: str) -> dict[str, float]:
        """What the device itself saw of the run: peak_memory_mib and energy_joule, where it can tell."""
        with self._leaving_lock:
            self._leaving.add(attempt_id)
        usage = self._meter.stop(attempt_id)
        fields = {"peak_memory_mib": usage.peak_memory_mib, "energy_joule": usage.energy_joule}
        return {name: value for name, value in fields.items() if value is not None}

    def run_continues(self, attempt_id: str) -> None:
        """The process of a run that has ended goes on to another: what it holds is that one's."""
        with self._leaving_lock:
            self._leaving.discard(attempt_id)

    def free_memory_mib(self) -> float | None:
        """By the latest reading: memory nobody uses, beside what our own run holds."""
        reading = self.latest
        return None if reading is None else free_memory_mib(reading)

    def fields(self) -> dict[str, float | None] | None:
        """The latest reading, for `status`; None before the first."""
        reading = self.latest
        if reading is None:
            return None
        return {
            "memory_used_mib": reading.memory_used_mib,
            "memory_total_mib": reading.memory_total_mib,
            "utilisation_percent": reading.utilisation_percent,
            "temperature_celsius": reading.temperature_celsius,
        }

    def settle(self, ended: WorkerEnded, post: Callable[[WorkerEnded], None]) -> None:
        """Post `ended` once the device has its memory back, or with what it kept."""
        threading.Thread(target=self._settle, args=(ended, post), name="gpu-settle", daemon=True).start()

    def _watch(self) -> None:
        while not self._stopped.wait(PERIOD_SECONDS):
            self.look()

    def look(self) -> None:
        """Post when other processes, or another kind of reason, stand in the way than before."""
        reason, causes = self._hindrance()
        if causes != self._posted:
            self._posted = causes
            self._post(GateChanged(source="gpu", wait_reason=reason))

    def _hindrance(self) -> tuple[str | None, frozenset[int | str]]:
        """Why nothing may start, and what makes it another reason: figures in it change all the time."""
        try:
            reading = self._gpu.read()
        except GpuLostError as error:
            return str(error), frozenset({"lost"})
        self.latest = reading
        own = self._own_pids()
        others = foreign(own, reading)
        if self._idle_mib is None and not reading.processes:
            self._idle_mib = idle_memory_mib(reading)
        # While a run of ours is on the device, memory that nobody seems to hold is its own.
        reason = wait_reason(reading, others, None if own else self._idle_mib)
        if reason is None:
            return None, frozenset()
        return reason, frozenset(process.pid for process in others) or frozenset({"memory"})

    def _settle(self, ended: WorkerEnded, post: Callable[[WorkerEnded], None]) -> None:
        self._meter.stop(ended.attempt_id)  # where the worker was killed, nobody else has
        deadline = time.monotonic() + SETTLE_SECONDS
        reason = self._kept()
        while reason is not None and time.monotonic() < deadline:
            time.sleep(0.1)
            reason = self._kept()
        with self._leaving_lock:
            self._leaving.discard(ended.attempt_id)
            if not self._leaving:
                self._meter.unshare()
        post(ended if reason is None else replace(ended, kept_memory=reason))

    def _kept(self) -> str | None:
        """What the device still holds of ours; memory of other processes is theirs to give back."""
        try:
            reading = self._gpu.read()
        except GpuLostError as error:
            return str(error)
        return None if foreign(self._own_pids(), reading) else kept_memory(reading, self._idle_mib)
