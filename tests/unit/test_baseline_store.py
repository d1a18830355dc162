"""A baseline that ran once serves later rounds, as long as nothing that could change it has changed."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from fakes.world import CPU, GPU, Crash, World, checked, failed, make_round, ok, play, task

from policies._assessment import Ledger
from policies.evidence import Objective
from scheduler.decide import facts
from scheduler.decide.baseline_store import expected_value
from scheduler.decide.failures import Limits
from scheduler.decide.state import State, fold
from scheduler.report.lines import line_for
from scheduler.rounds.round import Budget, PolicyChoice, Stage, Task, TrainerIdentity, Variant

SCORES = {"baseline": 0.50, "good": 0.58, "bad": 0.49}
CHECKING = Limits(baseline_check_every=2)
SCREENS = PolicyChoice(name="screen_confirm")


def scored(intended: facts.RunIntended) -> Mapping[str, Any]:
    acc = SCORES[intended.config] + (0.04 if intended.stage == "medium" else 0.0)
    return ok(acc + 0.001 * (intended.seed % 7), scores_digest="d", n_eval=5000, n_clusters=4800)


def drifting(after: int) -> Callable[[facts.RunIntended], Mapping[str, Any]]:
    """Baselines end a hundred points higher from the given run of one on."""
    seen: list[str] = []

    def outcome(intended: facts.RunIntended) -> Mapping[str, Any]:
        if intended.config != "baseline":
            return scored(intended)
        seen.append(intended.attempt_id)
        shift = 1.0 if len(seen) > after else 0.0
        result = scored(intended)
        return {**result, "value": result["value"] + shift, "acc": result["acc"] + shift}

    return outcome


def measuring(seeds: int = 4, **changes: Any) -> Task:
    """A task that only has a baseline, at one stage."""
    stages = (Stage(name="medium", budget=Budget(max_steps=40, time_budget_sec=240.0)),)
    return task(variants=(), seeds=tuple(range(seeds)), stages=stages, **changes)


def started(world: World, round_id: str) -> list[tuple[str, str, int]]:
    found = [fact for fact in world.facts if isinstance(fact, facts.RunIntended) and fact.round == round_id]
    return [(fact.stage, fact.config, fact.slot) for fact in found]


def reused(world: World, round_id: str) -> list[facts.RunFinished]:
    return [
        fact
        for fact in world.facts
        if isinstance(fact, facts.RunFinished) and fact.round == round_id and fact.cached_from is not None
    ]


def of_kind(world: World, kind: type[Any]) -> list[Any]:
    return [fact for fact in world.facts if isinstance(fact, kind)]


def two_nights(first: Task, second: Task, *, reuse_baselines: bool = True) -> World:
    """Variants are always run."""
    limits = Limits(reuse_baselines=reuse_baselines, reuse_results=False)
    return play(scored, make_round(first, id="one"), make_round(second, id="two"), limits=limits)


def test_the_second_round_with_the_same_task_does_not_run_its_baseline_again() -> None:
    world = two_nights(task(), task())
    assert ("quick", "baseline", 0) in started(world, "one")
    assert started(world, "two") == [("quick", "good", 0), ("medium", "good", 0), ("quick", "bad", 0)]
    first = {run.stage: run for run in of_kind(world, facts.RunFinished) if run.config == "baseline"}
    for run in reused(world, "two"):
        original = next(
            fact
            for fact in of_kind(world, facts.RunFinished)
            if (fact.round, fact.stage, fact.config) == ("one", run.stage, "baseline")
        )
        assert run.cached_from == f"one/{original.run_dir}"
        assert run.run_dir == f"../../one/runs/{original.run_dir}"
        assert (run.value, run.curve, run.scores_digest, run.n_clusters) == (
            original.value,
            original.curve,
            "d",
            4800,
        )
    assert {run.stage for run in reused(world, "two")} == set(first) == {"quick", "medium"}


def test_a_reused_baseline_leads_to_the_verdicts_of_one_that_ran() -> None:
    with_it = two_nights(task(policy=SCREENS), task(policy=SCREENS))
    without = two_nights(task(policy=SCREENS), task(policy=SCREENS), reuse_baselines=False)
    assert reused(with_it, "two")
    assert not reused(without, "two")

    def verdicts(world: World) -> list[tuple[str, str]]:
        return [(f.config, f.verdict) for f in of_kind(world, facts.VerdictReached) if f.round == "two"]

    assert verdicts(with_it) == verdicts(without)


def test_fresh_slots_of_the_baseline_coincide_over_rounds_and_keep_their_slot() -> None:
    world = two_nights(task(policy=SCREENS), task(policy=SCREENS))
    slots = [run.slot for run in reused(world, "two") if run.stage == "medium"]
    assert slots == [0, 1, 2, 3, 4][: len(slots)]
    assert len(slots) > 2
    assert not [run for run in started(world, "two") if run[1] == "baseline"]


OTHER_CONFIG = Variant(name="baseline", changes={"x": 1}, config={"x": "another baseline"})


@pytest.mark.parametrize(
    "changes",
    [
        {"identity": TrainerIdentity(source="other", data="d")},
        {"identity": TrainerIdentity(source="s", data="other")},
        {"args": {"argv": ["false"]}},
        {"baseline": OTHER_CONFIG},
        {"seeds": (7,)},
        {"bsz": (16,)},
        {"objective": Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.1)},
    ],
    ids=["code", "data", "arguments", "baseline", "seed", "batch size", "metric"],
)
def test_nothing_is_reused_where_anything_differs(changes: dict[str, Any]) -> None:
    assert reused(two_nights(task(), task(**changes)), "two") == []


def test_nothing_is_reused_on_another_device() -> None:
    world = World(scored, device=CPU)
    world.start()
    world.give(checked(make_round(task(), id="one")))
    world.device = GPU
    world.start()
    world.give(checked(make_round(task(), id="two")))
    assert reused(world, "two") == []
    world.give(checked(make_round(task(), id="three")))
    assert reused(world, "three")


def test_nothing_is_kept_while_nobody_knows_what_a_result_depends_on() -> None:
    unknown = TrainerIdentity(source="s", data="d", is_complete=False)
    world = two_nights(task(identity=unknown), task(identity=unknown))
    assert of_kind(world, facts.BaselineKept) == []
    assert reused(world, "two") == []


def test_only_a_baseline_that_ended_well_is_kept() -> None:
    def outcome(intended: facts.RunIntended) -> Mapping[str, Any]:
        is_first = intended.attempt == 1 and intended.stage == "quick"
        return failed("killed") if is_first else scored(intended)

    kept = of_kind(play(outcome, make_round()), facts.BaselineKept)
    assert [(fact.run.stage, fact.run.attempt, fact.run.status) for fact in kept] == [
        ("quick", 2, "ok"),
        ("medium", 1, "ok"),
    ]


def test_a_setting_turns_reuse_off() -> None:
    world = two_nights(task(), task(), reuse_baselines=False)
    assert started(world, "two") == started(world, "one")


def test_a_reused_run_is_a_cache_line_and_costs_no_worker() -> None:
    world = two_nights(task(), task())
    state, lines = State(), []
    for fact in world.facts:
        lines.append(line_for(fact, state))
        state = fold(state, fact)
    cached = [line for line in lines if line is not None and line.startswith("CACHE")]
    assert len(cached) == 2
    assert cached[0].startswith("CACHE task=sums stage=quick cfg=baseline seed=0 acc=50.00%")
    assert "from=one/sums.quick.baseline.s0.a1" in cached[0]


def test_scores_by_evaluation_are_asked_for_of_the_run_that_stored_them() -> None:
    plain = PolicyChoice(name="screen_confirm")
    paired = PolicyChoice(name="screen_confirm", options={"stops": ["optuna:WilcoxonPruner"]})
    assert not reused(two_nights(task(policy=plain), task(policy=paired)), "two")
    assert reused(two_nights(task(policy=paired), task(policy=plain)), "two")


def test_one_reuse_in_so_many_is_run_anew_and_compared() -> None:
    nights = [make_round(measuring(), id=name) for name in ("one", "two", "three")]
    world = play(scored, *nights, limits=CHECKING)
    assert [slot for _, _, slot in started(world, "two")] == [1, 3]
    assert [slot for _, _, slot in started(world, "three")] == [1, 3]
    agreed = of_kind(world, facts.BaselineAgreed)
    assert [fact.round for fact in agreed] == ["two", "two", "three", "three"]
    low, high = agreed[0].expected
    assert low < agreed[0].value < high
    assert agreed[0].stored_runs == 4


def test_a_drift_is_told_and_nothing_from_before_it_is_reused() -> None:
    nights = [make_round(measuring(), id=name) for name in ("one", "two", "three")]
    world = play(drifting(after=4), *nights, limits=CHECKING)
    (drift,) = of_kind(world, facts.BaselineDrifted)
    assert (drift.round, drift.seed, drift.stored_runs) == ("two", 1, 4)
    # slot 0 had been reused before the drift showed: it is run anew, too
    assert [slot for _, _, slot in started(world, "two")] == [1, 0, 2, 3]
    values = {seed: kept.run.value for seed, kept in stored_of(world).items()}
    assert all(value > 1.0 for value in values.values())
    assert {run.value > 1.0 for run in reused(world, "three")} == {True}


def test_a_drift_is_a_line_that_names_protocol_value_and_expectation() -> None:
    world = play(
        drifting(after=4),
        *(make_round(measuring(), id=name) for name in ("one", "two")),
        limits=CHECKING,
    )
    state = State()
    for fact in world.facts:
        line = line_for(fact, state)
        state = fold(state, fact)
        if isinstance(fact, facts.BaselineDrifted):
            assert line is not None
            assert line.startswith(f"DRIFT task=sums protocol={fact.protocol} seed=1 value=154.10% expected=")
            assert "4 stored runs" in line
            return
    raise AssertionError("there was no drift")


def test_the_verdict_after_a_drift_rests_on_runs_from_after_it() -> None:
    first, second = (make_round(task(policy=SCREENS), id=name) for name in ("one", "two"))
    world = play(drifting(after=4), first, second, limits=Limits(baseline_check_every=3))
    assert of_kind(world, facts.BaselineDrifted)
    (current,) = world.round("two").tasks.values()
    drifts = [f.protocol for f in of_kind(world, facts.BaselineDrifted)]
    for key, attempts in current.attempts.items():
        last = attempts[-1].finished
        assert last is not None
        # slot 0 has selected by then, and never judges
        if key.config == "baseline" and last.slot > 0 and last.protocol in drifts:
            assert last.value > 1.0


def stored_of(world: World) -> Mapping[int, facts.BaselineKept]:
    (family,) = world.state.baselines.families.values()
    return family


@pytest.mark.parametrize("outcome", [scored, drifting], ids=["steady", "drifting"])
def test_a_restart_knows_the_store_whichever_file_is_read_first(outcome: Any) -> None:
    made = outcome if outcome is scored else outcome(after=4)
    nights = [make_round(measuring(), id=name) for name in ("one", "two", "three")]
    world = play(made, *nights, limits=CHECKING)
    # the ledger is read before the rounds
    in_order = sorted(world.facts, key=lambda fact: not isinstance(fact, facts.LedgerFact))
    state = State()
    for fact in in_order:
        state = fold(state, fact)
    assert state.baselines == world.state.baselines


def changed_after_one(intended: facts.RunIntended) -> Mapping[str, Any]:
    """The machine has changed after the first round: every baseline ends ten points higher."""
    result = scored(intended)
    if intended.config != "baseline" or intended.round == "one":
        return result
    return {**result, "value": result["value"] + 0.1, "acc": result["acc"] + 0.1}


@pytest.mark.parametrize(
    ("outcome", "seen"),
    [(scored, facts.BaselineAgreed), (changed_after_one, facts.BaselineDrifted)],
    ids=["steady", "drifting"],
)
def test_a_crash_after_any_record_changes_neither_the_store_nor_what_is_reused(
    outcome: Any, seen: type[Any]
) -> None:
    nights = [checked(make_round(measuring(3), task(name="other"), id=name)) for name in ("one", "two")]

    def ends(world: World) -> Counter[Any]:
        runs = (f for f in of_kind(world, facts.RunFinished) if f.status == "ok")
        return Counter((f.round, f.task, f.stage, f.config, f.slot, f.cached_from is not None) for f in runs)

    def lived(crash_after: int | None) -> World:
        world = World(outcome, limits=CHECKING, crash_after=crash_after)
        try:
            world.start()
            world.give(*nights)
        except Crash:
            world.crash_after = None
            world.start()
            world.give(*nights)
        return world

    unbroken = lived(None)
    assert of_kind(unbroken, seen)
    assert reused(unbroken, "two")
    for crash_after in range(1, len(unbroken.lines) + 1):
        world = lived(crash_after)
        assert ends(world) == ends(unbroken), crash_after
        assert stored_values(world) == stored_values(unbroken)
        assert world.state.baselines.checks == unbroken.state.baselines.checks


def stored_values(world: World) -> dict[str, dict[int, float | None]]:
    return {
        family: {seed: kept.run.value for seed, kept in by_seed.items()}
        for family, by_seed in world.state.baselines.families.items()
    }


def test_a_round_that_was_deleted_and_submitted_again_is_kept_anew() -> None:
    world = play(scored, make_round(measuring(), id="one"))
    changed = measuring(identity=TrainerIdentity(source="new", data="d"))
    kept = [fact for fact in world.facts if isinstance(fact, facts.LedgerFact)]
    again = World(scored)
    again.start()
    for fact in kept:
        again.state = fold(again.state, fact)
    again.give(checked(make_round(changed, id="one")))
    assert len(of_kind(again, facts.BaselineKept)) == 4
    assert len(again.state.baselines.families) == 2


def test_a_reused_baseline_teaches_its_noise_once() -> None:
    world = two_nights(measuring(), measuring())
    lessons = of_kind(world, facts.LessonLearnt)
    assert [lesson.source for lesson in lessons] == ["one/sums"]
    values = [run.value * 100 for run in of_kind(world, facts.RunFinished)][:4]
    # nothing was selected: slot 0 is a run like any other
    assert lessons[0].lesson.medium.df == 3
    assert lessons[0].lesson.medium.ss == pytest.approx(3 * statistics.variance(values))
    assert lessons[0].lesson.quick.df == 0


@pytest.mark.parametrize(
    ("values", "seed", "expected"),
    [
        # t(2) = 4.303, sd 1 pp: +-4.303 * sqrt(4/3)
        ({0: 0.50, 1: 0.51, 2: 0.52}, 0, (0.4603, 0.5597)),
        # the cold start: t(4) = 2.776, sd 1.7 pp: +-2.776 * 1.7 * sqrt(2), around the run of that seed
        ({0: 0.50, 1: 0.60}, 0, (0.4333, 0.5667)),
        ({1: 0.60}, 0, None),
    ],
)
def test_a_baseline_is_expected_where_its_like_ended(
    values: dict[int, float], seed: int, expected: tuple[float, float] | None
) -> None:
    found = expected_value(values, seed, objective=Objective(), stage="medium", ledger=Ledger())
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-4))


def test_a_single_stored_run_in_an_unknown_unit_tells_nothing_of_a_drift() -> None:
    nats = Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01)
    assert expected_value({0: 2.5}, 0, objective=nats, stage="medium", ledger=Ledger()) is None


def test_bit_equal_stored_runs_expect_the_same_again() -> None:
    found = expected_value(
        dict.fromkeys(range(3), 0.96875), 0, objective=Objective(), stage="medium", ledger=Ledger()
    )
    assert found == (0.96875, 0.96875)


def noisy(intended: facts.RunIntended) -> Mapping[str, Any]:
    """A candidate that is open after its first look, and a baseline whose seeds differ."""
    acc = {"baseline": 0.50, "good": 0.53, "bad": 0.30}[intended.config]
    return ok(acc + 0.01 * (intended.seed % 5) / 4, n_eval=5000)


def first_look(measured_seeds: int | None) -> Mapping[str, Any]:
    """The first look at `good`, in a round of its own or after a measurement of so many seeds."""
    searched = task(policy=SCREENS)
    measured = replace(
        searched,
        variants=(),
        stages=searched.stages[1:],
        policy=PolicyChoice(name="repeat", options={"seeds": measured_seeds or 1}),
    )
    rounds = [make_round(measured, id="noise")] if measured_seeds else []
    world = play(noisy, *rounds, make_round(searched, id="search"))
    reading: Mapping[str, Any] = of_kind(world, facts.LookTaken)[0].readings["good"]
    return reading


def test_stored_runs_that_a_look_does_not_read_still_tell_its_noise() -> None:
    alone, measured = first_look(None), first_look(8)
    # the look reads slots 1 and 2 of the baseline; five more fresh ones are stored, and slot 0 stays out
    assert alone["df"] == 4 + 1
    assert measured["df"] == 4 + 6
    assert measured["delta"] == pytest.approx(alone["delta"])
    assert measured["baseline_seeds"] == alone["baseline_seeds"] == 2


def test_slot_0_of_a_stored_baseline_tells_nothing_of_a_verdicts_noise() -> None:
    assert first_look(1)["df"] == first_look(None)["df"]


def test_what_was_stored_before_a_drift_tells_no_noise_after_it() -> None:
    searched = task(policy=SCREENS)
    measured = replace(
        searched,
        variants=(),
        stages=searched.stages[1:],
        policy=PolicyChoice(name="repeat", options={"seeds": 8}),
    )
    world = play(
        drifting(after=9), make_round(measured, id="one"), make_round(searched, id="two"), limits=CHECKING
    )
    assert of_kind(world, facts.BaselineDrifted)
    looks = [fact for fact in of_kind(world, facts.LookTaken) if fact.round == "two"]
    assert [fact.readings["good"]["df"] for fact in looks[:1]] == [4 + 1]


def test_the_worker_of_a_reused_run_is_never_made() -> None:
    world = two_nights(measuring(), replace(measuring(), name="another"))
    assert len(reused(world, "two")) == 4
    assert started(world, "two") == []
