"""What looks like a result and is none."""

from __future__ import annotations

from typing import Any

import pytest

from policies._delta import Estimate
from policies._guards import (
    broken_class,
    constant_metric,
    data_order_only,
    dead_seed,
    early_stop,
    has_worse_loss,
    infrastructure_class,
    is_hopeless,
    is_no_op,
    leak,
    much_smaller_loss,
)
from policies.evidence import Objective, Observation

NAT = Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01)

INFRASTRUCTURE = ["oom", "data", "network", "disk", "gpu", "killed", "lost", "hung"]


def run(value: float | None = 0.5, seed: int = 0, config: str = "v", **more: Any) -> Observation:
    fields: dict[str, Any] = {
        "stage": "quick",
        "slot": seed,
        "status": "ok",
        "protocol": "quick",
        "loss": 1.0,
        "scores_digest": f"{config}{seed}",
        **more,
    }
    return Observation(value=value, seed=seed, config=config, **fields)


def failed(failure_class: str) -> Observation:
    return run(None, status="failed", failure_class=failure_class)


@pytest.mark.parametrize("failure_class", INFRASTRUCTURE)
def test_infrastructure_breaks_no_variant(failure_class: str) -> None:
    assert broken_class([failed(failure_class)]) is None
    assert infrastructure_class([failed(failure_class)]) == failure_class


@pytest.mark.parametrize("failure_class", ["nan", "crash", "bad_args"])
def test_a_variant_that_breaks_is_not_excused(failure_class: str) -> None:
    assert broken_class([run(), failed(failure_class)]) == failure_class
    assert infrastructure_class([failed(failure_class)]) is None


def test_a_lost_run_is_infrastructure() -> None:
    assert infrastructure_class([run(None, status="lost")]) == "lost"
    assert infrastructure_class([run()]) is None


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"loss": 1.0000001}, False),
        ({"scores_digest": "other"}, False),
        ({"scores_digest": None}, False),
        ({"stage": "medium"}, False),
    ],
)
def test_a_no_op_equals_the_baseline_bit_for_bit(changed: dict[str, Any], expected: bool) -> None:
    baseline = [run(config="baseline", scores_digest="same")]
    assert is_no_op([run(**{"scores_digest": "same", **changed})], baseline) is expected


@pytest.mark.parametrize(
    ("rule", "is_copy", "broken"),
    [("noop", True, None), ("broken", False, "stopped before its end"), ("hopeless", False, None)],
)
def test_what_a_stop_found_is_what_the_run_shows(rule: str, is_copy: bool, broken: str | None) -> None:
    stopped = run(status="pruned", stopped_by=rule)
    assert is_no_op([stopped], [run(config="baseline")]) is is_copy
    assert broken_class([stopped]) == broken
    assert early_stop([run(), stopped]) == f"stopped by {rule}"


def test_no_run_is_no_no_op() -> None:
    assert not is_no_op([], [run(config="baseline")])
    assert not is_no_op([failed("oom")], [run(config="baseline")])


@pytest.mark.parametrize(("score", "is_leak"), [(0.49, True), (0.51, False), (2.0, False)])
def test_a_score_below_half_the_baselines_is_a_leak(score: float, is_leak: bool) -> None:
    assert (leak(NAT, [run(score)], [run(1.0, config="baseline")]) is not None) is is_leak


def test_a_score_of_another_stage_is_no_leak() -> None:
    assert leak(NAT, [run(0.1, stage="medium")], [run(1.0, config="baseline")]) is None


def test_beside_an_accuracy_a_much_smaller_loss_is_a_warning_and_no_leak() -> None:
    found = ([run(0.8, loss=0.4)], [run(0.5, config="baseline")])
    assert leak(Objective(), *found) is None
    assert "cannot see the answers" in (much_smaller_loss(Objective(), *found) or "")
    assert much_smaller_loss(Objective(), [run(0.8, loss=0.6)], found[1]) is None


def test_a_worse_loss_is_worse_on_every_seed() -> None:
    baseline = [run(config="baseline", seed=seed) for seed in (0, 1)]
    assert has_worse_loss([run(loss=1.1, seed=0), run(loss=1.2, seed=1)], baseline)
    assert not has_worse_loss([run(loss=1.1, seed=0), run(loss=0.9, seed=1)], baseline)
    assert not has_worse_loss([], baseline)


@pytest.mark.parametrize(
    ("delta", "has_worse", "expected"), [(-9.1, True, True), (-9.1, False, False), (-8.9, True, False)]
)
def test_a_loser_at_quick_is_far_below_with_a_worse_loss(
    delta: float, has_worse: bool, expected: bool
) -> None:
    quick = Estimate(delta=delta, se=3.0, df=4, variant_seeds=1, baseline_seeds=1)
    assert is_hopeless(quick, has_worse_loss=has_worse) is expected


def test_a_metric_that_never_moves_is_told() -> None:
    runs = [run(0.96875, config=config, loss=loss) for config, loss in (("a", 1.0), ("b", 1.1), ("c", 1.2))]
    warning = constant_metric(runs)
    assert warning is not None
    assert "0.96875 in all 3 runs" in warning
    assert constant_metric([*runs, run(0.97)]) is None
    assert constant_metric(runs[:2]) is None


def test_a_seed_that_changes_nothing_is_told() -> None:
    same = [run(seed=seed, scores_digest="same") for seed in (1, 2)]
    assert dead_seed(same) == "v: seeds 1 and 2 give the same bits; the seed changes nothing"
    assert dead_seed([run(seed=1), run(seed=2)]) is None
    assert dead_seed([same[0], same[0]]) is None


def test_an_equal_share_with_another_loss_is_chance() -> None:
    assert dead_seed([run(seed=1, scores_digest=None), run(seed=2, scores_digest=None, loss=1.1)]) is None
    assert dead_seed([run(seed=seed, scores_digest=None, loss=None) for seed in (1, 2)]) is None
    assert dead_seed([run(seed=seed, scores_digest=None) for seed in (1, 2)]) is not None


def test_a_seed_that_changes_the_data_order_alone_is_told() -> None:
    runs = [run(0.5 + seed / 10, seed=seed, curve=((0, 0.1), (10, 0.5 + seed / 10))) for seed in (1, 2)]
    warning = data_order_only(runs)
    assert warning is not None
    assert "seeds 1, 2 are equal before the first step" in warning
    later = [run(seed=seed, curve=((10, 0.1),)) for seed in (1, 2)]
    assert data_order_only(later) is None
    other = [run(seed=seed, curve=((0, seed / 10),)) for seed in (1, 2)]
    assert data_order_only(other) is None
