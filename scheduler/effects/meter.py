"""What did a run take of the GPU? A thread samples the device, and only while a run is on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scheduler.effects.gpu import GpuLostError
from scheduler.effects.gpu_sharing import GpuProcess, GpuReading

PERIOD_SECONDS = 1.0
#: how long `stop` waits for a last sample; a driver that hangs longer costs the run's tail, not the loop
LAST_SAMPLE_SECONDS = 0.5
#: foreign processes that a record names
MOST_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one attempt took of its device. None where the device does not tell."""

    #: above the memory that was in use without the run
    peak_memory_mib: float | None = None
    #: of the whole device, its idle power included
    energy_joule: float | None = None
    #: from `start` to `stop`
    seconds: float = 0.0
    #: share of the time in which any kernel ran, 0..1
    busy_share: float | None = None
    #: foreign processes that computed beside it: {seconds, share, by}; None where none was seen
    contaminated: Mapping[str, Any] | None = None
    #: {share, by} of the time in which the device had slowed itself down; None where it had not
    throttled: Mapping[str, Any] | None = None
    #: why samples are missing, when the device was lost on the way
    error: str | None = None


class Tally:
    """Sums the readings of one attempt."""

    def __init__(self, *, idle_memory_mib: float) -> None:
        self._idle_memory_mib = idle_memory_mib
        self._first: GpuReading | None = None
        self._last: GpuReading | None = None
        self._peak_memory_mib: float | None = None
        self._integrated_joule: float | None = None
        self._busy_seconds: float | None = None
        #: another process still holds memory of the device, which is not to be taken for the attempt's
        self.is_shared = False
        self.error: str | None = None
        self._sharing = Sharing()
        self._slowed_seconds = 0.0
        self._slowed_seconds_by: dict[str, float] = {}

    def add(self, reading: GpuReading, strangers: Sequence[GpuProcess] = ()) -> None:
        """One more reading; `strangers` are the processes on it that are none of ours."""
        theirs_mib = [process.memory_mib for process in strangers]
        if reading.memory_used_mib is not None and not self.is_shared and None not in theirs_mib:
            others_mib = self._idle_memory_mib + sum(mib for mib in theirs_mib if mib is not None)
            own_mib = max(0.0, reading.memory_used_mib - others_mib)
            self._peak_memory_mib = max(self._peak_memory_mib or 0.0, own_mib)
        if self._last is not None:
            self._integrate(self._last, reading)
        self._sharing.add(strangers, 0.0 if self._last is None else reading.time - self._last.time)
        self._first = self._first or reading
        self._last = reading

    def _integrate(self, before: GpuReading, after: GpuReading) -> None:
        seconds = after.time - before.time
        if after.slowdowns:
            self._slowed_seconds += seconds
            for reason in after.slowdowns:
                self._slowed_seconds_by[reason] = self._slowed_seconds_by.get(reason, 0.0) + seconds
        if before.power_watt is not None and after.power_watt is not None:
            joule = (before.power_watt + after.power_watt) / 2 * seconds
            self._integrated_joule = (self._integrated_joule or 0.0) + joule
        if after.utilisation_percent is not None:
            # The driver's figure speaks of the time just before it was read.
            busy = after.utilisation_percent / 100 * seconds
            self._busy_seconds = (self._busy_seconds or 0.0) + busy

    def usage(self, seconds: float) -> Usage:
        return Usage(
            peak_memory_mib=self._peak_memory_mib,
            energy_joule=self._energy_joule(),
            seconds=seconds,
            busy_share=self._busy_share(),
            contaminated=self._sharing.told(self._sampled_seconds),
            throttled=self._throttled(),
            error=self.error,
        )

    @property
    def _sampled_seconds(self) -> float:
        return 0.0 if self._first is None or self._last is None else self._last.time - self._first.time

    def _throttled(self) -> Mapping[str, Any] | None:
        whole = self._sampled_seconds
        if whole <= 0 or not self._slowed_seconds:
            return None
        by = {reason: round(seconds / whole, 3) for reason, seconds in self._slowed_seconds_by.items()}
        return {"share": round(self._slowed_seconds / whole, 3), "by": by}

    def _energy_joule(self) -> float | None:
        """By the device's own counter; by its power where it has none or was reset on the way."""
        if self._first is None or self._last is None or self._first is self._last:
            return None
        begin, end = self._first.energy_joule, self._last.energy_joule
        if begin is not None and end is not None and end >= begin:
            return end - begin
        return self._integrated_joule

    def _busy_share(self) -> float | None:
        if self._busy_seconds is None or self._sampled_seconds <= 0:
            return None
        return self._busy_seconds / self._sampled_seconds


