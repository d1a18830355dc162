"""A GPU that others use is waited for, and told of once; what a dead worker leaves on it is seen."""

from __future__ import annotations

import queue
import subprocess
import threading
from typing import Any

import pytest
from real_home import wait_until

from scheduler.decide.inputs import GateChanged, WorkerEnded
from scheduler.effects import gpu_watch
from scheduler.effects.gpu import GpuLostError
from scheduler.effects.gpu_sharing import GpuProcess, GpuReading
from scheduler.effects.gpu_watch import GpuWatch

IDLE_MIB = 300.0


class ScriptedGpu:
    """A device whose readings the test sets."""

    def __init__(self) -> None:
        self.processes: tuple[GpuProcess, ...] = ()
        self.memory_mib = IDLE_MIB
        self.is_lost = False
        self.is_read = threading.Event()

    def read(self) -> GpuReading:
        self.is_read.set()
        if self.is_lost:
            raise GpuLostError
        return GpuReading(
            time=0.0,
            memory_used_mib=self.memory_mib,
            memory_total_mib=24_000.0,
            utilisation_percent=0.0,
            temperature_celsius=40.0,
            power_watt=30.0,
            energy_joule=0.0,
            processes=self.processes,
        )


class Watched:
    def __init__(self) -> None:
        self.gpu = ScriptedGpu()
        self.own: set[int] = set()
        self.posted: list[Any] = []
        self.watch = GpuWatch(self.gpu, self.posted.append, lambda: self.own)  # type: ignore[arg-type]

    def look(self) -> list[GateChanged]:
        """What a look newly posts."""
        before = len(self.posted)
        self.watch.look()
        return self.posted[before:]

    def until_dirty(self) -> list[GateChanged]:
        """What the first look that knows of the dirt posts."""
        return wait_until(lambda: self.watch._is_dirty and self.look())


@pytest.fixture
def watched() -> Watched:
    return Watched()


def process(pid: int, memory_mib: float) -> GpuProcess:
    return GpuProcess(pid=pid, name="python", memory_mib=memory_mib)


def test_the_first_look_says_that_the_way_is_free(watched: Watched) -> None:
    assert watched.look() == [GateChanged(source="gpu", wait_reason=None)]
    assert watched.look() == []


def test_a_foreign_process_is_named_once_however_it_grows(watched: Watched) -> None:
    watched.look()
    watched.gpu.processes = (process(4123, 2310.0),)
    [told] = watched.look()
    assert "python (pid 4123, 2310 MiB)" in str(told.wait_reason)
    watched.gpu.processes = (process(4123, 2900.0),)
    assert watched.look() == []
    watched.gpu.processes = ()
    assert watched.look() == [GateChanged(source="gpu", wait_reason=None)]


def test_our_own_worker_is_no_foreign_process(watched: Watched) -> None:
    watched.look()
    watched.own = {77}
    watched.gpu.processes = (process(77, 5000.0),)
    watched.gpu.memory_mib = 5300.0
    assert watched.look() == []


def test_memory_that_nobody_seems_to_hold_is_waited_for(watched: Watched) -> None:
    watched.look()
    watched.gpu.memory_mib = 9000.0
    [told] = watched.look()
    assert "by no process that can be seen" in str(told.wait_reason)


def test_a_lost_gpu_is_a_reason_to_wait(watched: Watched) -> None:
    watched.gpu.is_lost = True
    [told] = watched.look()
    assert "no longer answers" in str(told.wait_reason)


def settled(watched: Watched) -> WorkerEnded:
    posted: queue.SimpleQueue[WorkerEnded] = queue.SimpleQueue()
    watched.watch.settle(WorkerEnded(attempt_id="a", returncode=0), posted.put)
    return posted.get(timeout=10)


def test_a_device_that_returned_its_memory_is_clean(watched: Watched) -> None:
    watched.look()
    assert settled(watched).kept_memory is None


def test_a_device_that_keeps_memory_says_so(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_watch, "SETTLE_SECONDS", 0.2)
    watched.look()
    watched.gpu.memory_mib = 9000.0
    assert "9000 MiB" in str(settled(watched).kept_memory)


