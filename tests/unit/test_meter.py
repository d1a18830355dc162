"""Does the meter say what a run took, and cost nothing between runs?"""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from scheduler.effects.gpu import GpuLostError
from scheduler.effects.gpu_sharing import GpuProcess, GpuReading
from scheduler.effects.meter import MOST_NAMED, Meter, Tally, Usage


def reading(
    at: float,
    *,
    memory: float | None = None,
    busy: float | None = None,
    power: float | None = None,
    energy: float | None = None,
    slowdowns: tuple[str, ...] | None = None,
) -> GpuReading:
    return GpuReading(
        time=at,
        memory_used_mib=memory,
        memory_total_mib=None,
        utilisation_percent=busy,
        temperature_celsius=None,
        power_watt=power,
        energy_joule=energy,
        processes=None,
        slowdowns=slowdowns,
    )


def tallied(*readings: GpuReading, idle_memory_mib: float = 0.0) -> Usage:
    tally = Tally(idle_memory_mib=idle_memory_mib)
    for each in readings:
        tally.add(each)
    return tally.usage(seconds=1.0)


@pytest.mark.parametrize(
    ("memories", "idle", "peak"),
    [
        ((), 0.0, None),
        ((None, None), 0.0, None),
        ((420.0, 3000.0, 500.0), 420.0, 2580.0),
        ((300.0,), 420.0, 0.0),
        ((None, 900.0), 400.0, 500.0),
    ],
)
def test_peak_memory_is_counted_above_idle(
    memories: tuple[float | None, ...], idle: float, peak: float | None
) -> None:
    readings = [reading(float(at), memory=memory) for at, memory in enumerate(memories)]
    assert tallied(*readings, idle_memory_mib=idle).peak_memory_mib == peak


@pytest.mark.parametrize(
    ("readings", "joule"),
    [
        pytest.param([], None, id="no sample"),
        pytest.param([reading(0, energy=7)], None, id="one sample is no difference"),
        pytest.param([reading(0, energy=7), reading(9, energy=50)], 43, id="counter"),
        pytest.param([reading(0, energy=7, power=1), reading(9, energy=50, power=1)], 43, id="counter first"),
        pytest.param([reading(0, power=100), reading(2, power=200)], 300, id="power integrated"),
        pytest.param(
            [reading(0, energy=90, power=10), reading(3, energy=4, power=10)], 30, id="counter reset"
        ),
        pytest.param([reading(0, energy=90), reading(3, energy=4)], None, id="counter reset, no power"),
        pytest.param([reading(0), reading(3)], None, id="unsupported"),
    ],
)
def test_energy_comes_from_the_counter_else_from_power(
    readings: list[GpuReading], joule: float | None
) -> None:
    assert tallied(*readings).energy_joule == joule


@pytest.mark.parametrize(
    ("readings", "share"),
    [
        pytest.param([reading(0, busy=90)], None, id="one sample"),
        pytest.param([reading(0), reading(1)], None, id="unsupported"),
        pytest.param([reading(0, busy=0), reading(3, busy=100), reading(4, busy=0)], 0.75, id="by time"),
    ],
)
def test_busy_share_is_weighted_by_time(readings: list[GpuReading], share: float | None) -> None:
    assert tallied(*readings).busy_share == share


def stranger(pid: int = 4123, memory_mib: float | None = 2000.0) -> GpuProcess:
    return GpuProcess(pid=pid, name="python", memory_mib=memory_mib)


def shared(*strangers: tuple[GpuProcess, ...], memory: float | None = None) -> Usage:
    """What is told of an attempt with a reading a second, each with those processes of others on it."""
    tally = Tally(idle_memory_mib=300.0)
    for at, listed in enumerate(strangers):
        tally.add(reading(float(at), memory=memory), listed)
    return tally.usage(seconds=1.0)


def test_a_process_that_computes_beside_a_run_contaminates_it() -> None:
    told = shared((), (stranger(),), (stranger(),), (stranger(), stranger(77)), (stranger(77),), ())
    assert told.contaminated == {
        "seconds": 3.0,
        "share": 0.6,
        "by": [
            {"pid": 4123, "name": "python", "seconds": 2.0, "memory_mib": 2000.0},
            {"pid": 77, "name": "python", "seconds": 1.0, "memory_mib": 2000.0},
        ],
    }


