"""What can a round find at all? The floor of an evaluation set, the smallest effect, the seeds it needs.

Power is that of the last declared look alone: earlier looks add a little, screening takes some away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from policies._delta import SeedCorrelation
from policies._distributions import noncentral_t_upper_tail, t_upper_quantile
from policies._looks import SAFE_SHARE
from policies._variance import DEFAULT_DISCORDANCE, NoisePrior, eval_variance
from policies.evidence import Objective, Observation

USUAL_POWER = 0.80
#: an evaluation set whose own error exceeds so many min_effects decides nothing
LIMITING_FLOOR = 2.0
#: more seeds an arm than anyone runs
MOST_SEEDS = 1000
#: no effect is looked for beyond it, in units of min_effect
LARGEST_EFFECT = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A confirmation as it would be declared; effects and sd in units of min_effect."""

    noise: NoisePrior
    floor: float = 0.0
    candidates: int = 1
    looks: int = 3
    alpha: float = 0.10
    correlation: SeedCorrelation = field(default_factory=SeedCorrelation)

    @property
    def level(self) -> float:
        """What one candidate may spend at the last look."""
        return self.alpha * SAFE_SHARE[self.looks] / self.candidates


def independent_examples(run: Observation | None, declared: int | None) -> int | None:
    """What an evaluation set is worth: clusters where a run or the check of a spec tells them, else examples.

    `declared` is what was known before anything ran. The smaller number holds where both tell one.
    """
    told = [declared] if run is None else [run.n_clusters or run.n_eval, declared]
    return min((each for each in told if each), default=None)


def eval_floor(objective: Objective, examples: int | None, discordance: float = DEFAULT_DISCORDANCE) -> float:
    """The standard error of a paired delta from the evaluation set alone, in the objective's unit."""
    return math.sqrt(2.0 * eval_variance(objective, examples, discordance)) * objective.min_effect


def is_eval_limited(
    objective: Objective, examples: int | None, discordance: float = DEFAULT_DISCORDANCE
) -> bool:
    """Whether the evaluation set is too small for any verdict better than SUGGESTIVE."""
    return eval_floor(objective, examples, discordance) > LIMITING_FLOOR * objective.min_effect


def power(effect: float, seeds: int, design: Design) -> float:
    """The chance that a candidate of that effect is declared at the last look, with `seeds` fresh seeds."""
    df = _df(seeds, design)
    if df <= 0:
        return 0.0
    threshold = t_upper_quantile(design.level, df)
    return noncentral_t_upper_tail(threshold, df, effect / _se(seeds, design))


def smallest_effect(seeds: int, design: Design, wanted: float = USUAL_POWER) -> float:
    """The smallest effect found with the power wanted, in units of min_effect; infinite if there is none."""
    if power(LARGEST_EFFECT, seeds, design) < wanted:
        return math.inf
    low, high = 0.0, LARGEST_EFFECT
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, seeds, design) >= wanted else (middle, high)
    return high


def seeds_needed(effect: float, design: Design, wanted: float = USUAL_POWER) -> int | None:
    """The fewest fresh seeds a candidate needs for that power; None for more than anyone runs."""
    if effect <= 0 or power(effect, MOST_SEEDS, design) < wanted:
        return None
    low, high = 0, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, middle, design) >= wanted else (middle, high)
    return high


def more_seeds(effect: float, done: int, design: Design) -> int | None:
    """Further fresh seeds that would likely settle an effect of that size; at least one."""
    needed = seeds_needed(effect, replace(design, candidates=1))
    return None if needed is None else max(1, needed - done)


def _df(seeds: int, design: Design) -> float:
    """Of the noise prior, the candidate's seeds and the baseline's, which are one more."""
    return design.noise.df + (seeds - 1) + seeds


def _se(seeds: int, design: Design) -> float:
    variance = max(design.noise.sd**2, design.floor)
    shared = 2.0 * design.correlation.theta * design.correlation.rho
    return math.sqrt(variance * (1.0 / seeds + (1.0 - shared) / (seeds + 1)))
