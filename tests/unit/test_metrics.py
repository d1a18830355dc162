"""Do the metrics say what the records say, in a text that a Prometheus reads, and never less than before?"""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
import pytest
from fakes.world import GPU, World, checked, failed, make_round, ok, play, task
from prometheus_client.parser import text_string_to_metric_families

from scheduler.decide import facts
from scheduler.decide.ended import EndedRound, ended_round
from scheduler.decide.metrics import EndedSums, Metric, Readings, exposition, metrics_of, usage_of
from scheduler.decide.state import State, fold
from scheduler.decide.usage import Usage

READINGS = Readings(
    now=1_700_000_000.25,
    is_up=True,
    version="0.1.0",
    started_at=1_699_999_000.0,
    wait_reason='the queue is "paused":\nby C:\\me',
    disk_free_bytes=5 * 2**30,
    disk_floor_bytes=2**30,
    gpu={
        "memory_used_mib": 512.0,
        "memory_total_mib": 24576.0,
        "utilisation_percent": 37.0,
        "temperature_celsius": None,
    },
    last_run_finished_at=1_699_999_999.5,
)


def outcome(intended: facts.RunIntended) -> dict[str, Any]:
    if intended.config == "bad":
        return failed("nan")
    result = ok(0.6 if intended.config == "good" else 0.5, wall_seconds=2.5)
    return {
        **result,
        "train_seconds": 1.5,
        "eval_seconds": 0.25,
        "startup_seconds": 3.0,
        "energy_joule": 40.5,
    }


def samples(
    state: State, readings: Readings = READINGS
) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels, as a Prometheus reads them."""
    text = exposition(metrics_of(state, EndedSums.of(state.ended), readings)).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def after(told: list[facts.Fact]) -> State:
    state = State()
    for fact in told:
        state = fold(state, fact)
    return state


@pytest.fixture(scope="module")
def world() -> World:
    return play(outcome, make_round(), device=GPU)


def test_runs_failures_and_seconds_are_those_of_the_records(world: World) -> None:
    ends = [fact for fact in world.facts if isinstance(fact, facts.RunFinished)]
    found = samples(world.state)
    good = sum(end.status == "ok" for end in ends)
    assert good > 0
    assert found["roundhouse_runs_total", (("status", "ok"),)] == good
    assert found["roundhouse_runs_total", (("status", "failed"),)] == len(ends) - good > 0
    assert found["roundhouse_run_failures_total", (("class", "nan"),)] == len(ends) - good
    assert found["roundhouse_run_failures_total", (("class", "oom"),)] == 0
    assert found["roundhouse_run_seconds_total", ()] == 2.5 * good
    assert found["roundhouse_run_train_seconds_total", ()] == 1.5 * good
    assert found["roundhouse_run_energy_joules_total", ()] == 40.5 * good
    assert found["roundhouse_rounds", (("state", "finished"),)] == 1
    assert found["roundhouse_rounds", (("state", "open"),)] == 0


def test_the_machine_and_the_queue_are_told_in_base_units() -> None:
    found = samples(State(paused="by request"))
    assert found["roundhouse_up", ()] == 1
    assert found["roundhouse_queue_paused", ()] == 1
    assert found["roundhouse_disk_free_bytes", ()] == 5 * 2**30
    assert found["roundhouse_gpu_memory_used_bytes", ()] == 512 * 2**20
    assert found["roundhouse_gpu_utilisation_ratio", ()] == 0.37
    assert ("roundhouse_gpu_temperature_celsius", ()) not in found
    assert found["roundhouse_last_run_finished_timestamp_seconds", ()] == 1_699_999_999.5
    assert found["roundhouse_written_timestamp_seconds", ()] == 1_700_000_000.25


@pytest.mark.parametrize("reason", ['say "no"', "back\\slash", "two\nlines", "trailing\\", 'all\\"\n', "ünï"])
def test_a_label_survives_whatever_is_in_it(reason: str) -> None:
    found = samples(State(), dataclasses.replace(READINGS, wait_reason=reason))
    assert found["roundhouse_queue_waiting_info", (("reason", reason),)] == 1


def test_every_name_has_a_help_and_a_type_once_and_a_unit_where_it_needs_one(world: World) -> None:
    text = exposition(metrics_of(world.state, EndedSums.of(world.state.ended), READINGS)).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    named = [line.split()[2] for line in text.splitlines() if line.startswith("# HELP")]
    assert len(named) == len(set(named)) == text.count("# TYPE") == len(families)
    for family in families.values():
        assert family.documentation
        assert family.name.startswith("roundhouse_")
    counters = [name for name in named if name.endswith("_total")]
    assert [line.split()[2] for line in text.splitlines() if line.endswith(" counter")] == counters
    assert text.endswith("\n")


def test_a_number_is_written_whole_where_it_is_whole() -> None:
    values = ((1e9, "1000000000"), (0.1, "0.1"), (float("nan"), "nan"), (1e300, "1e+300"))
    for value, written in values:
        metric = Metric(name="roundhouse_x", kind="gauge", help="x", samples=(({}, value),))
        assert exposition((metric,)).decode().splitlines()[-1] == f"roundhouse_x {written}"


@pytest.mark.fault(
    "kill -9 of the daemon", moment="at any record", outcome="no counter of a monitor goes back"
)
def test_no_counter_ever_goes_back_over_the_whole_life_of_a_round(world: World) -> None:
    state, before = State(), {}
    for fact in world.facts:
        state = fold(state, fact)
        now = {key: value for key, value in samples(state).items() if key[0].endswith("_total")}
        assert all(now[key] >= value for key, value in before.items())
        before = now


def test_what_was_reused_costs_nothing_and_is_counted_apart(world: World) -> None:
    again = play(outcome, make_round(), make_round(id="again"))
    found = samples(again.state)
    once = samples(world.state)
    assert found["roundhouse_runs_reused_total", ()] > 0
    assert found["roundhouse_run_train_seconds_total", ()] == once["roundhouse_run_train_seconds_total", ()]


def test_an_ended_round_keeps_its_sums_in_its_file() -> None:
    world = play(outcome, make_round())
    ended = ended_round(world.round())
    assert ended == world.state.ended["night"]
    assert EndedRound.from_json(orjson.loads(orjson.dumps(ended.to_json()))) == ended
    assert ended.usage.train_seconds > 0


def test_sums_do_not_depend_on_the_order_in_which_they_are_made(world: World) -> None:
    ends = [fact for fact in world.facts if isinstance(fact, facts.RunFinished)]
    one_by_one = Usage.total(Usage.of((end,)) for end in reversed(ends))
    assert one_by_one == Usage.of(ends)
    assert orjson.dumps(dataclasses.asdict(one_by_one)) == orjson.dumps(dataclasses.asdict(Usage.of(ends)))
    odd = dataclasses.replace(ends[0], train_seconds=float("nan"), energy_joule=float("inf"))
    assert Usage.of((odd,)).train_nanoseconds == Usage.of((odd,)).energy_millijoules == 0
    assert usage_of(world.state, EndedSums.of(world.state.ended)) == Usage.of(ends)


def test_the_run_in_progress_and_a_dirty_device_are_told() -> None:
    world = World(outcome, device=GPU)
    world.start()
    world.give(checked(make_round(task("moody"))))
    running = [key for key in samples(world.state) if key[0] == "roundhouse_run_info"]
    assert len(running) <= 1
    dirty = after([*world.facts[:1], facts.GpuDirtied(device=GPU.id, reason="memory")])
    assert samples(dirty)["roundhouse_device_dirty", (("device", GPU.id),)] == 1
