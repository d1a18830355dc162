"""A run that shared its GPU is marked and made once more; nothing is learnt from it, and nobody gets it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes.world import GPU, World, checked, failed, make_round, ok, play, task

from scheduler.decide import actions as act
from scheduler.decide import facts, inputs
from scheduler.decide.failures import Limits
from scheduler.decide.state import State, fold
from scheduler.decide.step import why_nothing_runs
from scheduler.report.lines import line_for, warning_lines
from scheduler.report.summary import summary_markdown, summary_text
from scheduler.rounds.round import PolicyChoice

SCORES = {"baseline": 0.5, "good": 0.6, "bad": 0.4}
SHARED = {
    "seconds": 12.0,
    "share": 0.4,
    "by": [{"pid": 4123, "name": "python", "seconds": 12.0, "memory_mib": 2310.0}],
}
STRANGER_AT_GOOD = {("quick", "good", 1)}


def outcome(shared: set[tuple[str, str, int]], result: Any = None) -> Any:
    """Runs that went well; those named (stage, config, attempt) shared their device."""

    def ends(intended: facts.RunIntended) -> dict[str, Any]:
        made = result or ok(SCORES.get(intended.config, 0.5), wall_seconds=100.0 * intended.attempt)
        is_shared = (intended.stage, intended.config, intended.attempt) in shared
        return {**made, "contaminated": SHARED} if is_shared else made

    return ends


def played(shared: set[tuple[str, str, int]], **options: Any) -> World:
    return play(outcome(shared), make_round(), device=GPU, **options)


def ends_of(world: World, config: str, stage: str = "quick") -> list[facts.RunFinished]:
    ends = [fact for fact in world.facts if isinstance(fact, facts.RunFinished)]
    return [end for end in ends if (end.config, end.stage) == (config, stage)]


def log_of(world: World) -> list[str]:
    state, lines = State(), []
    for fact in world.facts:
        line = line_for(fact, state)
        lines += [*([] if line is None else [line]), *warning_lines(fact)]
        state = fold(state, fact)
    return lines


@pytest.mark.fault(
    "another process computes on the GPU",
    moment="while a run trains",
    outcome="the run is marked contaminated and made once more; the second one counts",
)
def test_a_run_that_shared_its_device_is_made_once_more() -> None:
    world = played(STRANGER_AT_GOOD)
    assert [(end.attempt, end.contaminated) for end in ends_of(world, "good")] == [(1, SHARED), (2, None)]
    promoted = next(f for f in world.facts if isinstance(f, facts.VariantPromoted))
    places = [type(f) for f in world.facts if f in (promoted, ends_of(world, "good")[1])]
    assert places == [facts.RunFinished, facts.VariantPromoted]


def test_the_second_one_is_kept_whatever_happens() -> None:
    world = played({("quick", "good", 1), ("quick", "good", 2)})
    assert [end.contaminated for end in ends_of(world, "good")] == [SHARED, SHARED]
    assert world.round().finished is not None


def test_whoever_turns_the_repeat_off_keeps_the_first() -> None:
    world = played(STRANGER_AT_GOOD, limits=Limits(repeat_contaminated=False))
    assert [end.contaminated for end in ends_of(world, "good")] == [SHARED]


def test_a_baseline_that_shared_its_device_is_made_once_more_and_only_then_kept() -> None:
    world = played({("quick", "baseline", 1)})
    kept = [fact.run.attempt for fact in world.facts if isinstance(fact, facts.BaselineKept)]
    assert [end.attempt for end in ends_of(world, "baseline")] == [1, 2]
    assert kept == [2, 1]  # of quick the second, of medium the first


def test_a_baseline_that_never_had_its_device_to_itself_is_not_kept_for_later_rounds() -> None:
    world = played({("quick", "baseline", 1), ("quick", "baseline", 2)})
    kept = [fact.run.stage for fact in world.facts if isinstance(fact, facts.BaselineKept)]
    assert kept == ["medium"]


@pytest.mark.fault(
    "another process takes the GPU's memory",
    moment="while a run trains",
    outcome="the run is made once more at the same batch size, before any lower one is tried",
)
def test_memory_that_a_stranger_took_lowers_no_batch_size() -> None:
    def ends(intended: facts.RunIntended) -> dict[str, Any]:
        if (intended.config, intended.attempt) == ("good", 1) and intended.stage == "quick":
            return {**failed("oom"), "contaminated": SHARED}
        if intended.stage == "probe":
            return {"status": "ok", "bsz": 64, "extra": {}}
        return ok(SCORES[intended.config])

    world = play(ends, make_round(task(bsz=(64, 32))), device=GPU)
    assert not [fact for fact in world.facts if isinstance(fact, facts.TaskRebatched)]
    assert [end.status for end in ends_of(world, "good")] == ["failed", "ok"]


def test_a_probe_beside_a_stranger_is_made_once_more() -> None:
    def ends(intended: facts.RunIntended) -> dict[str, Any]:
        if intended.stage == "probe":
            found = {"status": "ok", "bsz": 16 if intended.attempt == 1 else 64, "extra": {}}
            return {**found, "contaminated": SHARED} if intended.attempt == 1 else found
        return ok(SCORES[intended.config])

    world = play(ends, make_round(task(bsz=(64, 32, 16))), device=GPU)
    assert [fact.bsz for fact in world.facts if isinstance(fact, facts.TaskProbed)] == [64]


def test_a_run_that_was_cancelled_beside_a_stranger_does_not_use_up_the_repeat() -> None:
    told = {1: "cancelled", 2: "ok", 3: "ok"}

    def ends(intended: facts.RunIntended) -> dict[str, Any]:
        result = ok(SCORES[intended.config], status=told[intended.attempt])
        is_shared = intended.config == "good" and intended.stage == "quick" and intended.attempt < 3
        if not is_shared:
            return {**result, "status": "ok"}
        return {**result, "contaminated": SHARED}

    world = play(ends, make_round(), device=GPU)
    assert [end.status for end in ends_of(world, "good")] == ["cancelled", "ok", "ok"]


def test_no_later_round_gets_a_run_that_shared_its_device() -> None:
    twice = {("quick", "good", 1), ("quick", "good", 2)}
    world = play(outcome(twice), make_round(), make_round(id="again"), device=GPU)
    ends = {config: [e for e in ends_of(world, config) if e.round == "again"] for config in SCORES}
    assert [end.cached_from for end in ends["good"]] == [None, None]
    for config in ("baseline", "bad"):
        assert [end.cached_from is None for end in ends[config]] == [False]


def test_a_later_round_gets_the_repeat() -> None:
    world = play(outcome(STRANGER_AT_GOOD), make_round(), make_round(id="again"), device=GPU)
    [reused] = [end for end in ends_of(world, "good") if end.round == "again"]
    assert (reused.cached_from, reused.contaminated) == ("night/sums.quick.good.s0.a2", None)


def test_the_time_of_a_run_that_shared_its_device_is_no_measure() -> None:
    twice = {("quick", "good", 1), ("quick", "good", 2)}
    [clean] = [played(set()).round().tasks["sums"].paces["quick"]]
    assert clean.runs == 3
    assert played(twice).round().tasks["sums"].paces["quick"].runs == 2


@pytest.mark.parametrize("shared", [STRANGER_AT_GOOD, {("quick", "good", 1), ("quick", "good", 2)}])
def test_a_replay_knows_of_it_what_the_daemon_knew(shared: set[tuple[str, str, int]]) -> None:
    world = played(shared)
    known = world.round()
    world.start()
    assert world.round() == known


def test_people_are_told() -> None:
    world = played(STRANGER_AT_GOOD)
    log = log_of(world)
    [done] = [line for line in log if line.startswith("DONE") and "contaminated=" in line]
    assert "cfg=good seed=0 acc=60.00%" in done
    assert done.endswith("contaminated=40% round=night")
    beside = "contaminated: python (pid 4123) computed on cuda:0 beside it for 12.0 s, 40 % of its time"
    assert [line for line in log if line.startswith("WARN")] == [
        f"WARN task=sums stage=quick cfg=good seed=0 {beside} round=night"
    ]
    told = f"quick good seed 0, attempt 1: {beside}; it was run again, and this one does not count"
    assert told in " ".join(summary_text(world.round()).split())
    assert told.replace("_", "\\_") in summary_markdown(world.round())


def test_a_score_that_the_clock_cut_short_is_said_to_have_suffered() -> None:
    twice = {("quick", "good", 1), ("quick", "good", 2)}
    world = play(outcome(twice, ok(0.5, status="timed_out")), make_round(), device=GPU)
    assert "so that its score has suffered too" in " ".join(summary_text(world.round()).split())


def test_a_run_that_was_slowed_down_is_told_of_and_counts() -> None:
    slowed = {"share": 0.6, "by": {"heat (by the hardware)": 0.6}}
    world = play(lambda intended: ok(SCORES[intended.config], throttled=slowed), make_round(), device=GPU)
    assert [end.attempt for end in ends_of(world, "good")] == [1]
    told = "cuda:0 was slowed down for 60 % of its time: heat (by the hardware); its score is sound"
    assert told in " ".join(summary_text(world.round()).split())


def test_a_few_seconds_of_heat_are_not_worth_a_word() -> None:
    slowed = {"share": 0.04, "by": {"power brake": 0.04}}
    world = play(lambda intended: ok(SCORES[intended.config], throttled=slowed), make_round(), device=GPU)
    assert "slowed" not in summary_text(world.round())


def test_a_policy_that_repeats_seeds_waits_for_the_repeat() -> None:
    policy = PolicyChoice(name="threshold", options={"min_delta": 0.3})
    world = play(outcome(STRANGER_AT_GOOD), make_round(task(seeds=(0, 1), policy=policy)), device=GPU)
    assert [(end.seed, end.attempt) for end in ends_of(world, "good")][:2] == [(0, 1), (0, 2)]


def test_a_stranger_that_comes_while_a_run_prepares_is_waited_for_too() -> None:
    def ends(intended: facts.RunIntended) -> dict[str, Any]:
        return ok(SCORES[intended.config])

    world = World(ends, device=GPU)
    start, stranger = world._act, inputs.GateChanged(source="gpu", wait_reason="GPU busy: python (pid 7)")

    def act_beside_a_stranger(effect: Any) -> None:
        if isinstance(effect, act.StartWorker):
            world.inbox.append(stranger)
        start(effect)

    world._act = act_beside_a_stranger  # type: ignore[method-assign]
    world.start()
    world.give(checked(make_round()))
    assert not [fact for fact in world.facts if isinstance(fact, facts.RunStarted)]
    assert why_nothing_runs(world.state, world.limits) == stranger.wait_reason
    world.give(replace(stranger, wait_reason=None))
    started = [fact for fact in world.facts if isinstance(fact, facts.RunStarted)]
    assert started[0].config == "baseline"
