"""May a run start beside what others do on the GPU?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.effects.gpu import cpu_device
from scheduler.effects.gpu_sharing import (
    REMEMBERED_SECONDS,
    GpuProcess,
    GpuReading,
    Ownership,
    foreign,
    idle_memory_mib,
    wait_reason,
)


def process(pid: int, memory_mib: float | None = 100.0) -> GpuProcess:
    return GpuProcess(pid=pid, name=f"p{pid}", memory_mib=memory_mib)


def reading(used_mib: float | None, *processes: GpuProcess) -> GpuReading:
    return GpuReading(
        time=0.0,
        memory_used_mib=used_mib,
        memory_total_mib=24564.0,
        utilisation_percent=0.0,
        temperature_celsius=40.0,
        power_watt=20.0,
        energy_joule=0.0,
        processes=processes,
    )


def test_only_pids_that_are_not_ours_are_foreign() -> None:
    ours, theirs = process(1), process(2)
    assert foreign({1, 7}, reading(0.0, ours, theirs)) == (theirs,)


class Ours:
    """The processes of ours, and how often they were looked for."""

    def __init__(self, *pids: int) -> None:
        self.pids = set(pids)
        self.looks = 0

    def look(self) -> set[int]:
        self.looks += 1
        return set(self.pids)


def at(time: float, *processes: GpuProcess) -> GpuReading:
    return replace(reading(0.0, *processes), time=time)


def test_ours_are_not_looked_for_at_every_reading() -> None:
    ours = Ours(1)
    ownership = Ownership(ours.look)
    for second in range(9):
        assert ownership.foreign(at(second, process(1))) == ()
    assert ours.looks == 1


def test_a_process_of_ours_that_has_just_gone_is_no_stranger() -> None:
    ours = Ours(1)
    ownership = Ownership(ours.look)
    ownership.foreign(at(0.0, process(1)))
    ours.pids = set()
    assert ownership.foreign(at(1.0, process(1))) == ()
    assert ownership.without_gone(at(1.0, process(1))).processes == ()


def test_a_pid_of_ours_may_be_a_strangers_later() -> None:
    ours = Ours(1)
    ownership = Ownership(ours.look)
    ownership.foreign(at(0.0, process(1)))
    ours.pids = set()
    later = at(REMEMBERED_SECONDS, process(1))
    assert ownership.foreign(later) == (process(1),)
    assert ownership.without_gone(later) == later


def test_a_child_that_was_born_meanwhile_is_ours() -> None:
    ours = Ours(1)
    ownership = Ownership(ours.look)
    ownership.foreign(at(0.0, process(1)))
    ours.pids = {1, 2}
    assert ownership.foreign(at(1.0, process(1), process(2), process(3))) == (process(3),)


def test_memory_of_compute_processes_is_not_idle_memory() -> None:
    assert idle_memory_mib(reading(700.0, process(1), process(2, None))) == 600.0
    assert idle_memory_mib(reading(50.0, process(1))) == 0.0
    assert idle_memory_mib(reading(None)) == 0.0


@pytest.mark.parametrize(
    ("processes", "reason"),
    [
        ((), None),
        ((process(5),), "GPU busy: p5 (pid 5, 100 MiB) is not ours; waiting for it to end"),
        ((process(5, None),), "GPU busy: p5 (pid 5) is not ours; waiting for it to end"),
        (
            (process(5), process(6)),
            "GPU busy: p5 (pid 5, 100 MiB), p6 (pid 6, 100 MiB) are not ours; waiting for them to end",
        ),
        (
            tuple(process(pid, None) for pid in range(5, 10)),
            "GPU busy: p5 (pid 5), p6 (pid 6), p7 (pid 7) and 2 more are not ours; waiting for them to end",
        ),
    ],
)
def test_foreign_processes_are_waited_for_by_name(processes: tuple[GpuProcess, ...], reason: str) -> None:
    assert wait_reason(reading(0.0, *processes), processes, 0.0) == reason


@pytest.mark.parametrize(
    ("used_mib", "idle_mib", "waits"),
    [
        (420.0, 420.0, False),
        (676.0, 420.0, False),
        (677.0, 420.0, True),
        (9000.0, None, False),
        (None, 420.0, False),
    ],
)
def test_memory_that_nobody_holds_is_waited_for(
    used_mib: float | None, idle_mib: float | None, waits: bool
) -> None:
    reason = wait_reason(reading(used_mib), (), idle_mib)
    assert (reason is not None) == waits
    if reason is not None:
        assert "677 MiB are in use where 420 MiB are normal" in reason


def test_memory_of_our_own_process_is_no_reason_to_wait() -> None:
    assert wait_reason(reading(9000.0, process(1, 8000.0)), (), 420.0) is None


def test_the_cpu_is_named_as_the_kernel_names_it() -> None:
    device = cpu_device(3)
    assert (device.id, device.threads, device.driver) == ("cpu", 3, "")
    assert device.name
    assert device.name == device.name.strip()
