"""Which processes belong together, and how do they all end? Linux only, and free of threads."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Container, Iterable

import psutil

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
#: flags of a task in proc_pid_stat(5), from include/linux/sched.h
PF_EXITING = 0x4
PF_KTHREAD = 0x200000

#: seconds between two looks at processes that were told to die
POLL_SECONDS = 0.01


def die_with_parent() -> None:
    """The kernel kills this process when the thread that started it ends.

    A parent that was already gone goes unnoticed here: whoever calls this also reads a pipe from its parent,
    and end-of-file on that tells.
    """
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def become_subreaper() -> None:
    """Descendants whose parent ends become children of this process instead of escaping to init."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "prctl")


def age_seconds() -> float:
    """Since this process started, the interpreter's own start-up included."""
    started = (start_ticks_of(os.getpid()) or 0) / os.sysconf("SC_CLK_TCK")
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)


def start_ticks_of(pid: int) -> int | None:
    """When a process started, in ticks since the machine did: with its pid, nobody else's on this boot.

    No adjustment of the clock moves it. None for a process that has gone.
    """
    fields = _stat_of(pid)
    return int(fields[19]) if fields else None


def is_between_programs(pid: int) -> bool:
    """Whether it is in the middle of an `execve`: the old program is gone, the new one not yet laid out.

    Asked of one's own user's processes only; of others the kernel does not tell.
    """
    fields = _stat_of(pid)
    return bool(fields) and int(fields[47]) == 0 and not int(fields[6]) & (PF_EXITING | PF_KTHREAD)


def _stat_of(pid: int) -> list[bytes]:
    """What proc_pid_stat(5) tells of it from its state, field 3, on; nothing for one that has gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            return stream.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def descendants(pid: int) -> list[psutil.Process]:
    """Every live process below `pid`; none when it is gone."""
    try:
        found = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [process for process in found if is_alive(process)]


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs. A zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def send(processes: Iterable[psutil.Process], number: int) -> None:
    """Signal each process that still is the one it was, and never another one that has its number now."""
    for process in processes:
        try:
            descriptor = os.pidfd_open(process.pid)
        except ProcessLookupError:
            continue
        try:
            # Known again after it was opened, so that what is open is that process, whatever ends meanwhile.
            if process.is_running():
                signal.pidfd_send_signal(descriptor, number)
        except (psutil.Error, ProcessLookupError, PermissionError):
            pass
        finally:
            os.close(descriptor)


def kill_all(
    find: Callable[[], list[psutil.Process]], wait_seconds: float, awaited: Container[int] = ()
) -> list[psutil.Process]:
    """Kill what `find` finds until it finds nothing, and return what was left after `wait_seconds`.

    Each round stops everything before it kills anything, so that a process that forks faster than it is
    killed gets no turn in between. The exit status of `awaited` pids is left to whoever waits for it.
    """
    deadline = time.monotonic() + wait_seconds
    while processes := find():
        send(processes, signal.SIGSTOP)
        send(processes, signal.SIGKILL)
        reap(process.pid for process in processes if process.pid not in awaited)
        if time.monotonic() > deadline:
            return processes
        time.sleep(POLL_SECONDS)
    return []


def reap(pids: Iterable[int]) -> None:
    """Take the exit status of those of `pids` that are children of this process and have ended.

    Only for children adopted as a subreaper: one that `subprocess` started belongs to its Popen.
    """
    for pid in pids:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass
