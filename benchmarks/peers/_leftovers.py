"""What does a peer hold or leave behind? Processes, their memory and open files, shared memory segments."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

Value = TypeVar("Value")

#: an environment variable by which a peer's processes are known, wherever they went; the marks of all that
#: one program runs begin alike
MARK = "ROUNDHOUSE_PEERS_MARK"
#: how long what is over may take to leave; the report of a round is the longest of that
SETTLE_SECONDS = 60.0
LOOK_SECONDS = 0.05
TERMINATE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The state of a peer at one moment."""

    processes: int
    #: of all its processes; a page that several share is counted once, in parts
    memory_mib: float
    threads: int
    open_files: int
    #: names in /dev/shm, those of other programs included
    shared_segments: tuple[str, ...]
    #: (pid, create time) of its processes: some write over the environment by which they were known
    known: tuple[tuple[int, float], ...]


def look(mark: str, settled: int | None = None) -> Look:
    """What the peer holds: at once, or when it has no more than `settled` processes, or after a minute."""
    deadline = time.monotonic() + SETTLE_SECONDS
    seen = _look(mark)
    # What has settled is what is told: another report may begin right after the last has gone.
    while settled is not None and seen.processes > settled and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        seen = _look(mark)
    return seen


def left(mark: str, known: Iterable[tuple[int, float]] = ()) -> list[psutil.Process]:
    """Processes of a peer that has ended, once all are gone or a minute is over."""
    known = tuple(known)
    _wait_until(lambda: not _left(mark, known))
    return _left(mark, known)


def new_segments(before: Collection[str]) -> tuple[str, ...]:
    """Names in /dev/shm that were not there before, once all are gone or a minute is over."""
    _wait_until(lambda: set(shared_segments()) <= set(before))
    return tuple(name for name in shared_segments() if name not in before)


def shared_segments() -> tuple[str, ...]:
    """Names in /dev/shm."""
    return tuple(sorted(os.listdir("/dev/shm"))) if Path("/dev/shm").exists() else ()


def running(mark: str) -> list[psutil.Process]:
    """Processes of all peers whose mark begins so, as of now."""
    return _processes(mark)


def end(processes: Iterable[psutil.Process]) -> None:
    """None of these runs afterwards."""
    processes = list(processes)
    for process in processes:
        _if_alive(process.terminate)
    _, alive = psutil.wait_procs(processes, timeout=TERMINATE_SECONDS)
    for process in alive:
        _if_alive(process.kill)


def _left(mark: str, known: Iterable[tuple[int, float]]) -> list[psutil.Process]:
    found = {process.pid: process for process in _processes(mark)}
    found |= {pid: psutil.Process(pid) for pid, created in known if _is_same(pid, created)}
    return list(found.values())


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)


def _look(mark: str) -> Look:
    processes = _processes(mark)
    return Look(
        processes=len(processes),
        memory_mib=sum(map(_memory_bytes, processes)) / 2**20,
        threads=sum(_if_alive(process.num_threads) or 0 for process in processes),
        open_files=sum(_if_alive(process.num_fds) or 0 for process in processes),
        shared_segments=shared_segments(),
        known=tuple((process.pid, _if_alive(process.create_time) or 0.0) for process in processes),
    )


def _processes(mark: str) -> list[psutil.Process]:
    """Those with the mark, and their descendants: a daemon may keep its environment from its children."""
    marked = [
        process
        for process in psutil.process_iter()
        if (_if_alive(process.environ) or {}).get(MARK, "").startswith(mark)
    ]
    found = {process.pid: process for process in marked}
    for process in marked:
        found |= {child.pid: child for child in _children(process)}
    return [process for process in found.values() if _if_alive(process.status) not in (None, "zombie")]


def _children(process: psutil.Process) -> list[psutil.Process]:
    return _if_alive(lambda: process.children(recursive=True)) or []


def _memory_bytes(process: psutil.Process) -> int:
    return _if_alive(lambda: process.memory_full_info().pss) or 0


def _is_same(pid: int, created: float) -> bool:
    return _if_alive(lambda: psutil.Process(pid).create_time()) == created


def _if_alive(ask: Callable[[], Value]) -> Value | None:
    try:
        return ask()
    except psutil.Error:
        return None
