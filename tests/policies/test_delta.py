"""A delta is drawn between matched runs, by seed; its error falls with seeds and with nothing else."""

from __future__ import annotations

import math
import random
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies._delta import (
    Comparison,
    Estimate,
    SeedCorrelation,
    SeedPairs,
    compare,
    estimate,
    fit_correlation,
    fresh,
    pairs_of,
)
from policies._variance import Noise
from policies.evidence import Objective, Observation, UnmatchedError

PP = Objective()
NAT = Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01)
NOISE = Noise(variance=4.0, df=6.0)


def run(value: float | None, seed: int = 1, **more: Any) -> Observation:
    fields: dict[str, Any] = {
        "stage": "medium",
        "config": "v",
        "slot": seed,
        "status": "ok",
        "protocol": "medium",
        **more,
    }
    return Observation(value=value, seed=seed, **fields)


def of(variant: dict[int, float], baseline: dict[int, float]) -> Comparison:
    return Comparison(variant=variant, baseline=baseline, protocol="medium")


def test_the_estimate_is_the_one_computed_by_hand() -> None:
    measured = estimate(of({1: 5.0, 2: 7.0}, {1: 1.0, 2: 2.0, 3: 6.0}), NOISE)
    assert measured is not None
    # mean(v) = 6; mean(b) = 3, on the same seeds 1.5, corrected 3 + .2 * (1.5 - 3) = 2.7
    assert measured.delta == pytest.approx(3.3)
    assert measured.se == pytest.approx(math.sqrt(4.0 * (1 / 2 + 1 / 3 - 2 * 0.2 * 0.2 / 3)))
    assert (measured.df, measured.variant_seeds, measured.baseline_seeds) == (6.0, 2, 3)


def test_without_shared_seeds_nothing_is_corrected() -> None:
    measured = estimate(of({1: 5.0}, {2: 1.0, 3: 3.0}), NOISE)
    assert measured is not None
    assert measured.delta == pytest.approx(3.0)
    assert measured.se == pytest.approx(math.sqrt(4.0 * (1 + 1 / 2)))


@pytest.mark.parametrize(
    ("delta", "df", "p"),
    # closed forms: df = 1 is Cauchy, df = 2 has 1/2 - t / (2 sqrt(2 + t^2)), infinite df is the normal
    [
        (2.0, 1.0, 0.25),
        (4.0, 2.0, 0.5 - 2.0 / (2.0 * math.sqrt(6.0))),
        (3.92, math.inf, 0.0249979),
        (0.0, 7.0, 0.5),
        (-2.0, 1.0, 0.75),
        (50.0, 0.0, 1.0),
    ],
)
def test_p_is_the_one_sided_tail_of_t(delta: float, df: float, p: float) -> None:
    se = 2.0
    measured = Estimate(delta=delta, se=se, df=df, variant_seeds=1, baseline_seeds=2)
    assert measured.p == pytest.approx(p, abs=1e-7)


def test_the_upper_bound_is_that_of_the_t_table() -> None:
    # t_{.95, 5} = 2.015
    measured = Estimate(delta=-3.0, se=1.0, df=5.0, variant_seeds=2, baseline_seeds=3)
    assert measured.upper_bound() == pytest.approx(-3.0 + 2.015, abs=1e-3)


@given(st.integers(1, 20), st.integers(1, 20), st.floats(0, 0.6))
def test_the_error_falls_with_seeds_of_either_side(ours: int, theirs: int, rho: float) -> None:
    def se(variant_seeds: int, baseline_seeds: int) -> float:
        sides = [dict.fromkeys(range(count), 0.0) for count in (variant_seeds, baseline_seeds)]
        measured = estimate(of(*sides), NOISE, SeedCorrelation(rho=rho, theta=rho))
        assert measured is not None
        return measured.se

    assert se(ours + 1, theirs) < se(ours, theirs)
    assert se(ours, theirs + 1) < se(ours, theirs)


def test_the_error_is_at_least_the_true_one_when_seeds_are_shared() -> None:
    draw = random.Random(2)
    correlation = SeedCorrelation(rho=0.2, theta=0.2)
    deltas = []
    for _ in range(20_000):
        luck = [draw.gauss(0, math.sqrt(0.2)) for _ in range(4)]
        sides = [
            {seed: luck[seed] + draw.gauss(0, math.sqrt(0.8)) for seed in range(seeds)} for seeds in (3, 4)
        ]
        measured = estimate(of(*sides), Noise(variance=1.0, df=6), correlation)
        assert measured is not None
        deltas.append(measured.delta)
    assert 0.92 < statistics.stdev(deltas) / measured.se < 1.01


