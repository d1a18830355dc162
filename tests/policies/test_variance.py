"""The noise of a run is moderated by what other tasks showed, and never read from two runs alone."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies._variance import (
    MAX_PRIOR_DF,
    MIN_TASKS_TO_FIT,
    NoisePrior,
    Spread,
    eval_variance,
    fit_noise,
    fit_scaled_f,
    moderated,
    noise_prior,
    quick_from_medium,
    spread_of,
    trigamma_inverse,
)
from policies.evidence import Objective

PP = Objective()
NAT = Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01)
#: trigamma in closed form
TRIGAMMA = {0.5: math.pi**2 / 2, 1.0: math.pi**2 / 6, 2.0: math.pi**2 / 6 - 1, 1.5: math.pi**2 / 2 - 4}


@pytest.mark.parametrize(("x", "value"), TRIGAMMA.items())
def test_the_trigamma_inverse_undoes_trigamma(x: float, value: float) -> None:
    assert trigamma_inverse(value) == pytest.approx(x, rel=1e-9)


def test_trigamma_has_no_inverse_at_zero() -> None:
    with pytest.raises(ValueError, match="positive"):
        trigamma_inverse(0.0)


def test_the_moments_of_equal_df_are_those_computed_by_hand() -> None:
    # df = 2: digamma(1) = -gamma, trigamma(1) = pi^2/6, and log(df/2) = 0
    variances = [math.exp(-3.0), 1.0, math.exp(3.0)]
    excess = 9.0 - math.pi**2 / 6
    variance, d0 = fit_scaled_f(variances, [2, 2, 2])
    x = trigamma_inverse(excess)
    assert d0 == pytest.approx(2 * x)
    # mean log s^2 is 0; log s0^2 = 0 + gamma + digamma(x) - log(x), digamma by a difference of log gamma
    digamma = (math.lgamma(x + 1e-5) - math.lgamma(x - 1e-5)) / 2e-5
    assert math.log(variance) == pytest.approx(0.5772156649 + digamma - math.log(x), abs=1e-6)


def test_variances_that_differ_by_chance_alone_have_an_infinite_prior_df() -> None:
    # one common log variance: s0^2 = s^2 * exp(log(df/2) - digamma(df/2)), here exp(gamma)
    variance, d0 = fit_scaled_f([4.0, 4.0, 4.0], [2, 2, 2])
    assert math.isinf(d0)
    assert variance == pytest.approx(4.0 * math.exp(0.5772156649), rel=1e-9)


@pytest.mark.parametrize(("sd", "d0"), [(1.7, 4.0), (0.5, 6.0)])
def test_the_fit_recovers_what_the_variances_were_drawn_from(sd: float, d0: float) -> None:
    draw = random.Random(5)
    spreads = []
    for _ in range(4000):
        df = draw.choice([6, 10, 20])
        true = sd**2 * d0 / draw.gammavariate(d0 / 2, 2)
        spreads.append(Spread(ss=true * draw.gammavariate(df / 2, 2), df=df))
    fitted = fit_noise(spreads)
    assert fitted is not None
    assert fitted.sd == pytest.approx(sd, rel=0.05)
    assert fitted.df == pytest.approx(d0, rel=0.15)


def test_a_young_ledger_is_not_fitted() -> None:
    spreads = [Spread(ss=float(i + 1), df=2) for i in range(MIN_TASKS_TO_FIT)]
    assert fit_noise(spreads[:-1]) is None
    assert fit_noise(spreads) is not None


def test_a_fit_leaves_a_task_room_to_be_noisier_than_all_before() -> None:
    fitted = fit_noise([Spread(ss=20.0, df=20)] * 30)
    assert fitted is not None
    assert fitted.df == MAX_PRIOR_DF


def test_quick_is_as_much_noisier_as_it_usually_is() -> None:
    quick = quick_from_medium(NoisePrior(sd=1.7, df=3.0))
    assert quick.sd == pytest.approx(2.2)
    assert quick.df == 3.0


def test_the_spread_is_within_configs_and_not_between_them() -> None:
    spread = spread_of([{1: 0.0, 2: 2.0}, {1: 100.0, 2: 103.0, 3: 106.0}, {1: 50.0}])
    assert spread == Spread(ss=2.0 + 18.0, df=1 + 2)


@pytest.mark.parametrize(
    ("spread", "prior", "floor", "variance", "df"),
    [
        (Spread(), NoisePrior(sd=2.0, df=4), 0.0, 4.0, 4),
        (Spread(ss=10.0, df=1), NoisePrior(sd=2.0, df=4), 0.0, (4 * 4 + 10) / 5, 5),
        (Spread(ss=10.0, df=1), NoisePrior(sd=2.0, df=4), 9.0, (4 * 9 + 10) / 5, 5),
        (Spread(ss=6.0, df=3), NoisePrior(sd=1.0, df=0), 0.0, 2.0, 3),
    ],
)
def test_the_moderated_variance_weighs_by_degrees_of_freedom(
    spread: Spread, prior: NoisePrior, floor: float, variance: float, df: float
) -> None:
    noise = moderated(spread, prior, floor)
    assert noise.variance == pytest.approx(variance)
    assert noise.df == df


def test_runs_that_tie_leave_the_noise_unknown_and_not_zero() -> None:
    noise = moderated(spread_of([{1: 3.0, 2: 3.0}]), NoisePrior(sd=2.0, df=0))
    assert (noise.variance, noise.df) == (4.0, 0.0)
    assert not noise_prior("medium", NAT, baseline={1: 3.0, 2: 3.0, 3: 3.0}).is_measured
    with pytest.raises(ValueError, match="no run is free of noise"):
        NoisePrior(sd=0.0, df=4)


def test_a_prior_that_is_certain_is_not_moved() -> None:
    noise = moderated(Spread(ss=100.0, df=2), NoisePrior(sd=2.0, df=math.inf))
    assert (noise.variance, noise.df) == (4.0, math.inf)


@given(st.floats(-50, 50), st.floats(0, 1))
def test_two_close_runs_never_make_a_task_look_noiseless(value: float, gap: float) -> None:
    noise = moderated(spread_of([{1: value, 2: value + gap}]), noise_prior("medium", PP))
    assert noise.sd > 0.85 * 1.7
    assert noise.df == 5


@pytest.mark.parametrize(
    ("examples", "paired_error_pp"), [(24, 6.5), (128, 2.8), (256, 2.0), (1000, 1.0), (5000, 0.4)]
)
def test_two_runs_on_a_set_differ_by_its_floor(examples: int, paired_error_pp: float) -> None:
    assert math.sqrt(2 * eval_variance(PP, examples)) == pytest.approx(paired_error_pp, abs=0.05)


def test_a_loss_has_no_floor_of_discordant_examples() -> None:
    assert eval_variance(NAT, 24) == 0.0
    assert eval_variance(PP, None) == 0.0


@pytest.mark.parametrize(("stage", "sd"), [("quick", 2.2), ("medium", 1.7), ("long", 1.7)])
def test_the_cold_start_is_that_of_the_stage(stage: str, sd: float) -> None:
    assert noise_prior(stage, PP) == NoisePrior(sd=sd, df=4.0)


def test_wishing_for_finer_effects_makes_no_run_less_noisy() -> None:
    fine = Objective(min_effect=0.5)
    assert noise_prior("medium", fine).sd * fine.min_effect == pytest.approx(1.7)


def test_a_fitted_prior_replaces_the_cold_start() -> None:
    fitted = NoisePrior(sd=0.3, df=9.0)
    assert noise_prior("medium", PP, fitted=fitted) == fitted


def test_in_another_unit_three_baseline_seeds_tell_the_noise() -> None:
    values = {1: 0.0, 2: 1.0, 3: 3.0}
    prior = noise_prior("medium", NAT, baseline=values)
    assert prior == NoisePrior(sd=statistics.stdev(values.values()), df=0.0)
    assert not noise_prior("medium", NAT, baseline={1: 0.0, 2: 1.0}).is_measured
    # those seeds enter the spread, and count once
    assert moderated(spread_of([values]), prior).df == 2
