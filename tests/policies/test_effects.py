"""Gains are shrunk by what effects usually are: a single good run is mostly luck."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies._delta import Estimate
from policies._effect_prior import (
    DEFAULT_PRIOR,
    EffectPrior,
    Part,
    Reading,
    combined,
    log_likelihood,
    refit,
)
from policies._posterior import medium_reading, posterior, quick_reading

SLAB = EffectPrior(parts=(Part(1.0, 1.0, 2.0),))
deltas = st.floats(-10, 10)
errors = st.floats(0.3, 6)


def measured(delta: float, se: float) -> Estimate:
    return Estimate(delta=delta, se=se, df=5, variant_seeds=1, baseline_seeds=1)


@pytest.mark.parametrize(("delta", "shrunk"), [(1, 0.4), (2, 0.7), (4, 1.4), (8, 4.8)])
def test_one_quick_run_at_sd_3_shrinks_as_published(delta: float, shrunk: float) -> None:
    assert round(posterior([quick_reading(measured(delta, 3.0))]).mean, 1) == shrunk


@pytest.mark.parametrize(("delta", "shrunk"), [(1, 0.3), (2, 0.6), (4, 1.5), (8, 6.1)])
def test_one_medium_delta_at_sd_two_and_a_half_shrinks_as_published(delta: float, shrunk: float) -> None:
    assert round(posterior([medium_reading(measured(delta, 2.5))]).mean, 1) == shrunk


def test_an_error_known_from_few_runs_is_widened() -> None:
    # t_{.95}: 6.314 at 1 df, 2.132 at 4
    cold, poor = (
        medium_reading(Estimate(delta=2.0, se=1.0, df=df, variant_seeds=1, baseline_seeds=2)) for df in (4, 1)
    )
    assert cold.sd == 1.0
    assert poor.sd == pytest.approx(6.314 / 2.132, rel=1e-3)


def test_a_single_slab_has_the_posterior_of_the_textbook() -> None:
    # N(1, 4) and a reading of 3 with variance 1: precision 1.25, mean (0.25 + 3) / 1.25 = 2.6
    effect = posterior([Reading(value=3.0, sd=1.0)], SLAB)
    sd = math.sqrt(1 / 1.25)
    assert effect.mean == pytest.approx(2.6, abs=1e-3)
    assert effect.at_least(2.6) == pytest.approx(0.5, abs=1e-3)
    assert effect.at_least(1.0) == pytest.approx(0.5 * math.erfc(-1.6 / sd / math.sqrt(2)), abs=1e-3)
    assert effect.interval() == pytest.approx((2.6 - 1.6449 * sd, 2.6 + 1.6449 * sd), abs=2e-3)


def test_without_a_reading_the_prior_is_all_that_is_known() -> None:
    effect = posterior([])
    assert effect.mean == pytest.approx(
        sum(part.weight * part.mean for part in DEFAULT_PRIOR.parts), abs=0.05
    )


def test_a_part_beyond_the_grid_counts_for_nothing() -> None:
    far = EffectPrior(parts=(Part(0.5, 0.0, 0.25), Part(0.5, -90.0, 0.5)))
    assert posterior([], far).mean == pytest.approx(0.0, abs=1e-9)


def test_a_reading_beyond_the_grid_is_no_error() -> None:
    effect = posterior([Reading(value=500.0, sd=0.1)])
    assert effect.at_least(13.0) == pytest.approx(1.0)


@given(st.floats(1, 10), errors)
def test_a_gain_is_shrunk_towards_nothing(delta: float, se: float) -> None:
    assert posterior([Reading(value=delta, sd=max(se, 0.6))]).mean < delta + 0.15


@given(deltas, st.floats(0.01, 5), errors)
def test_a_larger_delta_never_has_a_smaller_effect(delta: float, more: float, se: float) -> None:
    low, high = (posterior([Reading(value=value, sd=se)]) for value in (delta, delta + more))
    assert low.mean <= high.mean
    assert low.at_least(1.0) <= high.at_least(1.0) + 1e-12


@given(deltas, errors)
def test_probabilities_and_intervals_agree(delta: float, se: float) -> None:
    effect = posterior([Reading(value=delta, sd=se)])
    low, high = effect.interval()
    assert effect.at_least(low) - effect.at_least(high) == pytest.approx(0.9, abs=0.01)
    assert effect.at_least(-12.1) == pytest.approx(1.0)
    assert effect.within(100.0) == pytest.approx(1.0)


@given(st.lists(st.tuples(deltas, errors, st.floats(0.5, 1)), min_size=1, max_size=5))
def test_readings_combine_without_loss(rows: list[tuple[float, float, float]]) -> None:
    readings = [Reading(value=value, sd=sd, slope=slope) for value, sd, slope in rows]
    assert posterior([combined(readings)]).mean == pytest.approx(posterior(readings).mean, abs=1e-6)


def drawn(prior: EffectPrior, count: int, sd: float) -> list[Reading]:
    draw = random.Random(11)
    weights = [part.weight for part in prior.parts]
    readings = []
    for _ in range(count):
        part = draw.choices(prior.parts, weights)[0]
        readings.append(Reading(value=draw.gauss(draw.gauss(part.mean, part.sd), sd), sd=sd))
    return readings


def test_a_young_ledger_keeps_the_default() -> None:
    assert refit(drawn(DEFAULT_PRIOR, 400, 1.0), confirmed=49) is DEFAULT_PRIOR


def test_a_refit_learns_that_winners_are_rare() -> None:
    barren = EffectPrior(parts=(Part(0.9, 0.0, 0.25), Part(0.1, -3.0, 3.0)))
    readings = drawn(barren, 1500, 1.0)
    fitted = refit(readings, confirmed=60)
    assert fitted.parts[0].weight > 0.75
    assert log_likelihood(fitted, readings) > log_likelihood(DEFAULT_PRIOR, readings)
    reading = [Reading(value=4.0, sd=2.5)]
    assert posterior(reading, fitted).mean < 0.6 * posterior(reading).mean


def test_a_refit_to_draws_of_the_default_stays_near_it() -> None:
    fitted = refit(drawn(DEFAULT_PRIOR, 3000, 1.0), confirmed=60)
    assert sum(part.weight for part in fitted.parts) == pytest.approx(1.0)
    for delta in (1.0, 2.0, 4.0, 8.0):
        reading = [Reading(value=delta, sd=2.5)]
        assert posterior(reading, fitted).mean == pytest.approx(posterior(reading).mean, abs=0.3)


def test_a_refit_leaves_the_spike_where_it_is() -> None:
    fitted = refit([Reading(value=5.0, sd=1.0)] * 200, confirmed=60)
    assert (fitted.parts[0].mean, fitted.parts[0].sd) == (0.0, 0.25)
    assert all(part.sd >= 0.5 for part in fitted.parts[1:])
