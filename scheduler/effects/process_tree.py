"""Which processes belong to an attempt, and are they all gone?

A process belongs to an attempt when it descends from its worker, shares its session, or carries the attempt's
mark in its environment; so it is found after it has left its parent, its session, or both.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil

from trainers import _processes
from trainers._wire import ATTEMPT_VARIABLE

#: a start time is computed from the boot time, which the clock's adjustment moves a little
START_TIME_TOLERANCE_SECONDS = 2.0


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

    def __init__(self, mark: str, pid: int, start_time: float) -> None:
        """`mark` is what ATTEMPT_VARIABLE holds in the attempt's processes, and in no others."""
        self.pid = pid
        self.start_time = start_time
        self._mark = f"{ATTEMPT_VARIABLE}={mark}".encode()
        self._seen: set[psutil.Process] = set()

    def look(self) -> None:
        """Remember the descendants of now, for one that later hides from every other way of finding it."""
        alive = {process for process in self._seen if _processes.is_alive(process)}
        self._seen = alive | set(_processes.descendants(self.pid))

    def pids(self) -> set[int]:
        """The worker and everything below it."""
        return {self.pid, *(process.pid for process in _processes.descendants(self.pid))}

    def kill(self, wait_seconds: float) -> tuple[int, ...]:
        """Kill every process of the attempt; the pids of those that were left after `wait_seconds`."""
        root = self._root()
        if root is not None:
            # The worker is a subreaper: while it exists, stopped, nothing below it can get away.
            _processes.send([root], signal.SIGSTOP)
            _processes.kill_all(lambda: [p for p in self._members() if p.pid != self.pid], wait_seconds)
            _processes.send([root], signal.SIGKILL)
        left = _processes.kill_all(self._members, wait_seconds)
        return tuple(sorted(process.pid for process in left))

    def _root(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.start_time) < START_TIME_TOLERANCE_SECONDS
        except psutil.NoSuchProcess:
            return None
        return process if is_same else None

    def _members(self) -> list[psutil.Process]:
        root = self._root()
        found = set(self._seen)
        if root is not None:
            found |= {root, *_processes.descendants(self.pid)}
        # A session keeps the pid of its leader from being given away, so while one of its processes is alive
        # the number is the worker's, unless somebody has it who is not the worker.
        owns_session = root is not None or not psutil.pid_exists(self.pid)
        found |= set(self._marked_or_in_session(owns_session))
        return [process for process in found if _processes.is_alive(process)]

    def _marked_or_in_session(self, owns_session: bool) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            if process.pid == os.getpid():
                continue
            if self._is_marked(process.pid) or (owns_session and self._is_in_session(process.pid)):
                yield process

    def _is_marked(self, pid: int) -> bool:
        try:
            with open(f"/proc/{pid}/environ", "rb") as stream:
                return self._mark in stream.read().split(b"\0")
        except OSError:
            return False  # gone, or another user's

    def _is_in_session(self, pid: int) -> bool:
        try:
            return os.getsid(pid) == self.pid
        except OSError:
            return False


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
