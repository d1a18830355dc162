"""Does a process that prepares ahead stand back, and only as far as it can come forward again?"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from real_home import wait_until

from scheduler.effects import priority
from scheduler.effects.priority import Priority

#: two threads, one of them made after the process was told to stand back
PROGRAM = """
import sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
print("ready", flush=True)
sys.stdin.readline()
threading.Thread(target=threading.Event().wait, daemon=True).start()
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def grow(child: subprocess.Popen[str]) -> None:
    """One more thread."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write("\n")
    child.stdin.flush()
    child.stdout.readline()


def thread_ids(pid: int) -> list[int]:
    return [int(name) for name in os.listdir(f"/proc/{pid}/task")]


def schedulers(pid: int) -> set[int]:
    return {os.sched_getscheduler(thread_id) for thread_id in thread_ids(pid)}


def disk_classes(pid: int) -> set[int]:
    return {psutil.Process(thread_id).ionice().ioclass for thread_id in thread_ids(pid)}


def share(pid: int) -> int:
    return int(Path(f"/proc/{pid}/autogroup").read_text().split()[-1])


@pytest.mark.skipif(not priority._leads_back(), reason="needs the privilege to leave SCHED_IDLE again")
def test_every_thread_stands_back_and_comes_forward_again(child: subprocess.Popen[str]) -> None:
    Priority(child.pid).lower()
    grow(child)
    assert len(thread_ids(child.pid)) == 3
    assert schedulers(child.pid) == {os.SCHED_IDLE}
    Priority(child.pid).restore()
    assert schedulers(child.pid) == {os.SCHED_OTHER}


def test_without_a_way_back_no_thread_is_made_idle(
    child: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as refused:
        refused.setattr(os, "sched_setscheduler", refuse)
        Priority(child.pid).lower()
        Priority(child.pid).restore()
    assert schedulers(child.pid) == {os.SCHED_OTHER}


def test_the_disk_is_left_to_others_first(child: subprocess.Popen[str]) -> None:
    before = disk_classes(child.pid)
    Priority(child.pid).lower()
    grow(child)
    assert disk_classes(child.pid) == {psutil.IOPRIO_CLASS_IDLE}
    Priority(child.pid).restore()
    assert disk_classes(child.pid) == before


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="needs a kernel with autogroups")
def test_the_share_of_a_session_goes_down_and_up_again(child: subprocess.Popen[str]) -> None:
    usual = share(child.pid)
    Priority(child.pid).lower()
    wait_until(lambda: share(child.pid) == priority.LEAST_NICE)
    Priority(child.pid).restore()
    wait_until(lambda: share(child.pid) == usual)


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="needs a kernel with autogroups")
@pytest.mark.parametrize("is_restored", [False, True], ids=["lowered", "lowered and restored"])
def test_a_change_that_comes_too_soon_is_made_a_little_later(
    child: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch, is_restored: bool
) -> None:
    usual, changed, really = share(child.pid), Priority(child.pid), priority._try_share
    tried = []

    def refusing_once(*asked: int) -> bool:
        tried.append(asked)
        return len(tried) > 1 and really(*asked)

    monkeypatch.setattr(priority, "_try_share", refusing_once)
    changed.lower()
    assert tried[0] == (child.pid, priority.LEAST_NICE)
    if is_restored:
        changed.restore()
    wait_until(lambda: not any(thread.name == "share" for thread in threading.enumerate()))
    assert share(child.pid) == (usual if is_restored else priority.LEAST_NICE)
    assert len(tried) > 1


def test_a_process_that_is_gone_is_no_error(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait()
    Priority(child.pid).lower()
    Priority(child.pid).restore()
