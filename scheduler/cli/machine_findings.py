"""Which readings of a machine would spoil a search, and what helps? A table of bounds; nothing is read."""

from __future__ import annotations

from collections.abc import Iterator

from scheduler.cli.finding import Finding, Level
from scheduler.effects.machine import MachineReadings
from scheduler.effects.performer import SPARE_MEMORY_MIB

#: a run folder has some ten files, a search some thousand runs
FEW_INODES, TOO_FEW_INODES = 50_000, 2_000
#: containers have 64 MiB unless told otherwise, of which one batch of images may fill all
LITTLE_SHM_MIB = 512
#: data loaders hold a few files for every process of theirs
FEW_OPEN_FILES, TOO_FEW_OPEN_FILES = 1024, 128
FEW_PROCESSES = 512
#: a correction that nobody notices in an order of events
SET_BACK_SECONDS = 1.0


def machine_findings(readings: MachineReadings) -> Iterator[Finding]:
    """What the readings mean, one finding for each thing that was looked at."""
    yield from _memory(readings)
    yield from _disk(readings)
    yield from _shared_memory(readings)
    yield from _limits(readings)
    yield from _clock(readings)
    yield from _sharing(readings)
    yield from _linger(readings)


def _memory(readings: MachineReadings) -> Iterator[Finding]:
    free = readings.memory_available_mib
    if free is None:
        return
    is_low = free < SPARE_MEMORY_MIB
    yield Finding(
        level="warn" if is_low else "ok",
        what=f"{free} MiB of memory available"
        + (f"; below {SPARE_MEMORY_MIB} MiB no run is prepared while another trains" if is_low else ""),
        remedy="end what else uses the memory, or set prepare_ahead = false" if is_low else "",
    )


def _disk(readings: MachineReadings) -> Iterator[Finding]:
    free = readings.free_inodes
    if free is None:
        return
    level = _level(free, few=FEW_INODES, too_few=TOO_FEW_INODES)
    yield Finding(
        level=level,
        what=f"{free:,} files can still be made on the disk of results/",
        remedy="" if level == "ok" else "delete small files; a disk without free inodes is full (df -i)",
    )


def _level(there: int, *, few: int, too_few: int) -> Level:
    return "fail" if there < too_few else "warn" if there < few else "ok"


def _shared_memory(readings: MachineReadings) -> Iterator[Finding]:
    total, free = readings.shm_total_mib, readings.shm_free_mib
    if total is None or free is None:
        yield Finding(
            level="warn",
            what="there is no /dev/shm: data loaders with processes of their own will fail",
            remedy="mount a tmpfs on /dev/shm",
        )
        return
    what = f"/dev/shm has {free} of {total} MiB free"
    if total < LITTLE_SHM_MIB:
        remedy = "of a container: --shm-size=8g; else: mount -o remount,size=8g /dev/shm"
        yield Finding(level="warn", what=f"{what}, little for data loaders", remedy=remedy)
    elif free < LITTLE_SHM_MIB:
        remedy = "look at /dev/shm for what dead programs left behind, and remove it"
        yield Finding(level="warn", what=f"{what}, little for data loaders", remedy=remedy)
    else:
        yield Finding(level="ok", what=what)


def _limits(readings: MachineReadings) -> Iterator[Finding]:
    files, processes = readings.open_files, readings.processes
    if files is not None:
        level = _level(files, few=FEW_OPEN_FILES, too_few=TOO_FEW_OPEN_FILES)
        raised = f"ulimit -n {FEW_OPEN_FILES * 4}, or LimitNOFILE={FEW_OPEN_FILES * 4} in the unit"
        yield Finding(
            level=level, what=f"a process may open {files} files", remedy="" if level == "ok" else raised
        )
    if processes is not None:
        is_low = processes < FEW_PROCESSES
        yield Finding(
            level="warn" if is_low else "ok",
            what=f"this user may have {processes} processes and threads",
            remedy=f"ulimit -u {FEW_PROCESSES * 8}, or LimitNPROC= in the unit" if is_low else "",
        )


def _clock(readings: MachineReadings) -> Iterator[Finding]:
    if readings.is_clock_synchronised is False:
        yield Finding(
            level="warn",
            what="nothing keeps the clock in time: the times in records and logs may jump",
            remedy="timedatectl set-ntp true, or start chronyd",
        )
    elif readings.is_clock_synchronised:
        yield Finding(level="ok", what="the clock is kept in time")
    back = readings.clock_set_back_seconds
    if back is not None and back >= SET_BACK_SECONDS:
        yield Finding(
            level="warn",
            what=f"the clock was set back by up to {back:.0f} s while a daemon ran; records keep their order"
            " by number, but times and durations in reports are off",
            remedy="have the clock corrected by small steps (chrony), and before the daemon starts",
        )


def _sharing(readings: MachineReadings) -> Iterator[Finding]:
    if readings.has_autogroup:
        yield Finding(level="ok", what="the kernel shares the processor between sessions (autogroup)")
        return
    yield Finding(
        level="warn",
        what="the kernel does not share the processor between sessions: what is prepared ahead may slow the"
        " run that trains",
        remedy="sysctl kernel.sched_autogroup_enabled=1; on few cores, prepare_ahead = false",
    )


def _linger(readings: MachineReadings) -> Iterator[Finding]:
    if readings.has_linger is None or not readings.has_user_unit:
        return
    yield Finding(
        level="ok" if readings.has_linger else "warn",
        what="the user unit goes on after you log out"
        if readings.has_linger
        else "the user unit ends when you log out, and does not start at boot",
        remedy="" if readings.has_linger else "loginctl enable-linger",
    )