@pytest.mark.parametrize(
    "strangers",
    [
        pytest.param([(), (), ()], id="nobody"),
        pytest.param([(), (stranger(),), ()], id="seen once: it may have been one of ours that went"),
        pytest.param([(stranger(1),), (stranger(2),), (stranger(3),)], id="each of them seen once"),
    ],
)
def test_a_run_that_had_its_device_to_itself_is_not_contaminated(
    strangers: list[tuple[GpuProcess, ...]],
) -> None:
    assert shared(*strangers).contaminated is None


def test_a_record_names_few_of_many_strangers() -> None:
    crowd = tuple(stranger(pid) for pid in range(100))
    told = shared(crowd, crowd).contaminated
    assert told is not None
    assert len(told["by"]) == MOST_NAMED


def test_what_a_stranger_holds_is_not_taken_for_the_runs() -> None:
    assert shared((stranger(),), (stranger(),), memory=5300.0).peak_memory_mib == 3000.0
    hidden = (stranger(memory_mib=None),)
    assert shared(hidden, hidden, memory=5300.0).peak_memory_mib is None


def test_the_time_in_which_the_device_was_slowed_down_is_told_by_reason() -> None:
    heat, power = "heat (by the hardware)", "power brake"
    told = tallied(
        reading(0, slowdowns=(heat,)),
        reading(1, slowdowns=()),
        reading(3, slowdowns=(heat,)),
        reading(4, slowdowns=(heat, power)),
        reading(10, slowdowns=None),
    )
    assert told.throttled == {"share": 0.3, "by": {heat: 0.3, power: 0.1}}
    assert tallied(reading(0, slowdowns=()), reading(1, slowdowns=())).throttled is None


class Driver:
    """Readings whose energy counts the questions asked."""

    def __init__(self) -> None:
        self.asked = itertools.count()
        self.answered = 0

    def read(self) -> GpuReading:
        self.answered = next(self.asked)
        return reading(time.monotonic(), energy=float(self.answered))


def meter_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "gpu-meter"]


def wait_until_gone() -> None:
    for thread in meter_threads():
        thread.join(timeout=5)
    assert meter_threads() == []


def test_there_is_no_thread_between_runs() -> None:
    meter = Meter(Driver().read, period_seconds=60)
    assert meter_threads() == []
    meter.start("a")
    assert len(meter_threads()) == 1
    meter.stop("a")
    wait_until_gone()


def test_the_last_sample_is_taken_at_the_stop_and_not_a_period_later() -> None:
    driver = Driver()
    meter = Meter(driver.read, period_seconds=60)
    meter.start("a")
    usage = meter.stop("a")
    assert usage.seconds < 5
    assert driver.answered in (0, 1)
    wait_until_gone()


def test_attempts_that_overlap_are_measured_each_for_itself() -> None:
    meter = Meter(lambda: reading(time.monotonic(), memory=1000.0), period_seconds=0.001)
    meter.start("a", idle_memory_mib=100.0)
    meter.start("b", idle_memory_mib=400.0)
    assert meter.stop("a").peak_memory_mib == 900.0
    assert meter.stop("b").peak_memory_mib == 600.0
    wait_until_gone()


def test_an_attempt_that_was_never_started_used_nothing() -> None:
    assert Meter(Driver().read).stop("ghost") == Usage()


def test_a_meter_can_be_used_again() -> None:
    meter = Meter(Driver().read, period_seconds=0.001)
    for attempt in ("a", "b", "c"):
        meter.start(attempt)
        assert meter.stop(attempt).error is None
    wait_until_gone()


def test_a_lost_gpu_is_told_and_does_not_end_the_meter() -> None:
    def read() -> GpuReading:
        raise GpuLostError("fallen off the bus")

    meter = Meter(read, period_seconds=0.001)
    meter.start("a")
    usage = meter.stop("a")
    assert usage.error == "fallen off the bus"
    assert usage.energy_joule is None
    wait_until_gone()


@pytest.mark.fault(
    "the GPU's driver hangs", moment="at the end of a run", outcome="the loop goes on after half a second"
)
def test_a_driver_that_hangs_does_not_hold_up_the_stop() -> None:
    answer = threading.Event()

    def read() -> GpuReading:
        answer.wait(timeout=30)
        return reading(0.0)

    meter = Meter(read)
    meter.start("a")
    assert meter.stop("a").peak_memory_mib is None
    assert not answer.is_set()
    answer.set()
    wait_until_gone()
