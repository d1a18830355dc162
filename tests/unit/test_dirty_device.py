"""A device that processes hang on: nothing starts there, and it goes on once they are gone."""

from __future__ import annotations

import pytest
from fakes.world import CPU, GPU, Training, World, checked, make_round, ok

from scheduler.decide import inputs
from scheduler.decide.step import why_nothing_runs
from scheduler.rounds.identity import Device


def training(device: Device = GPU) -> Training:
    world = Training(lambda _: ok(0.5), device=device)
    world.start()
    world.give(checked(make_round()))
    return world


def hang(world: Training, *pids: int) -> str:
    """The run's processes cannot be killed; its attempt."""
    attempt = world.training
    world.give(inputs.WorkerEnded(attempt_id=attempt, returncode=-9, survivors=pids))
    return attempt


@pytest.mark.fault(
    "a process of a run hangs in the kernel and cannot be killed",
    moment="when the run is stopped on a GPU",
    outcome="the GPU is dirty and the queue waits, `status` names the process; specs are still taken, and the"
    " queue goes on once it is gone",
)
def test_nothing_starts_on_a_device_that_processes_hang_on_until_they_are_gone() -> None:
    world = training()
    hung = hang(world, 12, 34)
    assert world.training == hung
    why = str(why_nothing_runs(world.state, world.limits))
    assert "cuda:0 is dirty: processes 12, 34 of night/" in why
    assert "hang in the kernel" in why
    world.give(checked(make_round(id="later"), sha256="1" * 64))
    assert "later" in world.state.rounds
    world.give(inputs.SurvivorsEnded(pids=(12,)), inputs.GateChanged(source="gpu", wait_reason=None))
    assert world.training == hung
    world.give(inputs.SurvivorsEnded(pids=(34,)))
    assert world.state.dirty == {}
    assert world.training != hung


def test_a_device_that_still_shows_a_reason_to_wait_is_cleared_by_what_it_shows() -> None:
    world = training()
    hung = hang(world, 12)
    world.give(inputs.GateChanged(source="gpu", wait_reason="GPU memory: 900 MiB are in use"))
    world.give(inputs.SurvivorsEnded(pids=(12,)))
    assert list(world.state.dirty) == ["cuda:0"]
    world.give(inputs.GateChanged(source="gpu", wait_reason=None))
    assert world.state.dirty == {}
    assert world.training != hung


def test_on_the_cpu_the_next_run_does_not_wait() -> None:
    world = training(CPU)
    hung = hang(world, 12)
    assert world.state.dirty == {}
    assert world.training != hung
    world.give(inputs.SurvivorsEnded(pids=(12,)))


@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="while a process of a run hangs in the kernel",
    outcome="the next daemon names the process and starts nothing on the GPU until it is gone",
)
def test_leftovers_that_hang_keep_a_new_daemon_from_starting_anything() -> None:
    world = training()
    first = world.training
    world.inbox.clear()
    world.give = lambda *events: World.give(  # type: ignore[method-assign]
        world,
        *(
            inputs.Recovered(results=e.results, survivors=(12,)) if isinstance(e, inputs.Recovered) else e
            for e in events
        ),
    )
    world.start()
    assert world.training == first
    world.give(inputs.GateChanged(source="gpu", wait_reason=None))
    assert world.training == first
    assert "processes 12 of an earlier daemon hang" in str(why_nothing_runs(world.state, world.limits))
    world.give(inputs.SurvivorsEnded(pids=(12,)))
    assert world.training.endswith(".a2")
