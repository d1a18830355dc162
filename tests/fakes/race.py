"""Many daemons that are started on one home at the same moment, and how each of them fared."""

from __future__ import annotations

import os
import select
import subprocess
import time
from dataclasses import dataclass

from real_home import Home

from scheduler.effects.lock import holder


@dataclass(frozen=True, slots=True, kw_only=True)
class Loser:
    """A daemon that came too late."""

    status: int
    #: from its start to its exit
    seconds: float
    #: of the processor, which tells what it did however busy the machine is
    cpu_seconds: float
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """One winner, whom the lock names, and the others."""

    winners: tuple[int, ...]
    named: int | None
    losers: tuple[Loser, ...]


def race(home: Home, starters: int = 8, patience_seconds: float = 60.0) -> Race:
    """Start so many at once, wait until all but one have gone, and kill that one."""
    started = {}
    for _ in range(starters):
        began_at = time.monotonic()
        process = subprocess.Popen(
            home.command("daemon"),
            cwd=home.paths.root,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        home.processes.append(process)
        started[os.pidfd_open(process.pid)] = (process, began_at)
    losers = []
    deadline = time.monotonic() + patience_seconds
    while len(started) > 1 and time.monotonic() < deadline:
        gone, _, _ = select.select(list(started), [], [], 1.0)
        for descriptor in gone:
            process, began_at = started.pop(descriptor)
            os.close(descriptor)
            losers.append(_loser(process, time.monotonic() - began_at))
    said = holder(home.paths.lock)
    for descriptor, (process, _) in started.items():
        os.close(descriptor)
        process.kill()
        process.communicate()
    return Race(
        winners=tuple(process.pid for process, _ in started.values()),
        named=None if said is None else said["pid"],
        losers=tuple(losers),
    )


def _loser(process: subprocess.Popen[str], seconds: float) -> Loser:
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.stderr is not None
    with process.stderr as stream:
        said = stream.read()
    cpu_seconds = usage.ru_utime + usage.ru_stime
    return Loser(status=process.returncode, seconds=seconds, cpu_seconds=cpu_seconds, said=said)
