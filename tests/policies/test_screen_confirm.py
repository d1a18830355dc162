"""A whole task under the default policy: what selects never judges, and every trap stays shut."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from fakes.search import Outcome, Search, after, scores, searched
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from policies import make_policy
from policies._assessment import Ledger
from policies._looks import SAFE_SHARE
from policies._variance import NoisePrior
from policies.evidence import BASELINE, Objective, Prune
from policies.screen_confirm import Policy
from policies.steps import Decide, Freeze, Judge, Look, Run

EFFECTS = {"great": 8.0, "good": 4.0, "none": 0.0, "zero": 0.0, "bad": -10.0}
NAT = Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01)
INFRASTRUCTURE = ("oom", "data", "network", "disk", "gpu", "killed", "lost", "hung")


def played(outcome: Outcome | None = None, policy: Policy | None = None, **more: Any) -> Search:
    return searched(policy or Policy(), outcome or scores(EFFECTS), EFFECTS, **more)


def changed(outcome: Outcome, when: Any, **fields: Any) -> Outcome:
    """The outcome with other fields in some runs."""

    def other(run: Run) -> Mapping[str, Any]:
        found = outcome(run)
        return {**found, **fields} if when(run) else found

    return other


def is_fresh(run: Run) -> bool:
    return run.stage == "medium" and run.slot > 0


def test_true_winners_win_and_the_rest_does_not() -> None:
    verdicts = {name: verdict.name for name, verdict in played().verdicts.items()}
    assert verdicts["great"] == verdicts["good"] == "WINNER"
    assert not {"WINNER", "SUGGESTIVE"} & {verdicts[name] for name in ("none", "zero", "bad")}


def test_no_fresh_seed_runs_before_the_confirm_set_is_frozen() -> None:
    steps = played().steps
    frozen = next(i for i, step in enumerate(steps) if isinstance(step, Freeze))
    runs = [(i, step) for i, step in enumerate(steps) if isinstance(step, Run)]
    assert all((i > frozen) == is_fresh(run) for i, run in runs)


def test_only_frozen_candidates_get_fresh_seeds() -> None:
    search = played()
    (freeze,) = search.of(Freeze)
    assert {run.config for run in search.of(Run) if is_fresh(run)} == {
        BASELINE,
        *freeze.confirm_set.candidates,
    }
    assert 1 <= len(freeze.confirm_set.candidates) <= 4


def test_confirm_runs_are_interleaved_seed_by_seed() -> None:
    search = played(scores({"great": 4.0, "good": 3.5}, seed=5), Policy(looks=2))
    looks = [0]
    for step in search.steps:
        if isinstance(step, Look):
            looks.append(0)
        elif isinstance(step, Run) and is_fresh(step):
            looks[-1] += 1
            assert step.slot == len(looks) or (step.config == BASELINE and step.slot == len(looks) + 1)
    (freeze,) = search.of(Freeze)
    assert looks[0] == len(freeze.confirm_set.candidates) + 2  # the baseline has one seed more


def test_a_weak_variant_is_pruned_before_the_next_one_runs() -> None:
    steps = played(policy=Policy(rule="threshold", min_delta=0.3)).steps
    pruned = next(i for i, step in enumerate(steps) if isinstance(step, Decide) and step.config == "bad")
    assert isinstance(steps[pruned].decision, Prune)  # type: ignore[union-attr]
    assert steps[pruned - 1] == Run(stage="quick", config="bad", slot=0)


def test_the_best_half_gets_medium_and_at_least_two() -> None:
    screens = {run.config for run in played(policy=Policy(weak_below=0.001)).of(Run) if run.stage == "medium"}
    assert {"great", "good"} <= screens
    assert len(screens - {BASELINE}) == 3


def test_a_verdict_tells_the_fresh_seeds_behind_it() -> None:
    verdict = played().verdicts["great"]
    assert verdict.variant_seeds is not None
    assert verdict.baseline_seeds == verdict.variant_seeds + 1
    assert verdict.raw_gain is not None
    assert verdict.shrunk_gain is not None
    assert verdict.interval is not None
    assert verdict.interval[0] < verdict.shrunk_gain < verdict.interval[1]


# The traps


def test_medium_against_the_quick_baseline_wins_nothing() -> None:
    """The baseline alone gains 30 pp from quick to medium; by hand that would be every variant's gain."""
    search = played(scores({}, growth=30.0))
    assert not [verdict for verdict in search.verdicts.values() if verdict.name == "WINNER"]
    assert all(abs(verdict.raw_gain or 0.0) < 5.0 for verdict in search.verdicts.values())


