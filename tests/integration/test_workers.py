"""Workers from the daemon's side: real children, and nothing of them left."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from fakes.desk import ATTEMPT, Desk, is_running, marked, prepare_message, wait_for

from scheduler.decide.inputs import RunEvaluated, RunResult, WorkerBeat, WorkerEnded, WorkerPrepared
from trainers._wire import ATTEMPT_VARIABLE


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.workers.close()
    assert desk.workers.alive() == ()


def test_a_run_is_heard_from_its_preparation_to_its_end(desk: Desk) -> None:
    ended = desk.run("echo step 5 val_loss: 2.5; echo step 9 val_loss: 1.5")
    prepared, first, second, result, _ = (e for e in desk.heard if not isinstance(e, WorkerBeat))
    assert isinstance(prepared, WorkerPrepared)
    assert prepared.attempt_id == ATTEMPT
    assert abs(prepared.start_time - time.time()) < 60
    assert prepared.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert set(prepared.identity) == {"source", "data", "parts", "versions", "is_complete"}
    assert isinstance(first, RunEvaluated)
    assert isinstance(second, RunEvaluated)
    assert (first.step, first.value, second.step, second.loss) == (5, 2.5, 9, 1.5)
    assert isinstance(result, RunResult)
    assert result.result == json.loads((desk.home / "run/result.json").read_bytes())
    assert (ended.returncode, ended.survivors, ended.ended_by) == (0, (), None)
    assert ended.output_tail == "step 5 val_loss: 2.5\nstep 9 val_loss: 1.5\n"
    assert desk.workers.alive() == ()
    assert not is_running(prepared.pid)


def test_release_before_go_leaves_no_trace(desk: Desk) -> None:
    desk.start("touch ran")
    desk.await_(WorkerPrepared)
    assert desk.workers.alive() == (ATTEMPT,)
    desk.workers.release(ATTEMPT)
    ended = desk.await_(WorkerEnded)
    assert (ended.returncode, ended.ended_by) == (0, None)
    assert list(desk.home.iterdir()) == []


def test_a_failure_to_prepare_arrives_as_a_result(desk: Desk) -> None:
    desk.workers.start(ATTEMPT, prepare_message(desk.home, ["no-such-program"], 60))
    told = desk.await_(RunResult)
    result = told.result
    assert result["status"] == "failed"
    assert result["failure"]["class"] == "bad_args"
    assert "no-such-program" in result["failure"]["message"]
    assert told.error_text.startswith("Traceback")
    desk.workers.release(ATTEMPT)
    assert desk.await_(WorkerEnded).returncode == 0


def test_a_worker_that_cannot_even_begin_is_quoted(desk: Desk) -> None:
    message = prepare_message(desk.home, ["true"], 60)
    del message["trainer"]
    desk.workers.start(ATTEMPT, message | {"type": "nonsense"})
    ended = desk.await_(WorkerEnded)
    assert ended.returncode == 1
    assert "expected `prepare`, got 'nonsense'" in ended.output_tail


@pytest.mark.fault(
    "a worker is killed",
    moment="while a run trains",
    outcome="the daemon hears of it, and no process of the run is left",
)
def test_a_worker_that_is_killed_is_told_by_its_end(desk: Desk) -> None:
    pid = desk.start("sleep 600")
    desk.await_(WorkerPrepared)
    desk.workers.go(ATTEMPT, desk.home / "run")
    wait_for(lambda: len(marked()) > 1)
    os.kill(pid, signal.SIGKILL)
    ended = desk.await_(WorkerEnded)
    assert (ended.returncode, ended.ended_by) == (-9, None)
    assert marked() == []
    assert not any(isinstance(event, RunResult) for event in desk.heard)


@pytest.mark.fault(
    "the kernel's out-of-memory killer ends a worker",
    moment="where no cgroup tells of it alone",
    outcome="the run failed as oom, by the kernel's count of what it ended",
)
@pytest.mark.parametrize("counts", [(3, 4), (3, 3), (None, None)])
def test_a_worker_that_the_kernel_ended_for_want_of_memory_is_told_from_one_that_was_killed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, counts: tuple[int | None, int | None]
) -> None:
    told = iter(counts)
    monkeypatch.setattr("scheduler.effects.worker_process.oom_kills", lambda: next(told))
    pid = desk.start("sleep 600")
    desk.await_(WorkerPrepared)
    os.kill(pid, signal.SIGKILL)
    assert desk.await_(WorkerEnded).oom_kills == (counts == (3, 4))


def test_a_command_that_hangs_is_timed_out_with_its_last_reading(desk: Desk) -> None:
    script = "echo val_loss: 3.5; trap '' TERM; (setsid sleep 600 &) ; while :; do sleep 1; done"
    ended = desk.run(script, seconds=0.5, grace_seconds=0.5)
    result = next(event for event in desk.heard if isinstance(event, RunResult)).result
    assert (result["status"], result["value"]) == ("timed_out", 3.5)
    assert result["wall_seconds"] < 0.5 + 0.5 + 3.0
    assert (ended.survivors, ended.returncode) == ((), 0)
    assert marked() == []


def test_what_a_command_leaves_in_the_background_does_not_hold_the_run(desk: Desk) -> None:
    desk.run("(setsid sleep 600 & echo $! > pid); sleep 600 & echo val_loss: 1")
    result = next(event for event in desk.heard if isinstance(event, RunResult)).result
    assert (result["status"], result["value"]) == ("ok", 1.0)
    assert result["wall_seconds"] < 5
    assert not is_running(int((desk.home / "pid").read_text()))
    assert marked() == []


def test_a_stop_ends_a_command_as_pruned(desk: Desk) -> None:
    desk.start("echo val_loss: 3.5; exec sleep 600")
    desk.await_(WorkerPrepared)
    desk.workers.go(ATTEMPT, desk.home / "run")
    desk.await_(RunEvaluated)
    desk.workers.stop(ATTEMPT, "pruned", "a no-op")
    result = desk.await_(RunResult).result
    assert (result["status"], result["value"]) == ("pruned", 3.5)
    desk.workers.release(ATTEMPT)
    desk.await_(WorkerEnded)
    assert marked() == []


def test_the_end_is_posted_once_and_last(desk: Desk) -> None:
    desk.run("echo val_loss: 1")
    for _ in range(3):
        desk.workers.end(ATTEMPT, "leftover")
        desk.workers.release(ATTEMPT)
        desk.workers.go(ATTEMPT, desk.home)
        desk.workers.stop(ATTEMPT, "pruned", "late")
    assert desk.inbox.empty()


def test_two_workers_are_told_apart(desk: Desk) -> None:
    desk.start("sleep 600", attempt="r/one")
    desk.start("sleep 600", attempt="r/two")
    desk.await_(WorkerPrepared)
    desk.await_(WorkerPrepared)
    desk.workers.end("r/one", "cancelled")
    assert desk.await_(WorkerEnded).attempt_id == "r/one"
    assert desk.workers.alive() == ("r/two",)
    assert marked("r/two") != []


def test_an_attempt_of_the_same_name_in_another_home_is_left_alone(tmp_path: Path) -> None:
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
    mine, other = Desk(tmp_path / "mine"), Desk(tmp_path / "other")
    try:
        for desk in (mine, other):
            desk.start("sleep 600", attempt="demo/one")
            desk.await_(WorkerPrepared)
        mine.workers.end("demo/one", "cancelled")
        mine.await_(WorkerEnded)
        assert len(marked("demo/one")) == 1
        assert other.workers.alive() == ("demo/one",)
    finally:
        mine.workers.close()
        other.workers.close()


def test_a_worker_sees_only_its_own_environment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "x")
    desk.run("env > seen; echo val_loss: 1")
    seen = dict(line.split("=", 1) for line in (desk.home / "seen").read_text().splitlines())
    assert "MY_SECRET" not in seen
    assert seen[ATTEMPT_VARIABLE] == f"{desk.home}:{ATTEMPT}"
    assert seen["OMP_NUM_THREADS"] == "1"


@pytest.mark.fault(
    "no process can be started",
    moment="when a worker is made",
    outcome="the attempt is lost and tried again; the daemon goes on",
)
def test_a_machine_without_a_process_to_spare_fails_the_attempt(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(*_: Any, **__: Any) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(subprocess, "Popen", no_more)
    assert desk.start("true") == -1
    failure = desk.await_(RunResult).result["failure"]
    assert (failure["class"], "temporarily unavailable" in failure["message"]) == ("lost", True)
    assert desk.await_(WorkerEnded).attempt_id == ATTEMPT
    assert desk.workers.alive() == ()
    assert len(os.listdir("/proc/self/fd")) == before


def test_workers_leave_no_descriptor_and_no_thread(desk: Desk) -> None:
    desk.run("echo val_loss: 1")
    before = len(os.listdir("/proc/self/fd")), psutil.Process().num_threads()
    for _ in range(3):
        desk.run("echo val_loss: 1")
    wait_for(lambda: psutil.Process().num_threads() <= before[1])
    assert len(os.listdir("/proc/self/fd")) == before[0]
