"""Is another fresh seed of a candidate worth its time? By the winners it may bring, per medium run."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from policies._distributions import normal_upper_tail, t_upper_quantile, t_upper_tail
from policies._effect_prior import EffectPrior, Reading
from policies._posterior import posterior
from policies._race_level import SEEDS, SHARE

#: in units of min_effect: what a winner must show, and what is worth finding
LEAST_WINNING_DELTA = 0.5
WORTH_FINDING = 2.0
#: the effects that the index sums over are this far apart
STEP = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class MediumNoise:
    """The noise of fresh runs at medium, in units of min_effect."""

    #: s2, of a single run, and its degrees of freedom
    variance: float
    df: float
    #: sx2, what the examples of the evaluation set add to every delta, however many seeds
    interaction: float
    baseline_seeds: int = SEEDS
    is_measured: bool = True

    def se(self, seeds: int) -> float:
        """SE(r), of the delta between so many fresh seeds of a candidate and the baseline's."""
        return math.sqrt(self.variance * (1.0 / seeds + 1.0 / self.baseline_seeds) + self.interaction)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A candidate as it stands: what screened it, and its fresh seeds."""

    screened: tuple[Reading, ...]
    #: r, and the mean of their deltas to the baseline's mean
    seeds: int = 0
    delta: float = 0.0

    def readings(self, noise: MediumNoise) -> tuple[Reading, ...]:
        """All that is known of the effect. It steers, and never decides."""
        if not self.seeds:
            return self.screened
        return (*self.screened, Reading(value=self.delta, sd=noise.se(self.seeds)))

    def p(self, noise: MediumNoise) -> float:
        """Of its fresh seeds alone, one-sided; 1 where there is none, or the noise is a guess."""
        if not self.seeds or noise.df <= 0 or not noise.is_measured:
            return 1.0
        return t_upper_tail(self.delta / noise.se(self.seeds), noise.df)

    def wins(self, noise: MediumNoise, alpha: float) -> bool:
        """Whether a look at it now declares it."""
        return self.p(noise) <= SHARE * alpha and self.delta >= LEAST_WINNING_DELTA


def index(runner: Runner, noise: MediumNoise, alpha: float, effects: EffectPrior) -> float:
    """The most that 1 to so many further seeds may bring, in winners worth finding per medium run.

    For k further seeds: the mean that they would have to show for a look to declare the candidate, the chance
    of that for each effect worth finding, and how likely the effect is.
    """
    if noise.df <= 0 or not noise.is_measured:
        return math.inf  # nothing can be declared yet; the baseline's seeds will tell the noise
    likely = _worth_finding(runner.readings(noise), effects)
    rates = [
        sum(weight * _chance(effect, runner, k, noise, alpha) for effect, weight in likely) / k
        for k in range(1, SEEDS - runner.seeds + 1)
    ]
    return max(rates, default=0.0)


def _chance(effect: float, runner: Runner, k: int, noise: MediumNoise, alpha: float) -> float:
    """That k further seeds of a candidate of that effect lead to a winner."""
    seeds = runner.seeds + k
    least = max(LEAST_WINNING_DELTA, _critical(alpha, noise.df) * noise.se(seeds))
    need = (seeds * least - runner.seeds * runner.delta) / k
    return normal_upper_tail((need - effect) / math.sqrt(noise.variance / k))


@functools.lru_cache(maxsize=4096)
def _critical(alpha: float, df: float) -> float:
    return t_upper_quantile(SHARE * alpha, df)


@functools.lru_cache(maxsize=4096)
def _worth_finding(readings: tuple[Reading, ...], effects: EffectPrior) -> tuple[tuple[float, float], ...]:
    """(effect, its probability) for cells of one STEP from WORTH_FINDING on."""
    known = posterior(readings, effects)
    edges = [WORTH_FINDING + STEP * i for i in range(25)]
    above = [known.at_least(edge) for edge in edges] + [0.0]
    return tuple(
        (edge + STEP / 2, above[i] - above[i + 1]) for i, edge in enumerate(edges) if above[i] > above[i + 1]
    )
