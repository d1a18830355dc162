"""An error that the driver reports is the program's or the device's; the latter stops the queue."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.world import GPU, World, checked, failed, make_round, ok

from scheduler.decide import facts, inputs
from scheduler.decide.facts import QueuePaused, RunFinished, XidReported
from scheduler.decide.xids import kind_of, remedy, to_blame, words_of
from scheduler.report.lines import line_for

FALLEN_OFF, PAGE_FAULT, CONTAINED, REMAPPED, UNHEARD_OF = 79, 31, 94, 63, 4711


def seeing(*xids: int, result: Any = None, attempts: int = 1) -> World:
    """A round in which the driver reports those errors during the first attempts at `good`."""

    def ends(intended: facts.RunIntended) -> dict[str, Any]:
        if (intended.config, intended.stage) == ("good", "quick") and intended.attempt <= attempts:
            world.inbox.extend(inputs.XidSeen(device="cuda:0", xid=xid) for xid in xids)
            return result or failed("crash", "CUDA error: unspecified launch failure")
        return ok({"baseline": 0.5, "good": 0.6, "bad": 0.4}[intended.config])

    world = World(ends, device=GPU)
    world.start()
    world.give(checked(make_round()))
    return world


def of(world: World, kind: type[Any]) -> list[Any]:
    return [fact for fact in world.facts if isinstance(fact, kind)]


def good(world: World) -> list[RunFinished]:
    return [end for end in of(world, RunFinished) if (end.config, end.stage) == ("good", "quick")]


@pytest.mark.parametrize(
    ("xid", "kind"),
    [
        (13, "program"),
        (PAGE_FAULT, "program"),
        (43, "program"),
        (45, "program"),
        (CONTAINED, "restart"),
        (32, "restart"),
        (REMAPPED, "noted"),
        (92, "noted"),
        (48, "device"),
        (74, "device"),
        (FALLEN_OFF, "device"),
        (95, "device"),
        (119, "device"),
        (UNHEARD_OF, "device"),
    ],
)
def test_an_error_is_the_programs_or_the_devices(xid: int, kind: str) -> None:
    assert kind_of(xid) == kind
    assert words_of(xid).startswith(f"Xid {xid}: ")


def test_no_error_is_to_blame_for_what_a_run_explains_better_itself() -> None:
    assert to_blame((FALLEN_OFF, PAGE_FAULT), "crash") == (FALLEN_OFF,)
    assert to_blame((FALLEN_OFF,), "oom") == to_blame((FALLEN_OFF,), "data") == ()


@pytest.mark.fault(
    "an Xid error of the GPU or its driver",
    moment="while a run trains",
    outcome="the failure is the GPU's, no variant is blamed, and the queue stops with the reason",
)
@pytest.mark.parametrize("xid", [FALLEN_OFF, UNHEARD_OF])
def test_an_error_of_the_device_stops_the_queue_and_blames_no_variant(xid: int) -> None:
    world = seeing(xid)
    [end] = good(world)
    assert (end.failure_class, end.xids) == ("gpu", (xid,))
    assert str(end.error).startswith(words_of(xid))
    assert "unspecified launch failure" in str(end.error)
    [paused] = of(world, QueuePaused)
    assert words_of(xid) in paused.reason
    assert remedy("cuda:0") in paused.reason
    world.give(inputs.RequestMade(id="1", verb="resume"))
    assert [end.status for end in good(world)] == ["failed", "ok"]
    assert world.round().finished is not None


def test_the_queue_stops_although_the_run_ended_well() -> None:
    world = seeing(FALLEN_OFF, result=ok(0.6))
    assert [(end.status, end.xids) for end in good(world)] == [("ok", (FALLEN_OFF,))]
    assert len(of(world, QueuePaused)) == 1


def test_an_error_while_nothing_runs_stops_the_queue_again_and_again() -> None:
    world = World(lambda intended: None, device=GPU)
    world.start()
    for number in range(2):
        world.give(*[inputs.XidSeen(device="cuda:0", xid=FALLEN_OFF)] * 3)
        assert world.state.paused is not None
        world.give(inputs.RequestMade(id=str(number), verb="resume"))
    assert len(of(world, QueuePaused)) == len(of(world, XidReported)) == 2


@pytest.mark.fault(
    "an Xid error that the program caused (13, 31, 43, 45)",
    moment="while a run trains",
    outcome="the run has failed by its own fault; the queue goes on",
)
def test_an_error_of_the_program_is_the_runs_own() -> None:
    world = seeing(PAGE_FAULT, attempts=2)
    assert [end.failure_class for end in good(world)] == ["crash", "crash"]
    assert not of(world, QueuePaused)
    assert world.round().finished is not None


@pytest.mark.fault(
    "an Xid error that one program did not survive (94, 32)",
    moment="while a run trains",
    outcome="the run is tried again, and the queue goes on",
)
def test_an_error_that_a_restart_mends_has_the_run_tried_again() -> None:
    world = seeing(CONTAINED)
    assert [(end.status, end.failure_class) for end in good(world)] == [("failed", "gpu"), ("ok", None)]
    assert not of(world, QueuePaused)


def test_a_remark_of_the_driver_changes_nothing() -> None:
    world = seeing(REMAPPED, attempts=2)
    assert [end.failure_class for end in good(world)] == ["crash", "crash"]
    assert not of(world, QueuePaused)


def test_a_storm_of_errors_is_told_once_a_run() -> None:
    world = seeing(*[PAGE_FAULT] * 1000, attempts=2)
    told = of(world, XidReported)
    assert [fact.attempts for fact in told] == [(end.attempt_id,) for end in good(world)]
    line = line_for(told[0], world.state)
    assert line is not None
    assert line.startswith("GPU device=cuda:0 reports Xid 31: the program touched GPU memory")
    assert line.endswith(f"during {told[0].attempts[0]}")


def test_an_error_of_another_device_is_not_held_against_the_run() -> None:
    def ends(intended: facts.RunIntended) -> dict[str, Any]:
        world.inbox.append(inputs.XidSeen(device="cuda:1", xid=PAGE_FAULT))
        return ok(0.5)

    world = World(ends, device=GPU)
    world.start()
    world.give(checked(make_round()))
    assert {end.xids for end in of(world, RunFinished)} == {()}
