"""A disk of a size of one's own, that fills up when told; where this machine allows it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from ended_round import ended_as_ever
from real_home import PATIENCE_SECONDS, Home, wait_until

from scheduler.effects.status import read_status

FILLING_DAEMON = str(Path(__file__).parent / "fakes" / "filling_daemon.py")
#: the demand; these homes are looked at every second
RESUMES_WITHIN_SECONDS = 30.0
#: in which a daemon that did not pause would start a run or two
WATCHED_SECONDS = 1.2
#: of a daemon to files, less than it makes
WRITES_OF_A_ROUND = 45


@contextmanager
def mounted_tmpfs(folder: Path, options: str) -> Iterator[Path]:
    """A file system in memory on `folder`. Skips where none may be mounted."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "roundhouse-test", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs the program mount")
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """When a disk fills up under a daemon, and how."""

    #: just before so many writes of the daemon to a file
    before_write: int
    kind: str = "bytes"
    #: bytes or inodes that are left
    left: int = 0


def survive(folder: Path, filling: Filling) -> float | None:
    """Let the disk of a daemon fill up and check that it pauses, says so, and goes on when there is space.

    Returns the seconds from the return of the space until the daemon went on; None where the round was over
    before the disk filled up. Raises AssertionError for anything that is not as it should be.
    """
    with mounted_tmpfs(folder, "size=48m,nr_inodes=3000") as disk:
        home = Home(disk / "home", output=folder.with_suffix(".out"))
        try:
            return _survived(home, filling, disk / "filler")
        finally:
            home.close()


def _survived(home: Home, filling: Filling, filler: Path) -> float | None:
    rounds = [f"night{number}" for number in range(1 + filling.before_write // WRITES_OF_A_ROUND)]
    for number, name in enumerate(rounds):
        home.drop(name, home.spec(name, seconds=0.1 + number / 1000))  # or its results would be known
    when = (str(filling.before_write), filling.kind, str(filling.left))
    process = home.spawn([sys.executable, "-P", FILLING_DAEMON, str(home.paths.root), str(filler), *when])
    patience = PATIENCE_SECONDS * len(rounds)
    wait_until(lambda: filler.exists() or _are_over(home, rounds), "the full disk", seconds=patience)
    if _are_over(home, rounds):
        return None
    _paused(home, rounds, process)
    shutil.rmtree(filler)
    freed = time.monotonic()
    before = _told(home, rounds)
    wait_until(
        lambda: _told(home, rounds) > before,
        f"the daemon to go on\n{home.log()}\n{home.output()}",
        seconds=RESUMES_WITHIN_SECONDS,
    )
    went_on = time.monotonic() - freed
    wait_until(lambda: _are_over(home, rounds), f"the end\n{home.log()}\n{home.output()}", seconds=patience)
    for name in rounds:
        ended_as_ever(home, name, spoiled={"disk"})
    assert home.stop() == 0
    return went_on


def _paused(home: Home, rounds: list[str], process: subprocess.Popen[str]) -> None:
    """Nothing starts any more; the daemon lives, and says why it waits."""
    wait_until(lambda: "disk" in home.log() + home.output(), "the log to say so")
    wait_until(lambda: _is_waiting(home), f"the status to say so\n{home.log()}\n{home.output()}")
    started = _told(home, rounds, "run_started")
    time.sleep(WATCHED_SECONDS)
    assert process.poll() is None, home.output()
    assert _told(home, rounds, "run_started") == started
    assert _is_waiting(home)


def _told(home: Home, rounds: list[str], event: str | None = None) -> int:
    """How many records there are, of one kind or of all."""
    return sum(event in (None, record["event"]) for name in rounds for record in home.records(name))


def _are_over(home: Home, rounds: list[str]) -> bool:
    return _told(home, rounds, "round_finished") == len(rounds)


def _is_waiting(home: Home) -> bool:
    status = read_status(home.paths.status)
    if status is None:  # a disk that was full before the daemon was ready has no room for one
        return "disk" in [line for line in home.output().splitlines() if " WAIT reason=" in line][-1]
    return "disk" in (status.get("why") or "")
