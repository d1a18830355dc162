"""Declared looks keep the level, however many candidates there are and whoever peeks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from policies._calibration import calibrated_share, smallest_ratios
from policies._confirming import Knowledge, baseline_slots, candidate_slots, comparison_at, confirmed_at
from policies._delta import Comparison, SeedCorrelation
from policies._effect_prior import Reading
from policies._looks import SAFE_SHARE, LookPlan, LookReading, Looks, take_look
from policies._variance import NoisePrior
from policies.evidence import Objective, Observation

THREE = LookPlan(candidates=("a", "b", "c"), looks=3)


def seen(**by_name: float) -> dict[str, LookReading]:
    """Readings by p, of candidates worth going on with."""
    return {name: LookReading(p=p, probability=0.5) for name, p in by_name.items()}


def test_the_published_shares_are_in_force() -> None:
    assert {looks: SAFE_SHARE[looks] for looks in (2, 3, 4, 5)} == {2: 0.57, 3: 0.42, 4: 0.34, 5: 0.29}


def test_holm_pays_for_the_candidates_that_are_left() -> None:
    # 0.42 * 0.10 / 3 = 0.014, then / 2 = 0.021, then / 1 = 0.042
    looks = take_look(Looks(plan=THREE), seen(a=0.0139, b=0.0209, c=0.0421))
    assert list(looks.rejected) == ["a", "b"]
    assert looks.rejected["a"].adjusted_p == pytest.approx(0.0139 * 3 / 0.42)
    assert looks.rejected["b"].adjusted_p == pytest.approx(0.0209 * 2 / 0.42)
    assert looks.open == ("c",)


def test_holm_stops_at_the_first_that_fails() -> None:
    # b alone would pass at one candidate left
    assert take_look(Looks(plan=THREE), seen(a=0.0141, b=0.02, c=0.9)).rejected == {}


def test_adjusted_p_never_falls_below_that_of_a_clearer_candidate() -> None:
    looks = take_look(Looks(plan=THREE), seen(a=0.0139, b=0.0140, c=0.9))
    assert looks.rejected["b"].adjusted_p == looks.rejected["a"].adjusted_p


def test_a_candidate_rejected_earlier_makes_the_next_look_easier() -> None:
    first = take_look(Looks(plan=THREE), seen(a=0.001, b=0.5, c=0.5))
    second = take_look(first, seen(b=0.0209, c=0.5))
    assert second.rejected["b"].look == 2


def test_a_candidate_given_up_is_still_paid_for() -> None:
    first = take_look(
        Looks(plan=THREE), {**seen(a=0.5), "b": LookReading(p=0.9, probability=0.29), "c": seen(c=0.9)["c"]}
    )
    assert first.futile == {"b": 1}
    assert take_look(first, seen(a=0.0141, c=0.9)).rejected == {}


def test_a_candidate_whose_runs_failed_is_neither_rejected_nor_given_up() -> None:
    looks = take_look(Looks(plan=THREE), seen(a=0.5, c=0.5))
    assert looks.open == ("a", "b", "c")


def test_a_look_that_was_not_declared_is_refused() -> None:
    looks = Looks(plan=LookPlan(candidates=("a",), looks=2))
    for _ in range(2):
        looks = take_look(looks, seen(a=0.2))
    assert looks.open == ()
    with pytest.raises(ValueError, match="a new claim needs a new round"):
        take_look(looks, seen(a=0.0001))


def test_a_candidate_that_was_not_frozen_is_refused() -> None:
    with pytest.raises(ValueError, match="not in the frozen confirm set"):
        take_look(Looks(plan=THREE), seen(d=0.0001))


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"looks": 6}, "looks"), ({"alpha": 0.0}, "alpha"), ({"candidates": ("a", "a")}, "twice")],
)
def test_a_plan_that_promises_nothing_is_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LookPlan(**{"candidates": ("a",), "looks": 3, **changed})  # type: ignore[arg-type]


def fails(looks: int, candidates: int, alpha: float) -> tuple[float, float]:
    """Share of simulated rounds without effects with any rejection, and its standard error."""
    rounds = 40_000
    smallest = smallest_ratios(
        candidates=candidates, looks=looks, prior_df=4, seed=3, rounds=rounds, correlation=SeedCorrelation()
    )
    share = float((smallest.min(axis=1) <= SAFE_SHARE[looks] * alpha / candidates).mean())
    return share, math.sqrt(alpha * (1 - alpha) / rounds)


@pytest.mark.parametrize("alpha", [0.05, 0.10, 0.20])
@pytest.mark.parametrize("candidates", [1, 4])
@pytest.mark.parametrize("looks", [1, 2, 3, 4, 5])
def test_the_safe_shares_keep_the_level_without_effects(looks: int, candidates: int, alpha: float) -> None:
    share, error = fails(looks, candidates, alpha)
    assert share <= alpha + 2 * error


def test_uncorrected_looks_would_break_the_level() -> None:
    smallest = smallest_ratios(
        candidates=1, looks=5, prior_df=4, seed=3, rounds=20_000, correlation=SeedCorrelation()
    )
    assert float((smallest <= 0.10).mean()) > 0.15


@pytest.mark.parametrize(("looks", "candidates"), [(2, 1), (3, 4), (5, 2)])
def test_a_calibrated_share_is_larger_and_keeps_the_level_on_other_draws(looks: int, candidates: int) -> None:
    share = calibrated_share(candidates=candidates, looks=looks, alpha=0.10, prior_df=4, seed=1)
    assert SAFE_SHARE[looks] < share < 1.0
    smallest = smallest_ratios(
        candidates=candidates, looks=looks, prior_df=4, seed=2, rounds=40_000, correlation=SeedCorrelation()
    )
    level = float((smallest.min(axis=1) <= share * 0.10 / candidates).mean())
    assert level <= 0.10 + 2 * math.sqrt(0.1 * 0.9 / 40_000)


def test_a_calibration_repeats_for_its_seed() -> None:
    shares = {
        calibrated_share(candidates=2, looks=3, alpha=0.10, prior_df=math.inf, seed=7, rounds=4000)
        for _ in range(2)
    }
    assert len(shares) == 1


def runs(config: str, values: dict[int, float]) -> list[Observation]:
    return [
        Observation(
            stage="medium",
            config=config,
            seed=100 + slot,
            slot=slot,
            status="ok",
            protocol="medium",
            value=value,
        )
        for slot, value in values.items()
    ]


def test_a_look_reads_its_own_slots_only() -> None:
    assert (candidate_slots(2), baseline_slots(2)) == ((1, 2), (1, 2, 3))
    variant = runs("v", {0: 0.99, 1: 0.60, 2: 0.62, 3: 0.99})
    baseline = runs("baseline", {0: 0.10, 1: 0.50, 2: 0.52, 3: 0.54, 4: 0.10})
    comparison = comparison_at(Objective(), 2, variant, baseline)
    assert comparison is not None
    assert sorted(comparison.variant) == [101, 102]
    assert sorted(comparison.baseline) == [101, 102, 103]


def test_a_look_waits_for_every_seed_of_a_candidate() -> None:
    assert comparison_at(Objective(), 2, runs("v", {1: 0.6}), runs("baseline", {1: 0.5, 2: 0.5})) is None


def test_the_noise_at_a_look_is_that_of_the_whole_task() -> None:
    baseline = {1: 0.0, 2: 2.0, 3: 4.0}
    sides = [{1: 10.0, 2: 13.0}, {1: 5.0, 2: 5.0}]
    comparisons = [Comparison(variant=side, baseline=baseline, protocol="medium") for side in sides]
    knowledge = Knowledge(noise=NoisePrior(sd=1.7, df=4))
    both = confirmed_at({"a": comparisons[0]}, knowledge, screened={}, earlier=comparisons[1:])["a"]
    variance = (4 * 1.7**2 + 8.0 + 4.5 + 0.0) / (4 + 2 + 1 + 1)
    assert both.estimate.df == 8
    assert both.estimate.se == pytest.approx(math.sqrt(variance * (1 / 2 + 1 / 3 - 0.08 / 3)))


def test_the_whole_confirmation_keeps_its_level_without_effects() -> None:
    """From runs to rejections; the true noise is 1.4 or twice that, which no prior foresees."""
    random = np.random.default_rng(8)
    knowledge = Knowledge(noise=NoisePrior(sd=1.7, df=4))
    rounds, false = 3000, 0
    for _ in range(rounds):
        noise = random.normal(size=(4, 5)) * random.choice([1.4, 2.8])
        false += bool(confirmed_without_effect(noise, knowledge).rejected)
    assert false / rounds <= 0.10 + 2 * math.sqrt(0.1 * 0.9 / rounds)
    assert false > 0


def confirmed_without_effect(noise: np.ndarray, knowledge: Knowledge) -> Looks:
    """Three looks at three candidates; row 0 is the baseline's luck by seed."""
    looks = Looks(plan=THREE)
    last: dict[str, Comparison] = {}
    while looks.open:
        look = looks.taken + 1
        baseline = {slot: noise[0, slot] for slot in baseline_slots(look)}
        now = {
            name: Comparison(
                variant={slot: noise[1 + "abc".index(name), slot] for slot in candidate_slots(look)},
                baseline=baseline,
                protocol="medium",
            )
            for name in looks.open
        }
        earlier = [each for name, each in last.items() if name not in now]
        confirmed = confirmed_at(now, knowledge, screened={}, earlier=earlier)
        last.update(now)
        looks = take_look(looks, {name: each.reading for name, each in confirmed.items()})
    return looks


def test_a_reading_counts_the_smallest_effect_of_interest() -> None:
    comparison = Comparison(variant={1: 6.0, 2: 6.5}, baseline={1: 0.0, 2: 0.5, 3: 0.2}, protocol="medium")
    knowledge = Knowledge(noise=NoisePrior(sd=1.0, df=4))
    confirmed = confirmed_at({"a": comparison}, knowledge, screened={})["a"]
    assert confirmed.reading.probability == confirmed.posterior.at_least(1.0) > 0.99
    assert confirmed.reading.p == confirmed.estimate.p < 0.01


def test_slot_0_steers_and_never_judges() -> None:
    comparison = Comparison(variant={1: 2.0}, baseline={1: 0.0, 2: 0.5}, protocol="medium")
    knowledge = Knowledge(noise=NoisePrior(sd=1.7, df=4))
    poor, good = (
        confirmed_at({"a": comparison}, knowledge, screened={"a": [Reading(value=value, sd=2.0)]})["a"]
        for value in (-3.0, 6.0)
    )
    assert poor.reading.probability < 0.30 < good.reading.probability
    assert poor.estimate == good.estimate
    assert poor.posterior.mean == good.posterior.mean
