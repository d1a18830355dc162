"""Which processes belong to an attempt, and are they all gone?

A process belongs to an attempt when it lives in its cgroup, where it has one, descends from its worker,
shares its session, or carries the attempt's mark in its environment; so it is found after it has left its
parent, its session, or both.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil

from scheduler.effects.cgroup import Cgroup
from trainers import _processes
from trainers._wire import ATTEMPT_VARIABLE

#: what was killed gets so long to be gone, however much time others have taken
LAST_LOOK_SECONDS = 0.2


def boot_id() -> str:
    """Names this boot of the machine: with it, a pid and a start time name one process for ever."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_time_of(pid: int) -> float:
    """When the process started, seconds since the epoch; 0 for one that has already gone."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return 0.0


class ProcessTree:
    """The processes of one attempt, below and around its worker."""

    def __init__(
        self, mark: str, pid: int, start_ticks: int | None = None, group: Cgroup | None = None
    ) -> None:
        """`mark` is what ATTEMPT_VARIABLE holds in the attempt's processes, and in no others.

        Whoever has the number `pid` but did not start at `start_ticks` is a stranger; without that, the
        number alone names nobody.
        """
        self.pid = pid
        self.start_ticks = start_ticks
        self._mark = f"{ATTEMPT_VARIABLE}={mark}".encode()
        self._group = group
        self._seen: set[psutil.Process] = set()

    def look(self) -> None:
        """Remember the descendants of now, for one that later hides from every other way of finding it."""
        if self._group is not None:
            return  # nothing gets out of there
        alive = {process for process in self._seen if _processes.is_alive(process)}
        self._seen = alive | set(_processes.descendants(self.pid))

    def pids(self) -> set[int]:
        """The worker and everything below it."""
        within = set() if self._group is None else self._group.pids()
        return {self.pid, *within, *(process.pid for process in _processes.descendants(self.pid))}

    def cpu_seconds(self) -> float:
        """What its processes have used of the processor so far. Looks at them where it has to."""
        if self._group is not None:
            return self._group.cpu_seconds()
        self.look()
        root = self._root()
        return sum(map(_cpu_seconds, self._seen if root is None else {root, *self._seen}))

    def oom_kills(self) -> int:
        """How many of its processes the kernel killed for want of memory; 0 where nobody can tell."""
        return 0 if self._group is None else self._group.oom_kills()

    def kill(self, wait_seconds: float) -> tuple[int, ...]:
        """Kill every process of the attempt; the pids of those that were left after `wait_seconds`."""
        deadline = time.monotonic() + wait_seconds

        def left_seconds() -> float:
            return max(LAST_LOOK_SECONDS, deadline - time.monotonic())

        if self._group is not None:
            self._group.kill(wait_seconds)
        root = self._root()
        if root is not None:
            # The worker is a subreaper: while it exists, stopped, nothing below it can get away.
            _processes.send([root], signal.SIGSTOP)
            _processes.kill_all(lambda: [p for p in self._members() if p.pid != self.pid], left_seconds())
            _processes.send([root], signal.SIGKILL)
        left = _processes.kill_all(self._members, left_seconds(), {self.pid})
        if self._group is not None:
            self._group.remove()
        return tuple(sorted(process.pid for process in left))

    def _root(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
        except psutil.NoSuchProcess:
            return None
        # In this order: whoever has that start time now had the number already when `process` was made.
        is_same = self.start_ticks is not None and _processes.start_ticks_of(self.pid) == self.start_ticks
        return process if is_same else None

    def _members(self) -> list[psutil.Process]:
        root = self._root()
        found = set(self._seen)
        if root is not None:
            found |= {root, *_processes.descendants(self.pid)}
        if self._group is not None:
            found |= set(_known(self._group.pids()))
        # A session keeps the pid of its leader from being given away, so while one of its processes is alive
        # the number is the worker's, unless somebody has it who is not the worker.
        owns_session = root is not None or not psutil.pid_exists(self.pid)
        found |= set(
            _where(lambda pid: _mark_of(pid) == self._mark or (owns_session and self._is_in_session(pid)))
        )
        return [process for process in found if _processes.is_alive(process)]

    def _is_in_session(self, pid: int) -> bool:
        try:
            return os.getsid(pid) == self.pid
        except OSError:
            return False


def kill_marked(home: str, wait_seconds: float) -> tuple[int, ...]:
    """Kill whatever carries the mark of any attempt of `home`; the pids of those that were left.

    For a daemon that has no worker yet: what it finds was left behind by the one before.
    """
    wanted = f"{ATTEMPT_VARIABLE}={home}:".encode()
    own = {os.getpid(), *(process.pid for process in psutil.Process().parents())}

    def is_left_behind(pid: int) -> bool:
        mark = _mark_of(pid)
        is_marked = mark is not None and mark.startswith(wanted) and b":" not in mark[len(wanted) :]
        return is_marked and pid not in own and _shares_our_files(pid)

    left = _processes.kill_all(lambda: list(_where(is_left_behind)), wait_seconds)
    return tuple(sorted(process.pid for process in left))


class Survivors:
    """Processes that could not be killed. Those that get their numbers later are others."""

    def __init__(self, pids: Iterable[int]) -> None:
        self.pids = tuple(sorted(pids))
        self._processes = list(_known(self.pids))

    def are_gone(self) -> bool:
        """Whether none is left; who is left is killed again."""
        return not _processes.kill_all(lambda: [p for p in self._processes if _processes.is_alive(p)], 0.0)


def _where(is_wanted: Callable[[int], bool]) -> Iterator[psutil.Process]:
    """Every live process of the machine that is wanted, without this one."""
    for process in psutil.process_iter():
        if process.pid != os.getpid() and is_wanted(process.pid) and _processes.is_alive(process):
            yield process


def _known(pids: Iterable[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        try:
            yield psutil.Process(pid)
        except psutil.NoSuchProcess:
            pass


def _mark_of(pid: int) -> bytes | None:
    """The mark in its environment; None where it has none, is gone, or is another user's."""
    variables = _environment_of(pid).split(b"\0")
    return next((each for each in variables if each.startswith(f"{ATTEMPT_VARIABLE}=".encode())), None)