def test_a_repeated_seed_is_no_evidence() -> None:
    comparison = compare(PP, [run(0.6), run(0.6), run(0.6)], [run(0.5), run(0.5)])
    assert comparison is not None
    measured = estimate(comparison, NOISE)
    assert measured is not None
    assert (measured.variant_seeds, measured.baseline_seeds) == (1, 1)


def test_slot_0_never_enters_a_verdict_on_either_side() -> None:
    runs = [run(0.9, seed=7, slot=0), run(0.6, seed=8, slot=1)]
    assert [each.slot for each in fresh(runs)] == [1]


def test_medium_is_never_compared_with_the_quick_baseline() -> None:
    with pytest.raises(UnmatchedError, match="run the baseline"):
        compare(PP, [run(0.9)], [run(0.5, stage="quick", protocol="quick")])


def test_scores_of_different_evaluation_sets_are_never_compared() -> None:
    with pytest.raises(UnmatchedError, match="128 and 256 examples"):
        compare(PP, [run(0.9, n_eval=256)], [run(0.5, n_eval=128)])


def test_tokens_and_examples_are_no_sample_size() -> None:
    small = compare(PP, [run(0.6, n_eval=100)], [run(0.5, n_eval=100)])
    large = compare(PP, [run(0.6, n_eval=10**9)], [run(0.5, n_eval=10**9)])
    assert small is not None
    assert large is not None
    assert estimate(small, NOISE) == estimate(large, NOISE)


def test_the_metric_is_the_last_evaluation_and_not_the_best() -> None:
    peak = run(0.6, curve=((10, 0.9), (20, 0.6)))
    comparison = compare(PP, [peak], [run(0.5, curve=((10, 0.4), (20, 0.5)))])
    assert comparison is not None
    assert comparison.variant[1] - comparison.baseline[1] == pytest.approx(10.0)


def test_a_run_ended_by_the_clock_is_read_where_all_were_and_marked() -> None:
    slow = run(0.55, status="timed_out", curve=((10, 0.4), (20, 0.55)))
    full = run(0.9, curve=((10, 0.35), (20, 0.5), (30, 0.9)))
    comparison = compare(PP, [slow], [full])
    assert comparison is not None
    assert comparison.is_speed_effect
    assert comparison.variant[1] - comparison.baseline[1] == pytest.approx(5.0)


def test_without_a_common_evaluation_the_clock_leaves_nothing_to_compare() -> None:
    slow = run(0.4, status="timed_out", curve=((7, 0.4),))
    assert compare(PP, [slow], [run(0.9, curve=((10, 0.9),))]) is None


def test_a_failed_run_has_no_reading() -> None:
    assert compare(PP, [run(None, status="failed", failure_class="oom")], [run(0.5)]) is None


def test_a_smaller_loss_is_a_gain_in_units_of_min_effect() -> None:
    comparison = compare(NAT, [run(3.00)], [run(3.05)])
    assert comparison is not None
    measured = estimate(comparison, NOISE)
    assert measured is not None
    assert measured.delta == pytest.approx(5.0)


def pooled(rounds: list[Comparison]) -> SeedPairs:
    return sum((pairs_of(each) for each in rounds), SeedPairs())


def test_the_pooled_correlation_is_within_rounds() -> None:
    # two rounds at different levels, each perfectly correlated: 4 pairs
    rounds = [of({1: 0.0, 2: 2.0}, {1: 0.0, 2: 1.0}), of({1: 50.0, 2: 54.0}, {1: 9.0, 2: 11.0})]
    fitted = fit_correlation(pooled(rounds))
    assert fitted.rho == pytest.approx(1.0)
    assert fitted.theta == pytest.approx(4 / 24)


@pytest.mark.parametrize("rounds", [[], [of({1: 3.0}, {1: 2.0})], [of({1: 3.0, 2: 1.0}, {3: 2.0})]])
def test_without_shared_seeds_the_correlation_is_the_cold_start(rounds: list[Comparison]) -> None:
    assert fit_correlation(pooled(rounds)) == SeedCorrelation(rho=0.2, theta=0.2)


def test_a_negative_correlation_corrects_nothing() -> None:
    fitted = fit_correlation(pairs_of(of({1: 0.0, 2: 2.0}, {1: 1.0, 2: 0.0})))
    assert fitted.theta == 0.0
