"""Processes that hang in the kernel, where no signal reaches them: everything else goes on."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from fakes.desk import ATTEMPT, GRACE_SECONDS, Desk, is_running, marked, pids_in, wait_for

from scheduler.decide.inputs import SurvivorsEnded, WorkerEnded, WorkerPrepared
from scheduler.effects import process_tree
from scheduler.effects.worker_process import REAP_SECONDS
from trainers import _processes

#: of trying, which shall not take the test as long as it takes a daemon
KILL_SECONDS = 0.5
#: for the two looks at the process table that a stop takes
LOOKING_SECONDS = 1.5


@contextmanager
def freezer() -> Iterator[Path]:
    """A cgroup of version 1 whose processes can be frozen so that not even SIGKILL ends them."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found = [line.split()[4] for line in mounts if line.rpartition(" - ")[2].endswith("freezer")]
    if not found:
        pytest.skip("no freezer of cgroup version 1 is mounted, so no process can be made unkillable")
    folder = Path(found[0], f"roundhouse-test-{secrets.token_hex(4)}")
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no freezer can be made: {error.strerror}")
    try:
        yield folder
    finally:
        (folder / "freezer.state").write_text("THAWED")
        wait_for(lambda: (folder / "cgroup.procs").read_text() == "")
        folder.rmdir()


def freeze(folder: Path, pid: int) -> None:
    (folder / "cgroup.procs").write_text(str(pid))
    (folder / "freezer.state").write_text("FROZEN")
    wait_for(lambda: (folder / "freezer.state").read_text() == "FROZEN\n")


@pytest.mark.parametrize("victim", ["worker", "program"])
@pytest.mark.fault(
    "a process of a run hangs in the kernel and cannot be killed",
    moment="when the run is stopped",
    outcome="the run ends nevertheless, the process is named, and its end is noticed whenever it comes",
)
def test_what_cannot_be_killed_is_told_and_its_end_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    monkeypatch.setattr("scheduler.effects.workers.KILL_SECONDS", KILL_SECONDS)
    monkeypatch.setattr("scheduler.effects.workers.SURVIVOR_SECONDS", 0.1)
    desk = Desk(tmp_path)
    try:
        with freezer() as folder:
            worker = desk.start("trap '' TERM; echo $$ > pids; sleep 600")
            desk.await_(WorkerPrepared)
            desk.workers.go(ATTEMPT, tmp_path / "run")
            [program] = pids_in(tmp_path / "pids")
            frozen = worker if victim == "worker" else program
            freeze(folder, frozen)
            began_at = time.monotonic()
            desk.workers.end(ATTEMPT, "cancelled")
            assert time.monotonic() - began_at < 0.1
            ended = desk.await_(WorkerEnded)
            most = GRACE_SECONDS + KILL_SECONDS + REAP_SECONDS + LOOKING_SECONDS
            assert time.monotonic() - began_at < most
            assert ended.survivors == (frozen,)
            assert desk.workers.alive() == ()
            desk.start("true", attempt="r/next")
            assert desk.await_(WorkerPrepared).attempt_id == "r/next"
            (folder / "freezer.state").write_text("THAWED")
            desk.await_(SurvivorsEnded)
            assert not is_running(frozen)
        assert marked() == []
    finally:
        desk.workers.close()
    # Nobody is left to be waited for, and nothing waits.
    wait_for(lambda: worker not in {child.pid for child in psutil.Process().children()})


def test_a_leftover_that_cannot_be_killed_is_told_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fake at the edge, for machines without a freezer: killing takes no effect."""
    is_over: list[bool] = []
    real = _processes.kill_all
    monkeypatch.setattr(
        process_tree._processes,
        "kill_all",
        lambda find, wait: find() if not is_over else real(find, wait),
    )
    monkeypatch.setattr("scheduler.effects.workers.SURVIVOR_SECONDS", 0.02)
    program = subprocess.Popen(["sleep", "600"], env={**os.environ, "ROUNDHOUSE_ATTEMPT": f"{tmp_path}:r/x"})
    desk = Desk(tmp_path)
    try:
        assert desk.workers.end_leftovers() == (program.pid,)
        assert is_running(program.pid)
        assert desk.inbox.empty()
        is_over.append(True)
        desk.await_(SurvivorsEnded)
    finally:
        program.kill()
        program.wait()
