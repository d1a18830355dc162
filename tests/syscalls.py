"""A daemon that is killed at its n-th call of one kind to the kernel; where strace can be used."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from ended_round import ends_as_ever
from real_home import PATIENCE_SECONDS, Home, wait_until

from scheduler.effects.lock import holder

#: all by which the daemon's own thread changes a disk
CALLS = ("write", "fsync", "rename", "ftruncate", "link", "unlink", "mkdir", "fallocate", "utimensat")
#: half a record, as a kill in the middle of a write leaves it
TORN = b'{"v":1,"seq":7,"ts":"2026-'


@dataclass(frozen=True, slots=True)
class Point:
    """The kernel is asked for `call` for the n-th time, and the daemon dies before anything happens."""

    call: str
    number: int
    #: the daemon finds what one left behind that was killed in a run of this stage, and dies so twice
    recovers: str | None = None


def require_strace() -> None:
    """Skip where no process can be traced."""
    if shutil.which("strace") is None:
        pytest.skip("needs the program strace")
    traced = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False)
    if traced.returncode != 0:
        pytest.skip("needs the right to trace processes")


def points(folder: Path) -> list[Point]:
    """Every point of a round, and of two recoveries on its way, up to the next run."""
    counted: dict[str | None, Counter[str]] = {None: _counted(_home(folder / "whole"))}
    for stage in ("quick", "medium"):
        home = _home(folder / stage)
        _break_off(home, stage)
        counted[stage] = _counted_start(home)
    return [
        Point(call, number, recovers)
        for recovers, count in counted.items()
        for call in CALLS
        for number in range(1, count[call] + 1)
    ]


def survive_kill(folder: Path, point: Point) -> bool:
    """Kill a daemon there, and have the next one finish its round; whether it was killed at all.

    Raises AssertionError unless the round ends as ever.
    """
    home = _home(folder)
    try:
        if point.recovers is not None:
            _break_off(home, point.recovers)
        kills = [_killed(home, point) for _ in range(1 if point.recovers is None else 2)]
        ends_as_ever(home, "night")
    finally:
        home.close()
    shutil.rmtree(folder)
    return kills[0]


def _home(folder: Path) -> Home:
    home = Home(folder)
    home.set("max_attempts", "10")
    home.drop("night", home.spec("night"))
    return home


def _break_off(home: Home, stage: str) -> None:
    """Leave behind what a kill in a run of the stage leaves: an open attempt, and half a record."""
    home.start()
    wait_until(
        lambda: stage in {r["stage"] for r in home.events("night", "run_started")}, f"a run of {stage}"
    )
    home.kill()
    for path in (home.paths.round("night").records, home.paths.journal):
        with path.open("ab") as file:
            file.write(TORN)


def _killed(home: Home, point: Point) -> bool:
    """Run a daemon until it dies at the point, or has nothing left to do; whether it died."""
    inject = f"inject={point.call}:signal=SIGKILL:when={point.number}"
    process = _traced(home, point.call, ["-e", inject, "-o", os.devnull], "--until-idle")
    try:
        status = process.wait(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"the daemon neither died nor ended\n{home.output()}") from None
    finally:
        _kill_daemon(home)
    assert status in (0, -signal.SIGKILL, 128 + signal.SIGKILL), home.output()
    return status != 0


def _counted(home: Home) -> Counter[str]:
    """How often each call is made until the daemon has nothing left to do."""
    log = home.paths.root.with_suffix(".strace")
    process = _traced(home, ",".join(CALLS), ["-o", str(log)], "--until-idle")
    assert process.wait(timeout=PATIENCE_SECONDS) == 0, home.output()
    return _calls(log)


def _counted_start(home: Home) -> Counter[str]:
    """How often each call is made until a daemon that found a broken round starts its next run."""
    log = home.paths.root.with_suffix(".strace")
    runs = len(home.events("night", "run_started"))
    process = _traced(home, ",".join(CALLS), ["-o", str(log)])
    wait_until(lambda: len(home.events("night", "run_started")) > runs, "the next run")
    counted = _calls(log)
    _kill_daemon(home)
    process.wait(timeout=PATIENCE_SECONDS)
    return counted


def _calls(log: Path) -> Counter[str]:
    return Counter(re.findall(r"^(\w+)\(", log.read_text(errors="replace"), re.MULTILINE))


def _traced(home: Home, calls: str, options: list[str], *arguments: str) -> subprocess.Popen[str]:
    # Without -f only the daemon's own thread is traced: not its workers, which have calls of their own.
    return home.spawn(["strace", *options, "-e", f"trace={calls}", *home.command("daemon", *arguments)])


def _kill_daemon(home: Home) -> None:
    """strace may end before the one it traces."""
    found = holder(home.paths.lock)
    if found is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(found["pid"], signal.SIGKILL)
        wait_until(lambda: holder(home.paths.lock) is None, "the end of the daemon")