class Sharing:
    """Sums how long foreign processes computed beside an attempt.

    One counts from the second reading in a row that lists it: a single one may have caught a process of ours
    that was about to go, before anybody knew it.
    """

    def __init__(self) -> None:
        self._last: Mapping[int, GpuProcess] = {}
        self._seconds = 0.0
        self._seconds_by_pid: dict[int, float] = {}
        self._processes: dict[int, GpuProcess] = {}

    def add(self, strangers: Sequence[GpuProcess], seconds: float) -> None:
        """The strangers of one more reading, so many seconds after the last one."""
        listed = {process.pid: process for process in strangers}
        stayed = listed.keys() & self._last.keys()
        self._last = listed
        if stayed:
            self._seconds += seconds
        for pid in stayed:
            self._seconds_by_pid[pid] = self._seconds_by_pid.get(pid, 0.0) + seconds
            self._processes[pid] = listed[pid]

    def told(self, sampled_seconds: float) -> Mapping[str, Any] | None:
        """As the record of a run tells it: the longest first, and no more than MOST_NAMED of them."""
        if not self._processes:
            return None
        longest = sorted(self._processes, key=lambda pid: (-self._seconds_by_pid[pid], pid))[:MOST_NAMED]
        by = [
            {
                "pid": pid,
                "name": self._processes[pid].name,
                "seconds": round(self._seconds_by_pid[pid], 1),
                "memory_mib": self._processes[pid].memory_mib,
            }
            for pid in longest
        ]
        share = self._seconds / sampled_seconds if sampled_seconds > 0 else 1.0
        return {"seconds": round(self._seconds, 1), "share": round(share, 3), "by": by}


@dataclass(slots=True, kw_only=True)
class _Attempt:
    tally: Tally
    started_at: float
    #: set by `stop`; the next sample that begins after it is the last
    is_stopping: bool = False
    is_stopped: bool = False


class Meter:
    """Measures attempts on one device. `start` and `stop` never wait for the driver longer than
    LAST_SAMPLE_SECONDS, and between runs there is neither a thread nor a question to the driver."""

    def __init__(
        self,
        read: Callable[[], GpuReading],
        *,
        strangers_on: Callable[[GpuReading], Sequence[GpuProcess]] = lambda _: (),
        period_seconds: float = PERIOD_SECONDS,
    ) -> None:
        self._read = read
        self._strangers_on = strangers_on
        self._period_seconds = period_seconds
        self._attempts: dict[str, _Attempt] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self, attempt_id: str, *, idle_memory_mib: float = 0.0, is_shared: bool = False) -> None:
        """Sample from now on; `idle_memory_mib` is what the device holds without the run.

        With `is_shared` memory counts only after `unshare`: the process before has not let go of its own yet.
        """
        tally = Tally(idle_memory_mib=idle_memory_mib)
        tally.is_shared = is_shared
        with self._changed:
            self._attempts[attempt_id] = _Attempt(tally=tally, started_at=time.monotonic())
            if self._thread is None:
                self._thread = threading.Thread(target=self._sample, name="gpu-meter", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def unshare(self) -> None:
        """From the next sample on, all memory above idle is that of the attempts."""
        with self._changed:
            for attempt in self._attempts.values():
                attempt.tally.is_shared = False

    def stop(self, attempt_id: str) -> Usage:
        """What was measured since `start`. An attempt that was never started has used nothing."""
        with self._changed:
            attempt = self._attempts.get(attempt_id)
            if attempt is None:
                return Usage()
            seconds = time.monotonic() - attempt.started_at
            attempt.is_stopping = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: attempt.is_stopped, timeout=LAST_SAMPLE_SECONDS)
            self._attempts.pop(attempt_id, None)
            self._changed.notify_all()
            return attempt.tally.usage(seconds)

    def _sample(self) -> None:
        while True:
            with self._changed:
                if not self._attempts:
                    self._thread = None
                    return
                attempts = list(self._attempts.values())
                stopping = [attempt for attempt in attempts if attempt.is_stopping]
            reading, error = self._read_or_error()
            strangers = () if reading is None else self._strangers_on(reading)
            with self._changed:
                for attempt in attempts:
                    if reading is not None and not attempt.is_stopped:
                        attempt.tally.add(reading, strangers)
                    attempt.tally.error = attempt.tally.error or error
                for attempt in stopping:
                    attempt.is_stopped = True
                self._changed.notify_all()
                self._changed.wait_for(self._is_news, timeout=self._period_seconds)

    def _is_news(self) -> bool:
        """Nothing is left to measure, or somebody waits for a last sample."""
        return not self._attempts or any(
            attempt.is_stopping and not attempt.is_stopped for attempt in self._attempts.values()
        )

    def _read_or_error(self) -> tuple[GpuReading | None, str | None]:
        try:
            return self._read(), None
        except GpuLostError as error:
            return None, str(error)
