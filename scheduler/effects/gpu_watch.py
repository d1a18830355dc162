"""May a run start on the GPU now? A thread reads the device and posts what has changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from scheduler.decide.inputs import GateChanged, WorkerEnded, XidSeen
from scheduler.effects.gpu import Gpu, GpuLostError
from scheduler.effects.gpu_sharing import (
    GpuProcess,
    GpuReading,
    Ownership,
    free_memory_mib,
    idle_memory_mib,
    kept_memory,
    named_processes,
    wait_reason,
)
from scheduler.effects.meter import Meter, Usage
from scheduler.effects.process_tree import Survivors

PERIOD_SECONDS = 2.0
#: how long a device may take to give back the memory of a process that is gone
SETTLE_SECONDS = 10.0
#: between errors that are told: a broken program may cause them by the thousand
ERROR_PAUSE_SECONDS = 0.1


class GpuWatch:
    """Everything the daemon asks of its GPU. Nothing here blocks the caller for long."""

    def __init__(self, gpu: Gpu, post: Callable[[Any], None], own_pids: Callable[[], set[int]]) -> None:
        self._gpu = gpu
        self._post = post
        self._own_pids = own_pids
        self._ownership = Ownership(own_pids)
        self._meter = Meter(gpu.read, strangers_on=self._ownership.foreign)
        #: who or what forbade a start when it was posted last; None before the first look
        self._posted: frozenset[int | str] | None = None
        self._stopped = threading.Event()
        #: memory in use before any run of ours; None until it was read while nothing else ran
        self._idle_mib: float | None = None
        #: attempts that have ended and whose memory has not come back yet
        self._leaving: set[str] = set()
        self._leaving_lock = threading.Lock()
        #: it was told that something was left on the device: whatever was posted, its end has to be told
        self._is_dirty = False
        self.latest: GpuReading | None = None
        self._lost: str | None = None
        #: on the latest reading, those that are none of ours
        self.strangers: tuple[GpuProcess, ...] = ()

    def start(self) -> None:
        """Read once, so that the first run waits for a foreign process too, then go on in a thread."""
        self.look()
        threading.Thread(target=self._watch, name="gpu-watch", daemon=True).start()
        threading.Thread(target=self._hear_errors, name="gpu-errors", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def run_began(self, attempt_id: str) -> None:
        with self._leaving_lock:
            is_shared = bool(self._leaving)
            self._meter.start(attempt_id, idle_memory_mib=self._idle_mib or 0.0, is_shared=is_shared)

    def run_ended(self, attempt_id: str) -> dict[str, Any]:
        """What the device itself saw of the run, by the names of its record, where it can tell."""
        with self._leaving_lock:
            self._leaving.add(attempt_id)
        return _seen(self._meter.stop(attempt_id))

    def run_continues(self, attempt_id: str) -> None:
        """The process of a run that has ended goes on to another: what it holds is that one's."""
        with self._leaving_lock:
            self._leaving.discard(attempt_id)

    def free_memory_mib(self) -> float | None:
        """By the latest reading: memory nobody uses, beside what our own run holds."""
        reading = self.latest
        return None if reading is None else free_memory_mib(reading)

    def fields(self) -> dict[str, Any] | None:
        """The latest reading, for `status`, or why the device answers no more; None before the first."""
        reading = self.latest
        if self._lost is not None:
            return {"lost": self._lost}
        if reading is None:
            return None
        return {
            "memory_used_mib": reading.memory_used_mib,
            "memory_total_mib": reading.memory_total_mib,
            "utilisation_percent": reading.utilisation_percent,
            "temperature_celsius": reading.temperature_celsius,
            "slowdowns": list(reading.slowdowns or ()),
            "strangers": named_processes(self.strangers),
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
        is_clean_again = self._is_dirty and not causes
        if causes != self._posted or is_clean_again:
            self._posted = causes
            self._is_dirty = self._is_dirty and not is_clean_again
            self._post(GateChanged(source="gpu", wait_reason=reason))

    def _hindrance(self) -> tuple[str | None, frozenset[int | str]]:
        """Why nothing may start, and what makes it another reason: figures in it change all the time."""
        try:
            reading = self._gpu.read()
        except GpuLostError as error:
            self._lost = str(error)
            return self._lost, frozenset({"lost"})
        self.latest, self._lost = reading, None
        self.strangers = self._ownership.foreign(reading)
        if not reading.processes:
            idle_mib = idle_memory_mib(reading)
            # A reading at the start may have caught what somebody else was about to give back.
            self._idle_mib = idle_mib if self._idle_mib is None else min(self._idle_mib, idle_mib)
        # While a run of ours is on the device, memory that nobody seems to hold is its own.
        reason = wait_reason(reading, self.strangers, None if self._own_pids() else self._idle_mib)
        if self.strangers:
            return reason, frozenset(process.pid for process in self.strangers)
        if reason is None and self._is_dirty:
            reason = kept_memory(self._ownership.without_gone(reading), self._idle_mib)
        return reason, frozenset() if reason is None else frozenset({"memory"})

    def _hear_errors(self) -> None:
        while not self._stopped.is_set():
            xid = self._gpu.wait_for_xid(PERIOD_SECONDS)
            if xid is not None:
                self._post(XidSeen(device=self._gpu.device.id, xid=xid))
                self._stopped.wait(ERROR_PAUSE_SECONDS)

    def _settle(self, ended: WorkerEnded, post: Callable[[WorkerEnded], None]) -> None:
        seen = _seen(self._meter.stop(ended.attempt_id))  # where the worker was killed, nobody else has
        deadline = time.monotonic() + SETTLE_SECONDS
        reason = self._kept()
        while reason is not None and time.monotonic() < deadline:
            time.sleep(0.1)
            reason = self._kept()
        with self._leaving_lock:
            self._leaving.discard(ended.attempt_id)
            if not self._leaving:
                self._meter.unshare()
        # If they have ended since, that was told while this one waited.
        survivors = () if Survivors(ended.survivors).are_gone() else ended.survivors
        post(replace(ended, survivors=survivors, kept_memory=reason, seen=seen))
        # Not before: its end would else be told before its beginning.
        self._is_dirty = self._is_dirty or reason is not None

    def _kept(self) -> str | None:
        """What the device still holds of ours; memory of other processes is theirs to give back."""
        try:
            reading = self._gpu.read()
        except GpuLostError as error:
            return str(error)
        if self._ownership.foreign(reading):
            return None
        return kept_memory(self._ownership.without_gone(reading), self._idle_mib)


def _seen(usage: Usage) -> dict[str, Any]:
    fields = {
        "peak_memory_mib": usage.peak_memory_mib,
        "energy_joule": usage.energy_joule,
        "contaminated": usage.contaminated,
        "throttled": usage.throttled,
    }
    return {name: value for name, value in fields.items() if value is not None}
