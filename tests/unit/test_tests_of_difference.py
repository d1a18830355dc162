"""Do the tests of difference give the figures that tables and published examples give?"""

from __future__ import annotations

import math
import random

import pytest

from scheduler.judging._tests_of_difference import (
    cohens_d,
    episodes_per_arm,
    fisher_exact_p,
    holm,
    mean_interval,
    paired_bootstrap_interval,
    paired_permutation_test,
    pairs_needed,
    runs_per_arm,
    unpaired_bootstrap_interval,
    unpaired_permutation_test,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("differences", "sides", "p", "smallest"),
    [
        ([1.0, 2.0, 3.0], 1, 1 / 8, 1 / 8),
        ([1.0, 2.0, 3.0], 2, 2 / 8, 2 / 8),
        ([-1.0, -2.0, -3.0], 2, 2 / 8, 2 / 8),
        ([-1.0, -2.0, -3.0], 1, 1.0, 1 / 8),
        ([1.0, -2.0, 3.0], 1, 3 / 8, 1 / 8),
        ([0.0, 0.0, 3.0], 1, 1 / 2, 1 / 2),
        ([0.0, 0.0], 2, 1.0, 1.0),
        ([3.0], 1, 1 / 2, 1 / 2),
        ([3.0], 2, 1.0, 1.0),
    ],
)
def test_few_pairs_are_enumerated(differences: list[float], sides: int, p: float, smallest: float) -> None:
    tested = paired_permutation_test(differences, sides=sides)
    assert tested is not None
    assert tested.p == pytest.approx(p)
    assert tested.smallest_p == pytest.approx(smallest)
    assert tested.is_exact
    assert tested.resamples == 2 ** len(differences) - 1


def test_a_drawn_p_counts_the_arrangement_seen() -> None:
    tested = paired_permutation_test([1.0] * 30, sides=1, resamples=999)
    assert tested is not None
    assert not tested.is_exact
    assert tested.p == tested.smallest_p == 1 / 1000


def test_the_same_seed_gives_the_same_p() -> None:
    draw = random.Random(5)
    differences = [draw.gauss(0.3, 1.0) for _ in range(40)]
    first, again = (paired_permutation_test(differences, resamples=999, seed=3) for _ in range(2))
    other = paired_permutation_test(differences, resamples=999, seed=4)
    assert first == again
    assert first != other


def test_independent_arms_are_dealt_anew() -> None:
    tested = unpaired_permutation_test([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    assert tested is not None
    assert tested.p == tested.smallest_p == pytest.approx(2 / math.comb(6, 3))
    assert unpaired_permutation_test([1.0], [4.0, 5.0]) is None


def test_the_paired_test_keeps_its_level() -> None:
    draw = random.Random(11)
    rejected = 0
    for _ in range(200):
        tested = paired_permutation_test([draw.gauss(0.0, 1.0) for _ in range(8)])
        assert tested is not None
        rejected += tested.p <= 0.05
    assert rejected <= 20


def test_a_bootstrap_interval_holds_the_mean_and_shrinks_to_what_never_varies() -> None:
    interval = paired_bootstrap_interval([0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
    assert interval is not None
    assert 0.5 < interval.low < 1.75 < interval.high < 3.0
    assert interval == paired_bootstrap_interval([0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
    constant = paired_bootstrap_interval([1.0, 1.0, 1.0])
    assert constant is not None
    assert constant.low == constant.high == 1.0
    assert paired_bootstrap_interval([1.0]) is None
    apart = unpaired_bootstrap_interval([1.0, 2.0, 3.0], [11.0, 12.0, 13.0])
    assert apart is not None
    assert 8.0 <= apart.low < 10.0 < apart.high <= 12.0


@pytest.mark.parametrize(("lift", "episodes"), [(0.0100, 3639), (0.0126, 2414), (0.0200, 1095)])
def test_episodes_per_arm_are_those_of_the_published_table(lift: float, episodes: int) -> None:
    assert episodes_per_arm(0.01875, lift) == episodes


def test_no_number_of_episodes_shows_what_cannot_be() -> None:
    assert episodes_per_arm(0.5, 0.0) is None
    assert episodes_per_arm(0.5, 0.6) is None


def test_runs_for_an_effect_of_one_sd_are_those_of_power_tables() -> None:
    assert runs_per_arm(1.0, 1.0) == 17
    assert runs_per_arm(0.5, 1.0) == 64
    assert pairs_needed(1.0, 1.0) == 10
    assert pairs_needed(0.0, 1.0) is None


@pytest.mark.parametrize(
    ("successes", "number", "low", "high"), [(3, 39, 0.027, 0.203), (0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0)]
)
def test_wilson_intervals_are_those_of_tables(successes: int, number: int, low: float, high: float) -> None:
    interval = wilson_interval(successes, number)
    assert interval.low == pytest.approx(low, abs=5e-4)
    assert interval.high == pytest.approx(high, abs=5e-4)


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="0 of 0"):
        wilson_interval(0, 0)


def test_fisher_gives_the_p_of_the_tea_lady() -> None:
    assert fisher_exact_p((1, 4), (3, 4)) == pytest.approx(0.4857, abs=1e-4)
    assert fisher_exact_p((3, 160), (3, 160)) == pytest.approx(1.0)


def test_students_interval_of_a_mean() -> None:
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval is not None
    assert interval.high == pytest.approx(2.0 + 4.302653 / math.sqrt(3), abs=1e-5)
    assert mean_interval([1.0]) is None


def test_cohens_d_is_in_pooled_sd() -> None:
    assert cohens_d([1.0, 2.0, 3.0], [2.0, 3.0, 4.0]) == pytest.approx(1.0)
    assert cohens_d([1.0, 1.0], [2.0, 2.0]) is None
    assert cohens_d([1.0], [2.0, 3.0]) is None


def test_holm_adjusts_from_the_smallest_up_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
