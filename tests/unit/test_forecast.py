"""What a round still takes lies between what is certain and what may come."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes.world import World, checked, failed, make_round, ok, play, task, whole_round
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.decide import facts
from scheduler.decide.forecast import Forecast, forecast_round, forecast_task, planned_runs
from scheduler.decide.state import RoundState, fold, fold_round
from scheduler.decide.task_state import TaskState
from scheduler.rounds.round import Budget, Stage, Task

SECONDS_ONLY = (Stage(name="quick", budget=Budget(max_steps=None, time_budget_sec=60.0)),)


def fresh(made: Task) -> TaskState:
    return TaskState(task=made)


def scores(values: dict[str, float], wall_seconds: float = 10.0) -> Any:
    """Outcomes by config; medium runs last four times as long as quick ones."""

    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        factor = 4 if intended.stage == "medium" else 1
        return ok(values[intended.config], wall_seconds=factor * wall_seconds)

    return outcome


def at_every_record(world: World) -> list[RoundState]:
    """The round's state after each fact, from its acceptance to its end."""
    told = list(world.facts)
    first = next(n for n, fact in enumerate(told, start=1) if isinstance(fact, facts.RoundAccepted))
    return [whole_round(told[:count]) for count in range(first, len(told) + 1)]


def test_a_fresh_task_runs_at_least_every_quick_run_and_at_most_every_run() -> None:
    forecast = forecast_task(fresh(task(variants=("a", "b", "c"), seeds=(0, 1))))
    assert (forecast.runs_done, forecast.runs_least, forecast.runs_most) == (0, 8, 16)


def test_the_expected_number_halves_with_each_undecided_promotion() -> None:
    forecast = forecast_task(fresh(task(variants=("a",))))
    # quick: baseline and variant; medium: both, if it is promoted
    assert forecast.runs_expected == 2 + 0.5 * 2


def test_the_worst_case_spends_every_time_budget() -> None:
    forecast = forecast_task(fresh(task(variants=("a", "b"))))
    assert forecast.seconds_worst == 3 * 60.0 + 3 * 240.0
    assert forecast.seconds_most == forecast.seconds_worst
    assert forecast.seconds_least == 3 * 30.0


def test_a_task_without_variants_runs_its_baseline_at_every_stage() -> None:
    alone = fresh(task(variants=(), seeds=(0, 1)))
    forecast = forecast_task(alone)
    assert (forecast.runs_least, forecast.runs_expected, forecast.runs_most) == (4, 4.0, 4)
    assert {(run.config, run.is_conditional) for run in planned_runs(alone)} == {("baseline", False)}


def test_runs_are_planned_depth_first_with_each_baseline_once() -> None:
    planned = planned_runs(fresh(task(variants=("a", "b"))))
    assert [(run.stage, run.config, run.is_conditional) for run in planned] == [
        ("quick", "baseline", False),
        ("quick", "a", False),
        ("medium", "baseline", True),
        ("medium", "a", True),
        ("quick", "b", False),
        ("medium", "b", True),
    ]


def test_the_planned_order_is_the_order_in_which_runs_are_made() -> None:
    made = task(variants=("a", "b", "c"), seeds=(0, 7))
    world = play(scores({"baseline": 0.5, "a": 0.6, "b": 0.7, "c": 0.8}), make_round(made))
    intended = [fact for fact in world.facts if isinstance(fact, facts.RunIntended)]
    assert [(run.stage, run.config, run.seed) for run in intended] == [
        (run.stage, run.config, run.seed) for run in planned_runs(fresh(made))
    ]


def test_durations_come_from_finished_runs_and_steps_carry_them_to_other_stages() -> None:
    world = play(scores({"baseline": 0.5, "good": 0.6, "bad": 0.4}), make_round())
    after_quick_baseline = next(s for s in at_every_record(world) if forecast_round(s).runs_done == 1)
    forecast = forecast_round(after_quick_baseline)
    # two quick variants as measured
    assert forecast.seconds_least == 2 * 10.0
    # medium has four times the steps: 40 s each, though nothing of it has run; half as much again at most
    assert forecast.seconds_expected == pytest.approx(2 * 10.0 + 40.0 * (0.5 + 0.5 + 0.75))
    assert forecast.seconds_most == 2 * 10.0 + 3 * 1.5 * 40.0


