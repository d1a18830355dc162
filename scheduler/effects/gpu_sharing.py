"""May a run start on a device that others use too? Readings of a GPU, and what they mean for us."""

from __future__ import annotations

from dataclasses import dataclass

#: a desktop's own use of GPU memory moves by this much without anything being wrong
MEMORY_SLACK_MIB = 256.0
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


def foreign(own_pids: set[int], reading: GpuReading) -> tuple[GpuProcess, ...]:
    """The compute processes that are none of ours, as far as the driver tells."""
    return tuple(process for process in reading.processes or () if process.pid not in own_pids)


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
        named = ", ".join(map(_described, foreign[:NAMED_PROCESSES]))
        if len(foreign) > NAMED_PROCESSES:
            named += f" and {len(foreign) - NAMED_PROCESSES} more"
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