@given(shift=st.floats(-30, 30), side=st.sampled_from([BASELINE, "great"]))
@settings(max_examples=30, deadline=None)
def test_slot_0_of_either_side_changes_no_number_of_a_verdict(shift: float, side: str) -> None:
    search = played()
    lucky = changed(scores(EFFECTS), lambda run: False)

    def moved(run: Any) -> Any:
        is_hit = run.slot == 0 and run.config == side and run.value is not None
        return replace(run, value=run.value + shift / 100) if is_hit else run

    view = replace(
        search.view,
        baseline=tuple(map(moved, search.view.baseline)),
        variants={name: tuple(map(moved, runs)) for name, runs in search.view.variants.items()},
        verdicts={},
    )
    judged: dict[str, Any] = {}
    while (step := Policy().next(view)) is not None:
        # where the shift makes a candidate look futile, the search itself takes another way
        assume(isinstance(step, Judge))
        assert isinstance(step, Judge)
        judged[step.config] = step.verdict
        view = after(view, step, lucky)
    ours, theirs = judged["great"], search.verdicts["great"]
    assert (ours.raw_gain, ours.shrunk_gain, ours.adjusted_p) == (
        theirs.raw_gain,
        theirs.shrunk_gain,
        theirs.adjusted_p,
    )


@pytest.mark.parametrize("failure_class", INFRASTRUCTURE)
@pytest.mark.parametrize("stage", ["quick", "medium"])
def test_infrastructure_is_never_a_loser(failure_class: str, stage: str) -> None:
    gone = {"status": "failed", "value": None, "loss": None, "failure_class": failure_class}
    for slot in (0, 1):
        when = lambda run, slot=slot: (run.stage, run.config, run.slot) == (stage, "good", slot)  # noqa: E731
        verdict = played(changed(scores(EFFECTS), when, **gone)).verdicts["good"]
        assert verdict.name != "LOSER"
        if slot == 0 or stage == "medium":
            assert failure_class in verdict.reason


def test_a_candidate_whose_run_fails_holds_up_nobody() -> None:
    gone = {"status": "failed", "value": None, "loss": None, "failure_class": "killed"}
    hit = changed(scores(EFFECTS), lambda run: is_fresh(run) and run.config == "good", **gone)
    search = played(hit)
    assert search.verdicts["great"].name == "WINNER"
    assert search.verdicts["good"].name == "INCONCLUSIVE"


def test_a_no_op_is_neutral_without_an_interval_and_gets_no_second_run() -> None:
    def outcome(run: Run) -> Mapping[str, Any]:
        twin = replace(run, config=BASELINE) if run.config == "none" else run
        return {**scores(EFFECTS)(twin), "scores_digest": f"{twin.stage} {twin.config} {twin.slot}"}

    search = played(outcome)
    verdict = search.verdicts["none"]
    assert (verdict.name, verdict.interval, verdict.shrunk_gain) == ("NEUTRAL", None, None)
    assert [run.stage for run in search.of(Run) if run.config == "none"] == ["quick"]


def test_a_screening_gain_is_never_told_as_a_gain() -> None:
    search = played()
    (freeze,) = search.of(Freeze)
    screened_only = set(EFFECTS) - set(freeze.confirm_set.candidates)
    assert screened_only
    assert all(search.verdicts[name].raw_gain is None for name in screened_only)


def test_a_small_evaluation_set_makes_no_winner() -> None:
    small = played(changed(scores(EFFECTS), lambda run: True, n_eval=100))
    assert small.verdicts["great"].name == "SUGGESTIVE"
    assert "eval_limited" in small.verdicts["great"].reason


def test_examples_that_share_a_grid_count_as_one() -> None:
    clustered = played(changed(scores(EFFECTS), lambda run: True, n_eval=5000, n_clusters=48))
    assert "eval_limited: 48 examples" in clustered.verdicts["great"].reason


def test_a_metric_that_never_moves_judges_nobody() -> None:
    def outcome(run: Run) -> Mapping[str, Any]:
        return {**scores(EFFECTS)(run), "value": 0.96875}

    search = played(outcome)
    assert {verdict.name for verdict in search.verdicts.values()} == {"INCONCLUSIVE"}
    assert all("0.96875" in verdict.reason for verdict in search.verdicts.values())