def test_a_cached_run_says_nothing_about_durations() -> None:
    world = play(scores({"baseline": 0.5, "good": 0.6, "bad": 0.4}), make_round())
    told = list(world.facts)
    number, end = next((n, fact) for n, fact in enumerate(told) if isinstance(fact, facts.RunFinished))
    cached = replace(end, cached_from="elsewhere/run", wall_seconds=0.0)
    assert forecast_round(whole_round([*told[:number], cached])).seconds_least == 2 * 30.0


def test_seconds_follow_from_the_probe_where_nothing_has_run() -> None:
    probed = facts.TaskProbed(round="night", task="sums", bsz=None, reason="", seconds_per_step=0.5)
    made = replace(fresh(task(variants=("a",))), probed=probed)
    assert forecast_task(made).seconds_least == 2 * 10 * 0.5


def test_calibrated_steps_change_no_number_of_runs() -> None:
    forecast = forecast_task(fresh(task(variants=("a",), stages=SECONDS_ONLY)))
    assert (forecast.runs_least, forecast.runs_most, forecast.seconds_worst) == (2, 2, 120.0)


def test_a_pruned_variant_and_a_finished_task_take_nothing_more() -> None:
    world = play(scores({"baseline": 0.5, "good": 0.6, "bad": 0.4}), make_round())
    done = forecast_round(world.round())
    assert done == Forecast(runs_done=5)


def test_a_parked_task_takes_nothing_until_it_is_retried() -> None:
    world = play(lambda _: failed("data", "Only built 374 examples (wanted 900)"), make_round())
    assert forecast_round(world.round()).runs_most == 0
    world.outcome = scores({"baseline": 0.5, "good": 0.6, "bad": 0.4})
    retried = fold_round(world.round(), facts.TaskRetried(round="night", task="sums"))
    assert forecast_round(retried).runs_least == 3


def test_a_cancelled_round_takes_nothing_more() -> None:
    world = World(scores({}))
    world.start()
    world.state = replace(world.state, paused="by hand")
    world.give(checked(make_round()))
    cancelled = fold(world.state, facts.RoundCancelled(round="night", reason="wrong data"))
    assert forecast_round(cancelled.rounds["night"]) == Forecast()


def test_a_run_that_is_tried_again_has_not_ended() -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        if intended.attempt == 1:
            return failed("killed", "the worker was killed by signal 9")
        return ok({"baseline": 0.5, "good": 0.6, "bad": 0.4}[intended.config])

    world = play(outcome, make_round())
    done = [
        forecast_round(state).runs_done
        for state, fact in zip(at_every_record(world), world.facts[1:], strict=True)
        if isinstance(fact, facts.RunStarted) and fact.attempt == 2
    ]
    assert done == [0, 1, 2, 3, 4]


def test_runs_of_another_batch_size_are_still_to_do() -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        if intended.stage == "medium" and intended.bsz == 64:
            return failed("oom", "CUDA out of memory")
        return ok({"baseline": 0.5, "good": 0.6}[intended.config])

    world = play(outcome, make_round(task(variants=("good",), bsz=(64, 32))))
    rebatched = next(
        state
        for state, fact in zip(at_every_record(world), world.facts[1:], strict=True)
        if isinstance(fact, facts.TaskRebatched)
    )
    assert forecast_round(rebatched).runs_done == 0
    assert forecast_round(rebatched).runs_least == 2


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.sampled_from([0.4, 0.5, 0.6]), min_size=1, max_size=4),
    seeds=st.integers(min_value=1, max_value=3),
)
def test_what_happens_lies_within_every_forecast_made_on_the_way(values: list[float], seeds: int) -> None:
    names = [f"v{index}" for index in range(len(values))]
    outcome = scores({"baseline": 0.5, **dict(zip(names, values, strict=True))})
    world = play(outcome, make_round(task(variants=names, seeds=tuple(range(seeds)))))
    in_the_end = forecast_round(world.round()).runs_done
    before: Forecast | None = None
    for state in at_every_record(world):
        forecast = forecast_round(state)
        least, most = forecast.runs_done + forecast.runs_least, forecast.runs_done + forecast.runs_most
        assert least <= in_the_end <= most
        assert forecast.runs_least <= forecast.runs_expected <= forecast.runs_most
        assert forecast.seconds_least <= forecast.seconds_expected <= forecast.seconds_most
        assert forecast.seconds_most <= forecast.seconds_worst or forecast.runs_most == 0
        if before is not None:
            assert most <= before.runs_done + before.runs_most
            assert least >= before.runs_done + before.runs_least
        before = forecast