def test_memory_that_came_back_before_anybody_looked_is_told_too(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_watch, "SETTLE_SECONDS", 0.2)
    watched.look()
    watched.own = {77}  # a run computes by now, so that a look alone sees nothing strange
    watched.gpu.processes = (process(77, 8000.0),)
    watched.gpu.memory_mib = 12000.0
    assert settled(watched).kept_memory is not None
    [told] = watched.until_dirty()
    assert "4000 MiB" in str(told.wait_reason)
    watched.gpu.memory_mib = 8000.0 + IDLE_MIB
    assert watched.look() == [GateChanged(source="gpu", wait_reason=None)]
    assert watched.look() == []


def test_the_device_is_clean_again_at_the_first_look_after_it_was_called_dirty(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_watch, "SETTLE_SECONDS", 0.2)
    watched.look()
    watched.gpu.memory_mib = 9000.0
    assert settled(watched).kept_memory is not None
    watched.gpu.memory_mib = IDLE_MIB
    assert watched.until_dirty() == [GateChanged(source="gpu", wait_reason=None)]


@pytest.mark.fault(
    "a process of ours cannot be killed at once",
    moment="while its GPU is given time to settle",
    outcome="once it has ended, nothing waits for it",
)
def test_who_cannot_be_killed_and_ends_while_the_device_settles_is_forgotten(watched: Watched) -> None:
    watched.look()
    gone = subprocess.Popen(["true"])
    gone.wait()
    posted: queue.SimpleQueue[WorkerEnded] = queue.SimpleQueue()
    watched.watch.settle(WorkerEnded(attempt_id="a", returncode=-9, survivors=(gone.pid,)), posted.put)
    assert posted.get(timeout=10).survivors == ()


def test_memory_of_ours_that_is_still_listed_after_its_process_is_not_back(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_watch, "SETTLE_SECONDS", 0.2)
    watched.look()
    watched.own = {77}
    watched.gpu.processes, watched.gpu.memory_mib = (process(77, 8000.0),), 8300.0
    watched.look()
    watched.own = set()
    assert "8300 MiB" in str(settled(watched).kept_memory)


def test_a_run_that_was_killed_is_told_of_all_the_same(watched: Watched) -> None:
    watched.look()
    watched.watch.run_began("a")
    assert settled(watched).seen["peak_memory_mib"] == 0.0


def test_what_others_gave_back_lowers_what_is_normal(watched: Watched) -> None:
    watched.gpu.memory_mib = 2000.0
    watched.look()
    watched.gpu.memory_mib = IDLE_MIB
    watched.look()
    watched.gpu.memory_mib = 1900.0
    [told] = watched.look()
    assert "1900 MiB are in use where 300 MiB are normal" in str(told.wait_reason)


def test_memory_of_a_foreign_process_is_not_held_against_our_run(watched: Watched) -> None:
    watched.look()
    watched.gpu.memory_mib = 9000.0
    watched.gpu.processes = (process(4123, 8000.0),)
    assert settled(watched).kept_memory is None


def test_memory_of_a_run_that_computes_by_now_is_its_own(watched: Watched) -> None:
    watched.look()
    watched.own = {77}
    watched.gpu.processes = (process(77, 8000.0),)
    watched.gpu.memory_mib = 8000.0 + IDLE_MIB
    assert settled(watched).kept_memory is None


def test_memory_that_is_kept_is_seen_beside_a_run_that_computes_by_now(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_watch, "SETTLE_SECONDS", 0.2)
    watched.look()
    watched.own = {77}
    watched.gpu.processes = (process(77, 8000.0),)
    watched.gpu.memory_mib = 12000.0
    assert "4000 MiB are in use by no process" in str(settled(watched).kept_memory)


def test_a_run_is_not_charged_for_what_the_process_before_it_still_holds(watched: Watched) -> None:
    watched.look()
    watched.watch.run_began("a")
    watched.gpu.memory_mib = 9000.0
    assert watched.watch.run_ended("a")["peak_memory_mib"] == 9000.0 - IDLE_MIB
    watched.gpu.is_read.clear()
    watched.watch.run_began("b")
    assert watched.gpu.is_read.wait(timeout=10)
    watched.gpu.memory_mib = 500.0
    settled(watched)
    assert watched.watch.run_ended("b")["peak_memory_mib"] == 500.0 - IDLE_MIB


def test_free_memory_is_what_nobody_uses(watched: Watched) -> None:
    assert watched.watch.free_memory_mib() is None
    watched.look()
    assert watched.watch.free_memory_mib() == 24_000.0 - IDLE_MIB
