"""The rule of hand-run searches: prune at once below the threshold, promote otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from policies import make_policy, policy_names
from policies.evidence import Hold, Objective, Observation, Promote, Prune, TaskEvidence
from policies.threshold import Policy

Runs = dict[tuple[str, int], float]


def observed(runs: Runs, config: str = "v", **more: Any) -> tuple[Observation, ...]:
    return tuple(
        Observation(
            **{
                "stage": stage,
                "config": config,
                "seed": seed,
                "slot": seed,
                "status": "ok",
                "protocol": stage,
                "value": value,
                **more,
            }
        )
        for (stage, seed), value in runs.items()
    )


def evidence(variant: Runs, baseline: Runs, **more: Any) -> TaskEvidence:
    return TaskEvidence(
        objective=Objective(),
        stages=("quick", "medium"),
        variant=observed(variant, **more),
        baseline=observed(baseline, "baseline"),
    )


@pytest.mark.parametrize(
    ("value", "min_delta", "decision"),
    [
        (0.5029, 0.3, Prune(reason="< +0.30pp")),
        (0.5031, 0.3, Promote(reason=">= +0.30pp")),
        (0.49, -2.0, Promote(reason=">= -2.00pp")),
        (0.47, -2.0, Prune(reason="< -2.00pp")),
        (0.5, 0.0, Promote(reason=">= +0.00pp")),
    ],
)
def test_quick_is_judged_by_the_matched_delta(value: float, min_delta: float, decision: Any) -> None:
    policy = Policy(min_delta=min_delta)
    assert policy.after("quick", evidence({("quick", 0): value}, {("quick", 0): 0.5})) == decision


def test_the_mean_over_seeds_decides() -> None:
    found = evidence({("quick", 0): 0.6, ("quick", 1): 0.41}, {("quick", 0): 0.5, ("quick", 1): 0.5})
    assert isinstance(Policy(min_delta=0.3).after("quick", found), Promote)


def test_after_the_last_stage_nothing_more_is_spent_and_nothing_is_pruned() -> None:
    found = evidence({("medium", 0): 0.4}, {("medium", 0): 0.5})
    assert Policy(min_delta=0.3).after("medium", found) == Hold(reason="through its last stage")


def test_a_medium_run_is_never_compared_with_the_quick_baseline() -> None:
    found = evidence({("medium", 0): 0.9}, {("quick", 0): 0.5})
    assert isinstance(Policy().after("medium", found), Hold)
    assert Policy().verdict(found).name == "INCONCLUSIVE"


@pytest.mark.parametrize("failure_class", ["nan", "crash", "bad_args"])
def test_a_broken_variant_is_pruned_and_loses(failure_class: str) -> None:
    found = evidence(
        {("quick", 0): 0.0}, {("quick", 0): 0.5}, status="failed", value=None, failure_class=failure_class
    )
    assert Policy().after("quick", found) == Prune(reason=f"broken: {failure_class}")
    assert Policy().verdict(found).name == "LOSER"


@pytest.mark.parametrize("failure_class", ["lost", "killed", "oom", "network", "disk", "gpu", "data", "hung"])
def test_an_infrastructure_failure_is_never_a_verdict_on_the_variant(failure_class: str) -> None:
    found = evidence(
        {("quick", 0): 0.0}, {("quick", 0): 0.5}, status="failed", value=None, failure_class=failure_class
    )
    decision = Policy().after("quick", found)
    assert isinstance(decision, Hold)
    assert failure_class in decision.reason
    assert Policy().verdict(found).name == "INCONCLUSIVE"


def test_the_best_verdict_is_suggestive_since_the_same_seeds_selected() -> None:
    runs = {("quick", 0): 0.9, ("medium", 0): 0.9}
    verdict = Policy().verdict(evidence(runs, {("quick", 0): 0.5, ("medium", 0): 0.5}))
    assert verdict.name == "SUGGESTIVE"
    assert "fresh seeds" in verdict.reason


def test_an_effect_below_min_effect_is_inconclusive() -> None:
    runs = {("quick", 0): 0.505, ("medium", 0): 0.505}
    verdict = Policy().verdict(evidence(runs, {("quick", 0): 0.5, ("medium", 0): 0.5}))
    assert verdict.name == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("deltas", "n_eval", "verdict"),
    [
        ((-0.10, -0.11, -0.12), 100_000, "LOSER"),
        ((-0.10, -0.11, -0.12), 24, "INCONCLUSIVE"),
        ((-0.10, -0.11), 100_000, "LOSER"),
        ((-0.10,), 100_000, "INCONCLUSIVE"),
        ((-0.10, -0.10), 100_000, "INCONCLUSIVE"),
        ((-0.001, 0.04, -0.05), 100_000, "INCONCLUSIVE"),
        ((-0.001, 0.001, 0.0), 100_000, "NEUTRAL"),
        ((-0.001, 0.001, 0.0), 24, "INCONCLUSIVE"),
    ],
)
def test_what_two_or_more_seeds_agree_on_is_told(
    deltas: tuple[float, ...], n_eval: int, verdict: str
) -> None:
    """A few examples tell it of themselves alone; seeds that change nothing tell no noise."""
    found = evidence(
        {("quick", seed): 0.5 + delta for seed, delta in enumerate(deltas)},
        {("quick", seed): 0.5 for seed in range(len(deltas))},
        n_eval=n_eval,
    )
    assert Policy().verdict(found).name == verdict


def test_a_variant_equal_to_the_baseline_bit_for_bit_is_neutral() -> None:
    same: dict[str, Any] = {"scores_digest": "abc", "loss": 1.5}
    runs = {("quick", 0): 0.5}
    found = TaskEvidence(
        objective=Objective(),
        stages=("quick", "medium"),
        variant=observed(runs, **same),
        baseline=observed(runs, "baseline", **same),
    )
    assert Policy().verdict(found).name == "NEUTRAL"


@pytest.mark.parametrize(
    ("rule", "decision", "verdict"),
    [("noop", Prune, "NEUTRAL"), ("broken", Prune, "LOSER"), ("hopeless", Hold, "INCONCLUSIVE")],
)
def test_a_run_that_was_stopped_is_judged_by_why(rule: str, decision: type, verdict: str) -> None:
    found = evidence({("quick", 0): 0.5}, {("quick", 0): 0.5}, status="pruned", stopped_by=rule)
    assert isinstance(Policy().after("quick", found), decision)
    assert Policy().verdict(found).name == verdict


def test_equal_accuracy_with_another_loss_is_no_no_op() -> None:
    runs = {("quick", 0): 0.5}
    found = TaskEvidence(
        objective=Objective(),
        stages=("quick", "medium"),
        variant=observed(runs, scores_digest="abc", loss=1.5),
        baseline=observed(runs, "baseline", scores_digest="abc", loss=1.6),
    )
    assert Policy().verdict(found).name == "INCONCLUSIVE"


def test_all_listed_seeds_run_at_every_stage() -> None:
    assert Policy().slots("quick", 3) == Policy().slots("medium", 3) == (0, 1, 2)


def test_policies_are_found_by_their_file() -> None:
    assert "threshold" in policy_names()
    assert "evidence" not in policy_names()
    assert make_policy("threshold", {"min_delta": 1}) == Policy(min_delta=1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("treshold", {}, "did you mean 'threshold'"),
        ("threshold", {"min_delat": 1}, "did you mean 'min_delta'"),
        ("threshold", {"min_delta": "much"}, "must be a finite number"),
        ("threshold", {"min_delta": float("nan")}, "must be a finite number"),
        ("threshold", {"min_delta": True}, "must be a finite number"),
    ],
)
def test_a_wrong_policy_or_option_is_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_policy(name, options)


def test_an_unknown_option_and_a_wrong_value_are_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"(?s)min_delat: unknown.*min_delta: must be a finite"):
        make_policy("threshold", {"min_delat": 1, "min_delta": "much"})
