"""What a round cannot find is told before it runs."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies._distributions import noncentral_t_upper_tail, t_upper_quantile
from policies._planning import (
    Design,
    eval_floor,
    is_eval_limited,
    more_seeds,
    power,
    seeds_needed,
    smallest_effect,
)
from policies._variance import NoisePrior
from policies.evidence import Objective

PP = Objective()
DESIGN = Design(noise=NoisePrior(sd=1.7, df=4))


@pytest.mark.parametrize(
    ("examples", "floor_pp"), [(24, 6.5), (128, 2.8), (256, 2.0), (1000, 1.0), (5000, 0.4)]
)
def test_the_floor_of_an_evaluation_set_is_as_published(examples: int, floor_pp: float) -> None:
    assert eval_floor(PP, examples) == pytest.approx(floor_pp, abs=0.05)


@pytest.mark.parametrize(
    ("objective", "examples", "is_limited"),
    [
        (PP, 249, True),
        (PP, 251, False),
        (Objective(min_effect=4.0), 24, False),
        (PP, None, False),
        (Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01), 3, False),
    ],
)
def test_a_small_evaluation_set_is_told_at_acceptance(
    objective: Objective, examples: int | None, is_limited: bool
) -> None:
    assert is_eval_limited(objective, examples) is is_limited


def test_power_is_that_of_the_noncentral_t() -> None:
    # 3 seeds against 4 at sd 1.7: df = 4 + 2 + 3, level .10 * .42
    se = 1.7 * math.sqrt(1 / 3 + (1 - 0.08) / 4)
    threshold = t_upper_quantile(0.042, 9)
    assert power(4.0, 3, DESIGN) == pytest.approx(noncentral_t_upper_tail(threshold, 9, 4.0 / se))


def test_with_many_seeds_power_is_that_of_the_normal() -> None:
    # n per arm = 2 (z_a + z_b)^2 sd^2 / effect^2 without the seed correction: z_.10 = 1.2816, z_.80 = .8416
    design = Design(noise=NoisePrior(sd=2.0, df=math.inf), looks=1)
    needed = seeds_needed(0.5, design)
    textbook = 2 * (1.2816 + 0.8416) ** 2 * 4.0 / 0.25
    assert needed is not None
    assert needed == pytest.approx(textbook, rel=0.05)


def test_power_without_an_effect_is_the_level() -> None:
    assert power(0.0, 3, DESIGN) == pytest.approx(0.042)
    assert power(0.0, 3, Design(noise=DESIGN.noise, candidates=4)) == pytest.approx(0.0105)


@pytest.mark.parametrize("sd", [1.5, 2.0])
def test_effects_below_three_points_need_eight_to_a_hundred_seeds(sd: float) -> None:
    design = Design(noise=NoisePrior(sd=sd, df=4), candidates=2)
    for effect, low, high in ((2.0, 4, 25), (1.0, 20, 100)):
        needed = seeds_needed(effect, design)
        assert needed is not None
        assert low <= needed <= high


@given(st.floats(0.3, 8), st.integers(1, 4))
def test_the_seeds_needed_are_the_fewest_that_do(effect: float, candidates: int) -> None:
    design = Design(noise=NoisePrior(sd=1.7, df=4), candidates=candidates)
    needed = seeds_needed(effect, design)
    assert needed is not None
    assert power(effect, needed, design) >= 0.8
    assert needed == 1 or power(effect, needed - 1, design) < 0.8


@given(st.integers(1, 40))
def test_the_smallest_effect_is_found_with_the_power_wanted(seeds: int) -> None:
    effect = smallest_effect(seeds, DESIGN)
    assert power(effect, seeds, DESIGN) == pytest.approx(0.8, abs=1e-6)
    assert smallest_effect(seeds + 1, DESIGN) < effect


def test_a_wider_floor_hides_more() -> None:
    wide = Design(noise=DESIGN.noise, floor=9.0)
    assert smallest_effect(3, wide) > smallest_effect(3, DESIGN)


def test_noise_nobody_knows_finds_nothing() -> None:
    unknown = Design(noise=NoisePrior(sd=1.0, df=-1.0))
    assert power(100.0, 1, unknown) == 0.0
    assert smallest_effect(1, unknown) == math.inf


@pytest.mark.parametrize("effect", [0.0, -1.0, 0.001])
def test_an_effect_no_seeds_can_show_needs_no_number(effect: float) -> None:
    assert seeds_needed(effect, DESIGN) is None
    assert more_seeds(effect, 3, DESIGN) is None


def test_the_further_seeds_are_those_beyond_the_ones_done() -> None:
    needed = seeds_needed(1.5, DESIGN)
    assert needed is not None
    assert more_seeds(1.5, 3, DESIGN) == needed - 3
    assert more_seeds(50.0, 3, DESIGN) == 1


def test_a_decision_loads_no_more_of_scipy_than_it_needs() -> None:
    program = (
        "import sys\n"
        "from policies._planning import Design, smallest_effect\n"
        "from policies._posterior import posterior\n"
        "from policies._variance import NoisePrior\n"
        "assert not {'numpy', 'scipy'} & set(sys.modules)\n"
        "smallest_effect(3, Design(noise=NoisePrior(sd=1.7, df=4)))\n"
        "posterior([]).mean\n"
        "assert 'scipy.special' in sys.modules\n"
        "assert 'scipy.stats' not in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
