"""When is a run hung? Silent and idle, or heard and idle for long; never while its processes compute."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.world import Training, World, checked, make_round, ok

from scheduler.decide import actions as act
from scheduler.decide import facts, inputs
from scheduler.decide.failures import Limits
from scheduler.decide.step import step

LIMITS = Limits(heartbeat_timeout_seconds=60.0, hung_timeout_seconds=1000.0)
#: one percent of the time each has
SILENT_SECONDS, IDLE_SECONDS = 0.6, 10.0


def training(**limits: float) -> Training:
    world = Training(lambda _: ok(0.5), limits=Limits(**{**_fields(LIMITS), **limits}))
    world.start()
    world.give(checked(make_round()))
    return world


def _fields(limits: Limits) -> dict[str, Any]:
    return {
        "heartbeat_timeout_seconds": limits.heartbeat_timeout_seconds,
        "hung_timeout_seconds": limits.hung_timeout_seconds,
    }


def beat(world: Training, cpu_seconds: float | None) -> list[str]:
    """The deadlines that a heartbeat sets anew."""
    return given(world, inputs.WorkerBeat(attempt_id=world.training, cpu_seconds=cpu_seconds))


def given(world: Training, event: inputs.Input) -> list[str]:
    before = len(world.performed)
    world.give(event)
    new = world.performed[before:]
    return [action.event.kind for action in new if isinstance(action, act.SetDeadline)]


def looked_at(world: Training, kind: Any, cpu_seconds: float) -> list[act.EndWorker]:
    """The ends that a look at a worker without signs of life leads to."""
    before = len(world.performed)
    world.give(inputs.WorkerLookedAt(attempt_id=world.training, kind=kind, cpu_seconds=cpu_seconds))
    return [action for action in world.performed[before:] if isinstance(action, act.EndWorker)]


@pytest.mark.parametrize("kind", ["heartbeat", "hung"])
def test_a_deadline_alone_ends_nothing_and_has_the_worker_looked_at(kind: Any) -> None:
    world = training()
    event = inputs.DeadlinePassed(attempt_id=world.training, kind=kind)
    _, actions = step(world.state, event, world.limits)
    assert act.LookAtWorker(attempt_id=world.training, kind=kind) in actions
    assert not any(isinstance(action, act.EndWorker) for action in actions)


@pytest.mark.fault(
    "a run sends no heartbeat, but computes",
    moment="a long call that keeps the interpreter to itself",
    outcome="it goes on",
)
def test_a_silent_run_that_computes_is_not_hung() -> None:
    world = training()
    assert looked_at(world, "heartbeat", 30.0) == []
    assert looked_at(world, "heartbeat", 90.0) == []
    assert facts_of_ends(world) == []


@pytest.mark.fault(
    "a run sends no heartbeat and uses no CPU time",
    moment="while it prepares or trains",
    outcome="`hung`: it is killed, tried once more, then its task is parked",
)
def test_a_silent_run_that_does_not_compute_is_hung_and_the_error_says_what_was_seen() -> None:
    world = training()
    assert looked_at(world, "heartbeat", 30.0) == []
    first = world.training
    [end] = looked_at(world, "heartbeat", 30.0 + SILENT_SECONDS - 0.1)
    assert (end.attempt_id, end.ended_by) == (first, "hung")
    [run] = facts_of_ends(world)
    assert (run.status, run.failure_class) == ("failed", "hung")
    assert run.error is not None
    assert run.error.startswith("nothing was heard of the worker for 60 s, in which its processes used 0.5 s")
    assert world.training.endswith(".a2")


@pytest.mark.fault(
    "a run is deadlocked: it is heard, but evaluates nothing and uses no CPU time",
    moment="at any moment of its training",
    outcome="`hung` after `hung_timeout_seconds`: it is killed, tried once more, then its task is parked",
)
def test_a_run_that_neither_evaluates_nor_computes_is_hung_twice_and_then_parked() -> None:
    world = training()
    for attempt in (1, 2):
        assert world.training.endswith(f".a{attempt}")
        for beats in range(1, 20):
            assert beat(world, 0.001 * beats) == ["heartbeat"]
        [end] = looked_at(world, "hung", 0.02)
        assert end.reason == (
            "the run made no evaluation for 1000 s, in which its processes used 0.0 s of CPU time"
        )
    assert [run.failure_class for run in facts_of_ends(world)] == ["hung", "hung"]
    [parked] = [fact for fact in world.facts if isinstance(fact, facts.TaskParked)]
    assert parked.failure_class == "hung"


def test_every_evaluation_and_every_bit_of_work_gives_a_run_new_time() -> None:
    world = training()
    assert beat(world, IDLE_SECONDS - 1) == ["heartbeat"]
    assert beat(world, IDLE_SECONDS + 1) == ["heartbeat", "hung"]
    assert beat(world, IDLE_SECONDS + 2) == ["heartbeat"]
    evaluated = inputs.RunEvaluated(
        attempt_id=world.training, step=1, loss=None, acc=0.1, value=0.1, train_seconds=1.0
    )
    assert given(world, evaluated) == ["heartbeat", "hung"]


def test_a_process_that_ends_with_what_it_used_is_a_sign_of_work() -> None:
    world = training()
    assert beat(world, 50.0) == ["heartbeat", "hung"]
    assert beat(world, 2.0) == ["heartbeat", "hung"]
    assert beat(world, 2.1) == ["heartbeat"]
    assert looked_at(world, "hung", 2.1) != []


def test_a_look_that_comes_after_the_end_of_the_run_ends_nothing() -> None:
    world = training()
    finished = world.training
    world._act = lambda effect: None  # type: ignore[method-assign]  # the worker stays
    world.give(inputs.RunResult(attempt_id=finished, result=ok(0.5)))
    look = inputs.WorkerLookedAt(attempt_id=finished, kind="hung", cpu_seconds=0.0)
    _, actions = step(world.state, look, world.limits)
    assert actions == ()


def test_a_worker_at_its_gate_has_no_time_to_compute() -> None:
    world = training()
    kinds = [a.event.kind for a in world.performed if isinstance(a, act.SetDeadline)]
    gate = kinds.index("time_budget")
    assert "hung" not in kinds[:gate]
    assert kinds[gate + 1] == "hung"


def test_without_a_limit_no_run_is_hung_that_is_heard() -> None:
    world = training(hung_timeout_seconds=0.0)
    kinds = [a.event.kind for a in world.performed if isinstance(a, act.SetDeadline)]
    assert "hung" not in kinds
    assert beat(world, 500.0) == ["heartbeat"]
    assert looked_at(world, "heartbeat", 500.0) == []


def test_beats_that_tell_of_no_work_leave_the_state_as_it_is() -> None:
    world = training()
    before = world.state
    beat(world, 0.1)
    beat(world, None)
    assert world.state is before


def facts_of_ends(world: World) -> list[facts.RunFinished]:
    return [fact for fact in world.facts if isinstance(fact, facts.RunFinished)]