def _environment_of(pid: int) -> bytes:
    """Waits for one that is between two programs: until the next has its stack, it shows no environment."""
    deadline = time.monotonic() + LAST_LOOK_SECONDS
    is_settled = False
    while True:
        try:
            with open(f"/proc/{pid}/environ", "rb") as stream:
                environment = stream.read()
        except OSError:
            return b""
        if environment or is_settled or time.monotonic() > deadline:
            return environment
        # Read once more also then: it may have settled since it was read.
        is_settled = not _processes.is_between_programs(pid)


def _shares_our_files(pid: int) -> bool:
    """Whether a path means the same to it: in a container, a home of the same name is another one."""
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/root"), os.stat("/"))
    except OSError:
        return False


def _cpu_seconds(process: psutil.Process) -> float:
    """Its own, and that of children it has waited for."""
    try:
        return float(sum(process.cpu_times()[:4]))
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0


class Adopted:
    """Ended processes that were left to this one, as a subreaper, by workers that ended before them."""

    def __init__(self) -> None:
        #: pids that someone here waits for
        self.not_these: set[int] = set()
        self._seen: set[psutil.Process] = set()

    def reap(self) -> None:
        """Take those that were there at the last call too: whoever waits for its own child has done so."""
        zombies = {child for child in psutil.Process().children() if _is_zombie(child)}
        zombies = {zombie for zombie in zombies if zombie.pid not in self.not_these}
        _processes.reap(zombie.pid for zombie in zombies & self._seen)
        self._seen = zombies


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
