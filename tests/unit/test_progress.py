"""The status says what runs, how far it is, and, when nothing runs, why."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fakes.world import CPU, GPU, World, checked, failed, make_round, ok, play, task

from scheduler.decide import facts, inputs
from scheduler.decide.failures import Limits
from scheduler.decide.progress import ENDED_ROUNDS_SHOWN, EVALUATIONS_SHOWN, status_of
from scheduler.decide.state import State, Worker, fold
from scheduler.decide.step import why_nothing_runs

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def good(intended: facts.RunIntended) -> dict[str, Any]:
    return ok({"baseline": 0.5, "good": 0.6, "bad": 0.4}[intended.config])


def status(state: State, wait_reason: str | None = None, gpu: dict[str, Any] | None = None) -> dict[str, Any]:
    """The status as a reader gets it: through JSON."""
    told = status_of(state, now=NOW, pid=4, wait_reason=wait_reason, gpu=gpu)
    restored: dict[str, Any] = json.loads(json.dumps(told))
    return restored


def while_running(stage: str, config: str, train_seconds: float | None = None) -> State:
    """The state of a daemon in the middle of the run of `config` at `stage`."""
    state = State()
    for fact in play(good, make_round(task(), task("more"))).facts:
        state = fold(state, fact)
        if isinstance(fact, facts.RunStarted) and (fact.stage, fact.config) == (stage, config):
            break
    heard = []
    if train_seconds is not None:
        heard = [
            inputs.RunEvaluated(
                attempt_id=fact.attempt_id,
                step=5,
                loss=1.5,
                acc=0.25,
                value=0.25,
                train_seconds=train_seconds,
            )
        ]
    worker = Worker(attempt_id=fact.attempt_id, device="cpu", evaluations=tuple(heard))
    return replace(state, live=replace(state.live, workers={worker.attempt_id: worker}))


def test_a_run_is_named_with_its_place_in_the_round() -> None:
    told = status(while_running("medium", "good", train_seconds=0.5))
    [run] = told["running"]
    assert (run["round"], run["task"], run["stage"], run["config"], run["seed"], run["attempt"]) == (
        "night",
        "sums",
        "medium",
        "good",
        0,
        1,
    )
    assert (run["step"], run["max_steps"], run["value"], run["phase"]) == (5, 40, 0.25, "training")
    [current] = told["rounds"]
    assert current["state"] == "running"
    assert current["task"] == {"name": "sums", "number": 1, "of": 2}
    # done: both quick runs and the medium baseline; least: this run, the other variant, the other task
    assert (current["runs_done"], current["runs_least"], current["runs_most"]) == (3, 8, 12)


def test_a_worker_that_has_not_started_is_preparing() -> None:
    state = while_running("medium", "good")
    intended_only = State()
    for fact in play(good, make_round()).facts:
        intended_only = fold(intended_only, fact)
        if isinstance(fact, facts.RunIntended):
            break
    worker = Worker(attempt_id=fact.attempt_id, device="cpu")
    intended_only = replace(
        intended_only, live=replace(intended_only.live, workers={worker.attempt_id: worker})
    )
    assert status(intended_only)["running"][0]["phase"] == "preparing"
    assert status(state)["running"][0]["step"] is None


def test_time_left_shrinks_while_a_run_trains_and_never_below_zero() -> None:
    before = status(while_running("medium", "good"))["rounds"][0]["time_left_seconds"]
    later = status(while_running("medium", "good", train_seconds=1.4))["rounds"][0]["time_left_seconds"]
    at_last = status(while_running("medium", "good", train_seconds=1e9))["rounds"][0]["time_left_seconds"]
    assert before[0] > later[0] >= at_last[0] >= 0
    assert all(low <= high for low, high in (before, later, at_last))


def test_a_reason_is_given_only_while_nothing_runs() -> None:
    assert status(while_running("medium", "good"), wait_reason="running night/x")["why"] is None
    assert status(State(devices={"cpu": CPU}), wait_reason="the disk is full")["why"] == "the disk is full"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "the queue is empty"),
        ({"paused": "by hand"}, "paused: by hand"),
        ({"draining": "update"}, "draining: update"),
    ],
)
def test_nothing_runs_without_a_reason(changes: dict[str, Any], reason: str) -> None:
    assert status(State(devices={"cpu": CPU}, **changes))["why"] == reason


def test_what_was_seen_around_the_daemon_is_a_reason() -> None:
    state = State(devices={"cpu": CPU})
    state = replace(state, live=replace(state.live, waits={"gpu": "process 7 (python) uses the GPU"}))
    assert status(state)["why"] == "process 7 (python) uses the GPU"


def test_an_empty_queue_is_no_reason_while_the_disk_keeps_specs_out_of_it() -> None:
    state = State(devices={"cpu": CPU})
    state = replace(state, live=replace(state.live, waits={"disk": "disk: 0 MiB free"}))
    assert why_nothing_runs(state, Limits()) == "disk: 0 MiB free"


def test_a_parked_task_is_listed_with_its_remedy_also_when_its_round_has_ended() -> None:
    world = play(lambda _: failed("data", "Only built 374 examples (wanted 900)"), make_round())
    [current] = status(world.state)["rounds"]
    assert current["state"] == "parked"
    [parked] = current["parked"]
    assert parked["task"] == "sums"
    assert parked["reason"] == "Only built 374 examples (wanted 900)"
    assert "retry" in parked["remedy"]


def test_a_round_that_waits_names_the_rounds_it_waits_for() -> None:
    world = World(good)
    world.start()
    world.give(checked(make_round(id="second", after=("first",))))
    [current] = status(world.state)["rounds"]
    assert (current["state"], current["waits_for"]) == ("waiting", ["first"])


def test_rounds_are_listed_in_the_order_in_which_they_run() -> None:
    world = World(good)
    world.start()
    world.give(inputs.RequestMade(id="1", verb="pause", reason="by hand"))
    world.give(checked(make_round(id="late"), "1" * 64), checked(make_round(id="soon", priority=5), "2" * 64))
    assert [current["id"] for current in status(world.state)["rounds"]] == ["soon", "late"]


def test_only_the_last_ended_rounds_are_listed() -> None:
    rounds = [make_round(id=f"round-{number}") for number in range(ENDED_ROUNDS_SHOWN + 3)]
    world = World(good)
    world.start()
    for number, made in enumerate(rounds):
        world.give(checked(made, f"{number:064d}"))
    listed = [current["id"] for current in status(world.state)["rounds"]]
    assert listed == [made.id for made in rounds[-ENDED_ROUNDS_SHOWN:]]
    assert status(world.state)["rounds"][-1]["verdicts"] == {"INCONCLUSIVE": 1, "SUGGESTIVE": 1}


def test_the_reading_of_the_gpu_belongs_to_the_gpu() -> None:
    reading = {"memory_used_mib": 100}
    assert status(State(devices={"cuda:0": GPU}), gpu=reading)["devices"][0]["gpu"] == reading
    assert status(State(devices={"cpu": CPU}), gpu=reading)["devices"][0]["gpu"] is None


def test_the_last_evaluations_are_told_and_no_more() -> None:
    state = while_running("medium", "good", train_seconds=1.0)
    [(key, worker)] = state.live.workers.items()
    numbers = range(EVALUATIONS_SHOWN + 7)
    heard = tuple(replace(worker.evaluations[0], value=0.01 * n, loss=float(n)) for n in numbers)
    live = replace(state.live, workers={key: replace(worker, evaluations=heard)})
    [run] = status(replace(state, live=live))["running"]
    assert run["losses"] == [float(n) for n in numbers][-EVALUATIONS_SHOWN:]
    assert run["values"][-1] == run["value"]
    assert len(run["values"]) == EVALUATIONS_SHOWN


def test_a_number_that_json_cannot_hold_does_not_break_the_status() -> None:
    state = while_running("medium", "good", train_seconds=1.0)
    [(key, worker)] = state.live.workers.items()
    heard = replace(worker.evaluations[0], loss=float("nan"), value=float("nan"))
    live = replace(state.live, workers={key: replace(worker, evaluations=(heard,))})
    told = status_of(replace(state, live=live), now=NOW, pid=4, wait_reason=None, gpu=None)
    json.dumps(told, allow_nan=False)
    assert told["running"][0]["loss"] is None
    assert told["running"][0]["losses"] == [None]
