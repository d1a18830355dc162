"""How sure a winner of a race must be, and when it stops, follows from what races have found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies._distributions import t_upper_quantile
from policies._effect_prior import DEFAULT_PRIOR, Reading
from policies._race_index import MediumNoise, Runner, index
from policies._race_level import Counters, level, nulls_seen, stopping_rate


@pytest.mark.parametrize(
    ("winners", "nulls", "target", "guarantee", "expected"),
    [
        (0, 0, 0.05, False, 0.05 * 5 / (0.45 * 10)),
        (0, 0, 0.03, False, 0.03 * 5 / (0.45 * 10)),
        (20, 0, 0.05, False, 0.10),
        (0, 1000, 0.05, False, 0.02),
        (0, 0, 0.05, True, 0.05 * 5 / 10),
        (0, 1000, 0.05, True, 0.05 * 5 / 1010),
        (30, 60, 0.05, False, 0.05 * 35 / (0.45 * 70)),
    ],
)
def test_the_level_follows_winners_and_nulls(
    winners: float, nulls: float, target: float, guarantee: bool, expected: float
) -> None:
    found = level(Counters(winners=winners, nulls=nulls), target, guarantee=guarantee)
    assert found == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(
    ("winners", "runs", "expected"),
    [(0, 0, 0.5 * 2 / 48), (100, 0, 0.083), (0, 10_000, 0.0083), (10, 200, 0.5 * 12 / 248)],
)
def test_the_stopping_rate_is_half_of_what_time_has_brought(
    winners: float, runs: float, expected: float
) -> None:
    assert stopping_rate(Counters(winners=winners, medium_runs=runs)) == pytest.approx(expected)


@given(a=st.floats(0, 1e4), b=st.floats(0, 1e4), more=st.floats(0, 1e3))
def test_nulls_make_careful_and_time_makes_patient(a: float, b: float, more: float) -> None:
    assert level(Counters(winners=a, nulls=b + more), 0.05) <= level(Counters(winners=a, nulls=b), 0.05)
    assert stopping_rate(Counters(winners=a, medium_runs=b + more)) <= stopping_rate(
        Counters(winners=a, medium_runs=b)
    )


@pytest.mark.parametrize(("best_p", "seen"), [(0.01, 0.0), (0.169, 0.0), (0.171, 2.0), (1.0, 2.0)])
def test_a_null_is_seen_half_of_the_time_and_counts_twice(best_p: float, seen: float) -> None:
    assert nulls_seen(best_p) == seen


NOISE = MediumNoise(variance=2.0, df=10.0, interaction=0.05)


def test_a_look_spends_its_share_of_the_level_and_asks_for_half_an_effect() -> None:
    bar = t_upper_quantile(0.34 * 0.05, NOISE.df) * NOISE.se(2)
    assert Runner(screened=(), seeds=2, delta=bar + 1e-6).wins(NOISE, 0.05)
    assert not Runner(screened=(), seeds=2, delta=bar - 1e-6).wins(NOISE, 0.05)
    exact = MediumNoise(variance=1e-6, df=10.0, interaction=0.0)
    assert not Runner(screened=(), seeds=2, delta=0.49).wins(exact, 0.05)


def test_a_guessed_noise_declares_nobody() -> None:
    guess = MediumNoise(variance=2.0, df=10.0, interaction=0.0, is_measured=False)
    assert Runner(screened=(), seeds=4, delta=50.0).p(guess) == 1.0


def worth(quick: float, seeds: int = 0, delta: float = 0.0, noise: MediumNoise = NOISE) -> float:
    screened = (Reading(value=quick, sd=1.8, slope=0.7),)
    return index(Runner(screened=screened, seeds=seeds, delta=delta), noise, 0.05, DEFAULT_PRIOR)


def test_a_seed_is_worth_more_the_better_a_variant_looks() -> None:
    values = [worth(quick) for quick in (-4.0, 0.0, 2.0, 4.0, 8.0)]
    assert values == sorted(values)
    assert values[0] < 0.001 < 0.1 < values[-1] <= 1.0


def test_a_seed_is_worth_less_the_noisier_the_task_is() -> None:
    noisy = MediumNoise(variance=20.0, df=10.0, interaction=0.05)
    assert worth(4.0, noise=noisy) < worth(4.0)


def test_a_candidate_that_has_shown_nothing_is_worth_no_further_seed() -> None:
    assert worth(4.0, seeds=3, delta=-1.0) < 0.001 < worth(4.0, seeds=3, delta=2.0)


def test_a_candidate_with_all_its_seeds_is_worth_none() -> None:
    assert worth(8.0, seeds=4, delta=1.0) == 0.0
