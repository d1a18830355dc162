"""What a task can find is told as it would come out, and a guess is not passed off as a measurement."""

from __future__ import annotations

import math
import random
import statistics
from typing import Any

import pytest

from policies import make_policy
from policies._assessment import Ledger
from policies._delta import SeedCorrelation
from policies._distributions import t_upper_quantile
from policies._planning import Design
from policies._prospects import (
    delta_sd,
    evaluation_set,
    finds,
    known_noise,
    passes_by_chance,
)
from policies._variance import NoisePrior
from policies.evidence import Objective

PP = Objective()
NATS = Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01)
ON_FIVE = dict(enumerate((0.50, 0.51, 0.52, 0.49, 0.53)))


def found(looks: int = 3, variants: int = 6, examples: int | None = 5000, **options: Any) -> Any:
    return finds(
        make_policy("screen_confirm", {"looks": looks, **options}),
        PP,
        known_noise("medium", PP, Ledger()),
        ledger=Ledger(),
        examples=examples,
        variants=variants,
    )


def test_without_a_ledger_the_noise_is_the_cold_start_and_known_as_a_guess() -> None:
    noise = known_noise("medium", PP, Ledger())
    assert (noise.prior.sd, noise.own_runs, noise.is_fitted) == (1.7, 0, False)
    assert known_noise("quick", PP, Ledger()).prior.sd == 2.2


def test_past_tasks_replace_the_cold_start() -> None:
    noise = known_noise("medium", PP, Ledger(medium=NoisePrior(sd=0.8, df=6.0)))
    assert (noise.prior.sd, noise.is_fitted) == (0.8, True)


def test_stored_runs_of_the_baseline_tell_its_noise_moderated_by_what_is_expected() -> None:
    noise = known_noise("medium", PP, Ledger(), ON_FIVE)
    own = statistics.variance(100 * value for value in ON_FIVE.values())
    assert noise.own_runs == 5
    assert noise.prior.sd == pytest.approx(math.sqrt((4 * 1.7**2 + 4 * own) / 8))


def test_in_another_unit_nothing_is_known_before_three_runs() -> None:
    assert not known_noise("medium", NATS, Ledger()).is_known
    assert not known_noise("medium", NATS, Ledger(), {0: 2.50, 1: 2.51}).is_known
    noise = known_noise("medium", NATS, Ledger(), {0: 2.50, 1: 2.51, 2: 2.52})
    assert noise.is_known
    assert noise.prior.sd * NATS.min_effect == pytest.approx(0.01)


def test_the_smallest_effect_grows_with_the_candidates_and_shrinks_with_the_looks() -> None:
    three = found()
    assert three.most_candidates == 4
    assert three.smallest < three.smallest_among_most
    assert found(looks=5).smallest < three.smallest
    assert found(variants=1).smallest == found(variants=1).smallest_among_most


def test_what_is_told_to_be_found_is_found_four_times_in_five() -> None:
    """At the last look, in a task of the expected noise: three fresh seeds, four of the baseline."""
    told = found(looks=3, variants=1)
    design = Design(noise=NoisePrior(sd=1.7, df=4.0))
    chance = random.Random(1)
    threshold, hits, rounds = t_upper_quantile(design.level, 9.0), 0, 4000
    for _ in range(rounds):
        ours = [told.smallest + chance.gauss(0.0, 1.7) for _ in range(3)]
        theirs = [chance.gauss(0.0, 1.7) for _ in range(4)]
        ss = 2 * statistics.variance(ours) + 3 * statistics.variance(theirs)
        variance = (4 * 1.7**2 + ss) / 9
        delta = statistics.fmean(ours) - statistics.fmean(theirs)
        hits += delta / math.sqrt(variance * (1 / 3 + 1 / 4)) > threshold
    assert hits / rounds == pytest.approx(0.80, abs=0.06)


def test_the_seeds_are_told_for_small_and_large_effects() -> None:
    seeds = found().seeds
    assert list(seeds) == [1.0, 2.0, 3.0, 5.0]
    assert seeds[1.0] > seeds[2.0] > seeds[3.0] >= seeds[5.0]
    assert found().needed == seeds[1.0]


def test_a_policy_that_looks_at_no_fresh_seeds_can_find_nothing() -> None:
    noise = known_noise("medium", PP, Ledger())
    policy = make_policy("threshold", {"min_delta": 0.3})
    assert finds(policy, PP, noise, ledger=Ledger(), examples=None, variants=3) is None


@pytest.mark.parametrize(
    ("examples", "floor", "is_limiting"), [(48, 4.56, True), (250, 2.0, False), (249, 2.004, True)]
)
def test_a_small_evaluation_set_says_how_many_examples_it_lacks(
    examples: int, floor: float, is_limiting: bool
) -> None:
    told = evaluation_set(PP, examples)
    assert told.floor == pytest.approx(floor, abs=0.01)
    assert (told.is_limiting, told.examples_wanted) == (is_limiting, 250)


def test_an_effect_of_nothing_passes_a_threshold_of_nothing_every_other_time() -> None:
    noise = known_noise("quick", PP, Ledger())
    assert delta_sd(noise, PP) == pytest.approx(2.2 * math.sqrt(2))
    assert delta_sd(noise, PP, seeds=4) == pytest.approx(delta_sd(noise, PP) / 2)
    assert passes_by_chance(0.0, 3.0) == 0.5
    assert passes_by_chance(3.0, 3.0) == pytest.approx(0.159, abs=1e-3)


def test_more_stored_runs_than_the_looks_read_make_a_round_find_more() -> None:
    few, many = (
        finds(
            make_policy("screen_confirm", {}),
            PP,
            known_noise("medium", PP, Ledger(), {s: 0.5 + 0.01 * (-1) ** s for s in range(n)}),
            ledger=Ledger(correlation=SeedCorrelation()),
            examples=5000,
            variants=1,
        )
        for n in (4, 20)
    )
    assert few is not None
    assert many is not None
    assert many.smallest < few.smallest
