"""What an earlier daemon left behind is ended, and nobody who merely looks like it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from fakes.desk import ATTEMPT, Desk, is_running, pids_in, wait_for
from real_cgroup import made_cgroup, members

from scheduler.effects.cgroup import Cgroups
from scheduler.effects.process_tree import ProcessTree
from scheduler.effects.workers import Orphan
from trainers import _processes
from trainers._processes import start_ticks_of
from trainers._wire import ATTEMPT_VARIABLE

STAND_IN = """
import sys, time
from pathlib import Path
from fakes.desk import Desk
from scheduler.decide.inputs import WorkerPrepared
from scheduler.effects.cgroup import Cgroups
from scheduler.effects.workers import become_subreaper
become_subreaper()
home, attempt, script, *groups = sys.argv[1:]
desk = Desk(Path(home), Cgroups(Path(groups[0])) if groups else None)
desk.start(script, attempt=attempt)
event = desk.await_(WorkerPrepared)
desk.workers.go(event.attempt_id, desk.home / "run")
print(event.pid, event.start_ticks, flush=True)
time.sleep(600)
"""
TESTS = str(Path(__file__).parents[1])
#: above the largest pid that Linux gives
NOBODY = 2**22 + 1


def killed_daemon(
    home: Path, script: str, count: int, *groups: Path, notices: bool = True
) -> tuple[Orphan, list[int]]:
    """The worker of a daemon that was killed, and the `count` pids that its command had written by then.

    A worker that does not notice the end of the daemon's pipe dies without ending what it had started.
    """
    daemon = subprocess.Popen(
        [sys.executable, "-c", STAND_IN, str(home), ATTEMPT, script, *map(str, groups)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": TESTS},
    )
    with daemon:
        assert daemon.stdout is not None
        pid, start_ticks = daemon.stdout.readline().split()
        pids = pids_in(home / "pids", count)
        if not notices:
            os.kill(int(pid), signal.SIGSTOP)
        daemon.kill()
    return Orphan(attempt_id=ATTEMPT, pid=int(pid), start_ticks=int(start_ticks)), pids


IN_BACKGROUND = "echo $$ > pids; (setsid sleep 600 & echo $! >> pids); exec sleep 600"


@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="while a run has a program in the background",
    outcome="worker and program die with it, and the next start ends what they had left",
)
def test_kill_9_of_the_daemon_ends_the_worker_and_its_command(tmp_path: Path) -> None:
    orphan, (command, escaped) = killed_daemon(tmp_path, IN_BACKGROUND, 2)
    wait_for(lambda: not is_running(orphan.pid))
    wait_for(lambda: not is_running(command))
    # What the command itself had put into the background is found by its mark at the next start.
    desk = Desk(tmp_path)
    assert desk.workers.end_leftovers([orphan]) == ()
    assert not is_running(escaped)
    assert not (tmp_path / "run/result.json").exists()


def test_what_no_record_tells_of_is_found_by_the_mark_of_the_home(tmp_path: Path) -> None:
    _, (_, escaped) = killed_daemon(tmp_path, IN_BACKGROUND, 2)
    assert Desk(tmp_path).workers.end_leftovers() == ()
    assert not is_running(escaped)


def test_what_lost_its_mark_is_found_in_the_cgroup(tmp_path: Path) -> None:
    with made_cgroup() as folder:
        script = "(env -i setsid sleep 600 & echo $! >> pids); exec sleep 600"
        orphan, [escaped] = killed_daemon(tmp_path, script, 1, folder, notices=False)
        wait_for(lambda: not is_running(orphan.pid))
        assert is_running(escaped)
        assert Desk(tmp_path, Cgroups(folder)).workers.end_leftovers([orphan]) == ()
        assert not is_running(escaped)
        assert (members(folder), list(folder.glob("attempt-*"))) == (set(), [])


def marked_sleeper(mark: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "600"], env={**os.environ, ATTEMPT_VARIABLE: mark})


def test_a_home_whose_name_begins_alike_is_another_one(tmp_path: Path) -> None:
    marks = [f"{tmp_path}2:{ATTEMPT}", f"{tmp_path}:2:{ATTEMPT}", f"{tmp_path}/sub:{ATTEMPT}"]
    others = [marked_sleeper(mark) for mark in marks]
    ours = marked_sleeper(f"{tmp_path}:{ATTEMPT}")
    try:
        assert Desk(tmp_path).workers.end_leftovers() == ()
        assert not is_running(ours.pid)
        assert [other.poll() for other in others] == [None] * 3
    finally:
        for process in (ours, *others):
            process.kill()
            process.wait()


def test_an_orphan_is_known_by_pid_and_start_time(tmp_path: Path) -> None:
    process = subprocess.Popen(["sleep", "600"])
    try:
        ticks = start_ticks_of(process.pid)
        assert ticks is not None
        for wrong in (ticks - 1, ticks + 1, None):
            assert ProcessTree("r/x", process.pid, wrong).kill(1.0) == ()
            assert process.poll() is None
        orphan = Orphan(attempt_id="r/x", pid=process.pid, start_ticks=ticks)
        assert Desk(tmp_path).workers.end_leftovers([orphan]) == ()
        assert process.wait(timeout=5) == -9
    finally:
        process.kill()
        process.wait()


def test_the_exit_status_of_a_worker_that_is_killed_is_left_to_who_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = _processes.reap

    def late(pids: Iterable[int]) -> None:
        wait_for(lambda: not is_running(worker.pid))
        real(pids)

    monkeypatch.setattr(_processes, "reap", late)
    worker = marked_sleeper(ATTEMPT)
    assert ProcessTree(ATTEMPT, worker.pid).kill(1.0) == ()
    assert worker.wait(timeout=5) == -9


@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="while a process of the run is between two programs",
    outcome="it is found by its mark all the same, and ended",
)
def test_a_process_in_the_middle_of_an_exec_is_known_by_its_mark() -> None:
    for _ in range(40):
        # Popen returns in the middle of the exec, now and then before there is an environment.
        process = marked_sleeper(ATTEMPT)
        try:
            assert ProcessTree(ATTEMPT, NOBODY).kill(1.0) == ()
            assert not is_running(process.pid)
        finally:
            process.kill()
            process.wait()


RECYCLE = """
import subprocess, sys
from pathlib import Path
from scheduler.effects.process_tree import ProcessTree
from trainers._processes import send, start_ticks_of
import psutil

def sleeper():
    return subprocess.Popen(["sleep", "600"], start_new_session=True)

first = sleeper()
pid, ticks, known = first.pid, start_ticks_of(first.pid), psutil.Process(first.pid)
first.kill(); first.wait()
Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
import time; time.sleep(0.05)  # another tick of the clock
second = sleeper()
assert second.pid == pid, (second.pid, pid)
assert start_ticks_of(pid) != ticks
left = ProcessTree("r/x", pid, ticks).kill(0.5)
send([known], 9)
print(left, second.poll())
second.kill(); second.wait()
"""


@pytest.mark.fault(
    "the pid of a dead worker belongs to another process",
    moment="when the next daemon ends what is left",
    outcome="the other process is not touched",
)
def test_a_process_that_was_given_the_number_of_a_dead_worker_survives() -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only root may give a number again, in a namespace of its own")
    ran = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", RECYCLE],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "unshare" in ran.stderr:
        pytest.skip(f"no namespace can be made here: {ran.stderr.strip()}")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "() None\n"
