"""May a run start on a device that others use too? Readings of a GPU, and what they mean for us."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

#: a desktop's own use of GPU memory moves by this much without anything being wrong
MEMORY_SLACK_MIB = 256.0
#: how long a process is known to be ours without being looked for again
REMEMBERED_SECONDS = 10.0
#: processes that `wait_reason` names before it only counts them
NAMED_PROCESSES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """A process that computes on the GPU."""

    pid: int
    #: program name for people, free of control characters
    name: str
    memory_mib: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReading:
    """What the device said at one moment. A field that this device or driver does not tell is None."""

    #: monotonic seconds
    time: float
    memory_used_mib: float | None
    memory_total_mib: float | None
    utilisation_percent: float | None
    temperature_celsius: float | None
    power_watt: float | None
    #: since the driver was loaded
    energy_joule: float | None
    #: compute processes only: a desktop that merely draws is not among them
    processes: tuple[GpuProcess, ...] | None
    #: why it runs slower than it could, in words: heat, or power that does not suffice
    slowdowns: tuple[str, ...] | None = None


def foreign(own_pids: Collection[int], reading: GpuReading) -> tuple[GpuProcess, ...]:
    """The compute processes that are none of ours, as far as the driver tells."""
    return tuple(process for process in reading.processes or () if process.pid not in own_pids)


class Ownership:
    """Which processes on the device are ours? Also those that have just gone: a driver lists them a little
    longer, and nobody is to wait for them as for a stranger. Safe in threads.
    """

    def __init__(self, own_pids: Callable[[], set[int]]) -> None:
        self._own_pids = own_pids
        #: by pid, when it was last known to be one of ours
        self._known: dict[int, float] = {}
        self._lock = threading.Lock()

    def foreign(self, reading: GpuReading) -> tuple[GpuProcess, ...]:
        """The compute processes that are none of ours. Looks for ours only where one is not known yet."""
        with self._lock:
            self._forget(reading.time)
            if foreign(self._known, reading):
                self._known.update(dict.fromkeys(self._own_pids(), reading.time))
            return foreign(self._known, reading)

    def without_gone(self, reading: GpuReading) -> GpuReading:
        """The reading without what processes of ours hold that have gone."""
        strangers, own = self.foreign(reading), self._own_pids()
        listed = (each for each in reading.processes or () if each.pid in own or each in strangers)
        return replace(reading, processes=None if reading.processes is None else tuple(listed))

    def _forget(self, now: float) -> None:
        self._known = {pid: at for pid, at in self._known.items() if now - at < REMEMBERED_SECONDS}


def idle_memory_mib(reading: GpuReading) -> float:
    """Memory in use that belongs to no compute process: what a desktop and the driver itself hold."""
    computing = sum(process.memory_mib or 0.0 for process in reading.processes or ())
    return max(0.0, (reading.memory_used_mib or 0.0) - computing)


def wait_reason(
    reading: GpuReading, foreign: tuple[GpuProcess, ...], idle_memory_mib: float | None
) -> str | None:
    """Why nothing may start on the device now, in words for `status`; None when it is free for us.

    Memory that nobody seems to hold counts only while no process of ours is listed, and not at all where
    the idle figure is unknown.
    """
    if foreign:
        named = named_processes(foreign)
        if len(foreign) == 1:
            return f"GPU busy: {named} is not ours; waiting for it to end"
        return f"GPU busy: {named} are not ours; waiting for them to end"
    if reading.processes or reading.memory_used_mib is None or idle_memory_mib is None:
        return None
    if reading.memory_used_mib <= idle_memory_mib + MEMORY_SLACK_MIB:
        return None
    return (
        f"GPU memory: {reading.memory_used_mib:.0f} MiB are in use where {idle_memory_mib:.0f} MiB are "
        "normal, by no process that can be seen; waiting for it to be freed"
    )


def named_processes(processes: Sequence[GpuProcess]) -> str:
    """`python (pid 4123, 2310 MiB)`; the first few of many."""
    named = ", ".join(map(_described, processes[:NAMED_PROCESSES]))
    more = len(processes) - NAMED_PROCESSES
    return f"{named} and {more} more" if more > 0 else named


def kept_memory(reading: GpuReading, idle_memory_mib: float | None) -> str | None:
    """What a process that is gone left in use, in words; None when nothing, or when nobody can tell.

    The next run may be computing by now: what it holds, as far as the driver tells, is its own.
    """
    held = [process.memory_mib for process in reading.processes or ()]
    if reading.memory_used_mib is None or idle_memory_mib is None or None in held:
        return None
    unowned_mib = reading.memory_used_mib - sum(mib for mib in held if mib is not None)
    if unowned_mib <= idle_memory_mib + MEMORY_SLACK_MIB:
        return None
    return (
        f"GPU memory: {unowned_mib:.0f} MiB are in use by no process that can be seen, where "
        f"{idle_memory_mib:.0f} MiB are normal; waiting for it to be freed"
    )


def free_memory_mib(reading: GpuReading) -> float | None:
    """Memory that nobody uses; None where the device does not tell."""
    if reading.memory_total_mib is None or reading.memory_used_mib is None:
        return None
    return reading.memory_total_mib - reading.memory_used_mib


def _described(process: GpuProcess) -> str:
    memory = "" if process.memory_mib is None else f", {process.memory_mib:.0f} MiB"
    return f"{process.name} (pid {process.pid}{memory})"
