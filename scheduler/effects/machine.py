"""What does the machine offer a search beside its GPU? Read once, for a person; nothing is changed."""

from __future__ import annotations

import ctypes
import os
import pwd
import resource
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from scheduler.effects.files import available_memory_mib
from scheduler.effects.records import read_records
from scheduler.rounds.errors import CorruptRecordsError

#: larger than the kernel's `struct timex`
_TIMEX_BYTES = 512
#: what adjtimex(2) returns while nothing keeps the clock in time
_TIME_ERROR = 5
#: where `schedctl` and systemd's documents put the unit of a person
_USER_UNIT = Path(".config/systemd/user/roundhouse.service")


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineReadings:
    """None where the machine does not tell."""

    memory_available_mib: int | None
    #: names that can still be made on the disk of the results; None where it has no such limit
    free_inodes: int | None
    shm_total_mib: int | None
    shm_free_mib: int | None
    #: soft limits of this process; None for no limit
    open_files: int | None
    processes: int | None
    is_clock_synchronised: bool | None
    #: furthest that the clock was set back between two facts of the daemon
    clock_set_back_seconds: float | None
    #: whether the kernel shares the processor between sessions
    has_autogroup: bool
    has_user_unit: bool
    #: whether a user's units outlive her session; None without systemd
    has_linger: bool | None


def read_machine(results: Path, journal: Path) -> MachineReadings:
    """The readings of this moment."""
    shm = _disk(Path("/dev/shm"))
    disk = _disk(results)
    return MachineReadings(
        memory_available_mib=_memory(),
        free_inodes=disk.f_favail if disk is not None and disk.f_files > 0 else None,
        shm_total_mib=None if shm is None else shm.f_blocks * shm.f_frsize // 2**20,
        shm_free_mib=None if shm is None else shm.f_bavail * shm.f_frsize // 2**20,
        open_files=_limit(resource.RLIMIT_NOFILE),
        processes=_limit(resource.RLIMIT_NPROC),
        is_clock_synchronised=_is_clock_synchronised(),
        clock_set_back_seconds=_set_back(journal),
        has_autogroup=_text(Path("/proc/sys/kernel/sched_autogroup_enabled")) == "1",
        has_user_unit=(Path.home() / _USER_UNIT).exists(),
        has_linger=_has_linger(),
    )


def _memory() -> int | None:
    try:
        return available_memory_mib()
    except OSError:
        return None


def _disk(path: Path) -> os.statvfs_result | None:
    try:
        return os.statvfs(path)
    except OSError:
        return None


def _limit(kind: int) -> int | None:
    soft, _ = resource.getrlimit(kind)
    return None if soft == resource.RLIM_INFINITY else soft


def _is_clock_synchronised() -> bool | None:
    """What the kernel was told by whatever keeps its clock in time. Only asks."""
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def _set_back(journal: Path) -> float | None:
    """By the times of the daemon's own facts, which are written in the order of their numbers."""
    furthest, latest = 0.0, None
    try:
        for record in read_records(journal):
            at = datetime.fromisoformat(record["ts"])
            latest = at if latest is None else max(latest, at)
            furthest = max(furthest, (latest - at).total_seconds())
    except (OSError, CorruptRecordsError):
        return None  # damage is told by whoever reads the records for its sake
    return furthest


def _has_linger() -> bool | None:
    if not Path("/run/systemd/system").is_dir():
        return None
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return None
    return Path("/var/lib/systemd/linger", name).exists()


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
