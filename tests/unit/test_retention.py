"""Does the plan of retention name what the rules say, the oldest first, and never what something needs?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes.world import World, checked, make_round, ok, play
from hypothesis import given
from hypothesis import strategies as st

from scheduler.decide import actions as act
from scheduler.decide import facts, inputs
from scheduler.decide.continuation import states_of_no_use
from scheduler.decide.retention import MOST_RUNS, Drop, RoundFolder, RunFolder, plan
from scheduler.rounds.retention_settings import KEPT_CHECKPOINTS, RetentionSettings

DAY = 86_400.0
NOW = 1000 * DAY
GIB = 2**30

WINNER = RunFolder(name="w", need="winner", evidence_bytes=10, other_bytes=100, state_bytes=1000)
REUSED = RunFolder(name="r", need="reuse", evidence_bytes=10, other_bytes=100, state_bytes=1000)
FAILED = RunFolder(name="f", evidence_bytes=10, other_bytes=100)


def ended(days_ago: float, *runs: RunFolder, name: str = "", **changed: Any) -> RoundFolder:
    at = NOW - days_ago * DAY
    made = RoundFolder(
        id=name or f"d{days_ago:g}", outcome="finished", ended_at=at, has_report=True, runs=runs
    )
    return replace(made, **changed)


def planned(*rounds: RoundFolder, other_bytes: int = 0, **rules: Any) -> dict[str, Drop]:
    return {
        drop.round: drop
        for drop in plan(rounds, RetentionSettings(**rules), now=NOW, other_bytes=other_bytes)
    }


def test_by_default_only_states_go_that_no_run_goes_on_from() -> None:
    assert planned(ended(900, WINNER, REUSED, FAILED)) == {
        "d900": Drop(
            round="d900",
            reason="no run goes on from these states any more",
            states=("w", "r"),
            bytes=2000,
        )
    }


@pytest.mark.parametrize(("kept", "states"), [("none", ("w", "r")), ("winners", ("r",)), ("all", ())])
def test_states_go_by_their_rule(kept: str, states: tuple[str, ...]) -> None:
    drops = planned(ended(1, WINNER, REUSED, FAILED), keep_checkpoints=kept)
    assert drops.get("d1", Drop(round="", reason="")).states == states


@pytest.mark.parametrize("kept", KEPT_CHECKPOINTS)
def test_what_a_failed_run_kept_stays_as_long_as_its_folder(kept: str) -> None:
    failed = replace(FAILED, state_bytes=1000, has_failed=True)
    assert planned(ended(900, failed), keep_checkpoints=kept) == {}


def test_nothing_of_a_round_goes_before_its_page_is_there() -> None:
    assert planned(ended(900, WINNER, REUSED, has_report=False), keep_run_folders_days=1) == {}


def test_the_runs_of_an_old_round_go_but_what_is_needed_stays() -> None:
    drops = planned(ended(31, WINNER, REUSED, FAILED), ended(29, FAILED), keep_run_folders_days=30)
    assert drops == {
        "d31": Drop(
            round="d31",
            reason="older than 30 days",
            states=("w", "r"),
            reduced=("w", "r"),
            removed=("f",),
            bytes=2000 + 200 + 110,
        )
    }


def test_a_state_that_is_to_be_kept_keeps_its_folder() -> None:
    kept = replace(FAILED, state_bytes=50)
    drops = planned(ended(31, kept), keep_run_folders_days=30, keep_checkpoints="all")
    assert drops["d31"].reduced == ("f",)
    assert drops["d31"].states == drops["d31"].removed == ()


def test_only_the_last_rounds_keep_their_runs() -> None:
    rounds = [ended(days, FAILED) for days in (5, 1, 9, 3)]
    drops = planned(*rounds, keep_rounds=2)
    assert list(drops) == ["d9", "d5"]
    assert drops["d9"].reason == "beyond the last 2 rounds"


def test_the_oldest_rounds_make_room_until_all_fits() -> None:
    big = RunFolder(name="b", other_bytes=GIB)
    rounds = [ended(days, big) for days in (1, 2, 3, 4)]
    assert list(planned(*rounds, max_results_gib=2.5)) == ["d4", "d3"]
    assert list(planned(*rounds, other_bytes=GIB, max_results_gib=2.5)) == ["d4", "d3", "d2"]
    assert planned(*rounds, max_results_gib=4) == {}
    assert planned(*rounds, max_results_gib=2.5)["d3"].reason == "over 2.5 GiB in all"


def test_what_other_rules_free_counts_as_room() -> None:
    big = RunFolder(name="b", other_bytes=GIB)
    rounds = [ended(days, big) for days in (1, 2, 31)]
    drops = planned(*rounds, max_results_gib=2, keep_run_folders_days=30)
    assert list(drops) == ["d31"]


@pytest.mark.fault(
    "the daemon is killed before a report is made", moment="a round has ended", outcome="no run folder goes"
)
@pytest.mark.parametrize("changed", [{"has_report": False}, {"outcome": "parked"}])
def test_nothing_goes_of_a_round_without_its_report_or_that_waits_for_a_person(changed: Any) -> None:
    everything = {"keep_run_folders_days": 1, "keep_rounds": 1, "max_results_gib": 1e-9}
    assert planned(ended(99, WINNER, FAILED, **changed), ended(98, name="young"), **everything) == {}


def test_a_plan_is_bounded_and_the_rest_comes_with_the_next_one() -> None:
    many = tuple(replace(FAILED, name=f"f{number}") for number in range(MOST_RUNS - 10))
    drops = planned(ended(9, *many), ended(8, *many), ended(7, FAILED), keep_run_folders_days=1)
    assert list(drops) == ["d9"]


RUNS = st.builds(
    RunFolder,
    name=st.uuids().map(str),
    need=st.sampled_from(["nothing", "reuse", "winner"]),
    state_bytes=st.integers(0, 100),
    evidence_bytes=st.integers(0, 100),
    other_bytes=st.integers(0, 100),
)
ROUNDS = st.builds(
    RoundFolder,
    id=st.uuids().map(str),
    outcome=st.sampled_from(["finished", "parked", "cancelled"]),
    ended_at=st.floats(0, NOW),
    has_report=st.booleans(),
    runs=st.lists(RUNS, max_size=4).map(tuple),
)
RULES = st.builds(
    RetentionSettings,
    keep_checkpoints=st.sampled_from(KEPT_CHECKPOINTS),
    keep_run_folders_days=st.sampled_from([0, 1, 500]),
    keep_rounds=st.integers(0, 3),
    max_results_gib=st.sampled_from([0, 1e-9, 2e-7]),
)


@given(rounds=st.lists(ROUNDS, max_size=6), rules=RULES)
def test_whatever_the_rules_what_is_needed_stays(rounds: list[RoundFolder], rules: RetentionSettings) -> None:
    known = {each.id: each for each in rounds}
    for drop in plan(rounds, rules, now=NOW):
        of_round = known[drop.round]
        assert of_round.may_go
        needs = {run.name: run.need for run in of_round.runs}
        assert all(needs[name] == "nothing" for name in drop.removed)
        if rules.keep_checkpoints == "all":
            assert drop.states == ()
        assert not set(drop.removed) & {*drop.states, *drop.reduced}
        assert drop.bytes <= of_round.total_bytes
        gone = {*drop.states, *drop.reduced, *drop.removed}
        again = replace(of_round, runs=tuple(run for run in of_round.runs if run.name not in gone))
        left = [each if each.id != drop.round else again for each in rounds]
        assert all(each.bytes >= 0 for each in plan(left, rules, now=NOW))


class TestDecision:
    """What becomes of a plan."""

    def world(self) -> World:
        return play(lambda intended: ok(0.5), make_round())

    def test_a_plan_is_recorded_before_anything_goes(self) -> None:
        world = self.world()
        drop = Drop(round="night", reason="older than 30 days", removed=("x",), bytes=5)
        world.start()
        world.give(inputs.TidyPlanned(drops=(drop, replace(drop, round="gone"))))
        (recorded,) = [fact for fact in world.facts if isinstance(fact, facts.RunFilesDropped)]
        assert recorded == facts.RunFilesDropped(
            round="night", reason="older than 30 days", removed=("x",), bytes=5
        )
        assert world.performed[-1] == act.DropRunFiles(dropped=recorded)

    @pytest.mark.fault("a round is retried", moment="while old runs are cleared", outcome="its files stay")
    def test_a_round_that_goes_on_again_loses_nothing(self) -> None:
        world = World(lambda intended: ok(0.5))
        world.start()
        world.give(checked(make_round()))
        world.performed.clear()
        state = replace(world.state, ended={})
        world.state = state
        world.give(inputs.TidyPlanned(drops=(Drop(round="night", reason="", removed=("x",)),)))
        assert world.performed == []

    def test_the_end_of_a_round_and_a_request_ask_for_a_plan(self) -> None:
        world = self.world()
        assert act.PlanTidy() in world.performed
        world.start()
        world.give(inputs.RequestMade(id="1", verb="tidy"))
        assert act.PlanTidy(is_hurried=True) in world.performed
        world.give(inputs.TidyDue())
        assert world.performed[-1] == act.PlanTidy()


@pytest.mark.parametrize(("kept", "goes"), [("none", True), ("winners", True), ("all", False)])
def test_states_of_a_finished_task_are_kept_where_somebody_wants_them(kept: Any, goes: bool) -> None:
    world = play(
        lambda intended: ok(0.5, kept={"step": 10, "bytes": 5} if intended.stage == "quick" else None),
        make_round(),
    )
    task = world.round().tasks["sums"]
    dropped = states_of_no_use(task, facts.TaskFinished(round="night", task="sums"), kept)
    assert bool(dropped) is goes
    won = facts.VerdictReached(round="night", task="sums", config="bad", verdict="WINNER", reason="")
    with_winner = replace(task, verdicts=task.verdicts.after("bad", won))
    spared = states_of_no_use(with_winner, facts.TaskFinished(round="night", task="sums"), kept)
    assert any(".bad." in name for name in dropped) is goes
    assert any(".bad." in name for name in spared) is (kept == "none")