def test_a_seed_that_changes_nothing_makes_no_winner() -> None:
    def outcome(run: Run) -> Mapping[str, Any]:
        same = replace(run, slot=min(run.slot, 1))
        return {**scores(EFFECTS)(same), "scores_digest": f"{same}"}

    assert played(outcome).verdicts["great"].name == "SUGGESTIVE"


def test_seeds_that_are_equal_before_the_first_step_are_warned_of() -> None:
    outcome = changed(scores(EFFECTS), lambda run: True, curve=((0, 0.25), (10, 0.5)))
    warnings = played(outcome).verdicts["great"].warnings
    assert any("order of the data" in warning for warning in warnings)
    assert played().verdicts["great"].warnings == ()


def test_a_loss_of_less_than_half_the_baselines_is_rejected() -> None:
    def outcome(run: Run) -> Mapping[str, Any]:
        value = 0.4 if run.config == "great" else 1.0 + 0.001 * run.slot + 0.002 * len(run.config)
        return {"value": value, "loss": value}

    verdict = played(outcome, objective=NAT).verdicts["great"]
    assert verdict.name == "INCONCLUSIVE"
    assert "leak" in verdict.reason


def test_a_run_that_the_clock_ended_makes_no_winner() -> None:
    def outcome(run: Run) -> Mapping[str, Any]:
        found = scores(EFFECTS)(run)
        is_slow = run.config == "great" and run.stage == "medium"
        return {**found, "curve": ((10, found["value"]),), "status": "timed_out" if is_slow else "ok"}

    verdict = played(outcome).verdicts["great"]
    assert verdict.name == "SUGGESTIVE"
    assert "clock" in verdict.reason


def test_a_candidate_that_the_clock_ended_before_any_common_evaluation_holds_up_nobody() -> None:
    def outcome(run: Run) -> Mapping[str, Any]:
        found = scores(EFFECTS)(run)
        is_slow = run.config == "good" and is_fresh(run)
        step = 7 if is_slow else 10
        return {**found, "curve": ((step, found["value"]),), "status": "timed_out" if is_slow else "ok"}

    search = played(outcome)
    assert search.verdicts["great"].name == "WINNER"
    assert search.verdicts["good"].name in ("SUGGESTIVE", "INCONCLUSIVE")
    assert sum(is_fresh(run) for run in search.of(Run) if run.config == "good") == 1


def test_looks_are_those_that_were_declared() -> None:
    for looks in (1, 2, 3):
        search = played(scores({"good": 2.0}, seed=1), Policy(looks=looks))
        assert [freeze.confirm_set.looks for freeze in search.of(Freeze)] == [looks]
        assert len(search.of(Look)) <= looks
        assert max(run.slot for run in search.of(Run)) <= looks + 1


def test_a_candidate_given_up_is_still_counted() -> None:
    """K is frozen: after one of two is given up, the other's p is still paid for twice."""
    for seed in range(40):
        search = played(scores({"good": 4.0}, seed=seed))
        given_up = [look for look in search.of(Look) if look.futile and not look.rejected]
        later = [look for look in search.of(Look) if given_up and look.look > given_up[0].look]
        if later and not any(look.rejected for look in search.of(Look) if look.look < later[0].look):
            reading = next(iter(later[0].candidates.values()))
            (freeze,) = search.of(Freeze)
            paid = reading.p * len(freeze.confirm_set.candidates) / 0.42
            assert reading.adjusted_p >= min(1.0, paid) * 0.999
            return
    raise AssertionError("no search gave a candidate up and went on")


# Other shapes of a task


def test_a_loss_in_its_own_unit_finds_its_winner() -> None:
    def outcome(run: Run) -> Mapping[str, Any]:
        value = 3.0 - scores(EFFECTS)(run)["value"]
        return {"value": value, "loss": value}

    verdict = played(outcome, objective=NAT).verdicts["great"]
    assert verdict.name == "WINNER"
    assert verdict.raw_gain == pytest.approx(0.08, abs=0.03)


def test_a_task_with_one_stage_screens_and_confirms_there() -> None:
    search = played(changed(scores(EFFECTS), lambda run: False), stages=("medium",))
    assert {run.stage for run in search.of(Run)} == {"medium"}
    assert search.verdicts["great"].name == "WINNER"


