"""May a run start on the GPU now? A thread reads the device and posts what has changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from scheduler.decide.inputs import GateChanged, WorkerEnded
from scheduler.effects.gpu import Gpu, GpuLostError
from scheduler.effects.gpu_sharing import GpuReading, foreign, idle_memory_mib, wait_reason
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
        self.latest: GpuReading | None = None

    def start(self) -> None:
        """Read once, so that the first run waits for a foreign process too, then go on in a thread."""
        self.look()
        threading.Thread(target=self._watch, name="gpu-watch", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def run_began(self, attempt_id: str) -> None:
        self._meter.start(attempt_id, idle_memory_mib=self._idle_mib or 0.0)

    def run_ended(self, attempt_id: str) -> dict[str, float]:
        """What the device itself saw of the run: peak_memory_mib and energy_joule, where it can tell."""
        usage = self._meter.stop(attempt_id)
        fields = {"peak_memory_mib": usage.peak_memory_mib, "energy_joule": usage.energy_joule}
        return {name: value for name, value in fields.items() if value is not None}

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
        deadline = time.monotonic() + SETTLE_SECONDS
        reason = self._kept()
        while reason is not None and time.monotonic() < deadline:
            time.sleep(0.1)
            reason = self._kept()
        if reason is not None:
            ended = WorkerEnded(
                attempt_id=ended.attempt_id,
                returncode=ended.returncode,
                survivors=ended.survivors,
                ended_by=ended.ended_by,
                output_tail=ended.output_tail,
                kept_memory=reason,
            )
        post(ended)

    def _kept(self) -> str | None:
        """What the device still holds of ours; memory of foreign processes is theirs to give back."""
        try:
            reading = self._gpu.read()
        except GpuLostError as error:
            return str(error)
        if foreign(self._own_pids(), reading):
            return None
        return wait_reason(reading, (), self._idle_mib)