def test_a_task_without_variants_runs_every_listed_seed_at_every_stage() -> None:
    search = searched(Policy(), scores({}), (), listed_seeds=3)
    assert [(run.stage, run.slot) for run in search.of(Run)] == [
        (stage, slot) for stage in ("quick", "medium") for slot in range(3)
    ]
    assert Policy().lesson(search.view).medium.df > 0


def test_winners_alone_go_on_to_a_long_stage_with_their_own_baseline() -> None:
    search = played(stages=("quick", "medium", "long"))
    winners = [name for name, verdict in search.verdicts.items() if verdict.name == "WINNER"]
    assert {run.config for run in search.of(Run) if run.stage == "long"} == {BASELINE, *winners}
    last_verdict = max(i for i, step in enumerate(search.steps) if isinstance(step, Judge))
    assert all(run.stage != "long" for run in search.steps[:last_verdict] if isinstance(run, Run))


def test_nothing_but_no_effects_confirms_nobody() -> None:
    search = searched(Policy(), scores({}, sd=0.2), ("a", "b", "c"))
    assert search.of(Freeze)[0].confirm_set.candidates == ()
    assert not [run for run in search.of(Run) if is_fresh(run)]


@given(
    effects=st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-10, 10), min_size=1),
    sd=st.floats(0.1, 6.0),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_every_search_ends_with_one_verdict_for_each_variant(
    effects: dict[str, float], sd: float, seed: int
) -> None:
    search = searched(Policy(), scores(effects, sd=sd, seed=seed), effects)
    assert list(search.verdicts) == list(effects)
    assert len(search.of(Judge)) == len(effects)


@given(seed=st.integers(0, 300))
@settings(max_examples=30, deadline=None)
def test_what_is_forecast_holds_what_is_run(seed: int) -> None:
    policy = Policy()
    search = searched(policy, scores(EFFECTS, sd=3.0, seed=seed), EFFECTS)
    first = searched(policy, scores({}), ()).view
    view = replace(first, variants=dict.fromkeys(EFFECTS, ()))
    possible = list(policy.possible_runs(view))
    assert sum(run.chance == 1.0 for run in possible) <= len(search.of(Run)) <= len(possible)
    assert all(0.0 < run.chance <= 1.0 for run in possible)
    assert list(policy.possible_runs(search.view)) == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"looks": 0}, "looks: must be 1 to 5 (found 0)"),
        ({"looks": True}, "looks: must be 1 to 5 (found True)"),
        ({"calibrated_looks": 2}, "calibrated_looks: must be true or false (found 2)"),
        ({"alpha": 0.9}, "alpha: must lie between 0 and 0.5 (found 0.9)"),
        ({"profile": "lax"}, "profile: must be one of explore, default, strict (found 'lax')"),
        ({"rule": "luck"}, "rule: must be one of posterior, threshold (found 'luck')"),
        ({"weak_below": 1.5}, "weak_below: must lie between 0 and 1 (found 1.5)"),
        ({"min_delta": float("nan")}, "min_delta: must be a finite number (found nan)"),
    ],
)
def test_an_option_that_makes_no_sense_is_told(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError) as told:
        make_policy("screen_confirm", options)
    assert problem in str(told.value)


def test_looks_are_calibrated_only_where_a_ledger_has_told_the_noise() -> None:
    policy = Policy(calibrated_looks=True)
    told = Ledger(medium=NoisePrior(sd=1.0, df=8.0))
    (cold,) = played(policy=policy).of(Freeze)
    (fitted,) = played(policy=policy, ledger=told).of(Freeze)
    (safe,) = played(ledger=told).of(Freeze)
    assert cold.confirm_set.share is None is safe.confirm_set.share
    assert fitted.confirm_set.share > SAFE_SHARE[3]


@pytest.mark.parametrize(("profile", "alpha"), [("explore", 0.20), ("default", 0.10), ("strict", 0.05)])
def test_a_profile_names_a_level(profile: Any, alpha: float) -> None:
    (freeze,) = played(policy=Policy(profile=profile)).of(Freeze)
    assert freeze.confirm_set.alpha == alpha
    (named,) = played(policy=Policy(profile=profile, alpha=0.07)).of(Freeze)
    assert named.confirm_set.alpha == 0.07


def test_every_question_of_a_policy_is_documented() -> None:
    for name in ("next", "possible_runs", "lesson"):
        assert inspect.getdoc(getattr(Policy, name))
