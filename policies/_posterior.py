"""What is the effect, given what was measured and what effects usually are? A distribution on a grid.

In units of the objective's `min_effect`. The mean is the shrunk gain, always told beside the raw one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from policies._delta import Estimate
from policies._distributions import t_upper_quantile
from policies._effect_prior import DEFAULT_PRIOR, EffectPrior, Reading

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

GRID_LOW, GRID_HIGH, GRID_STEP = -12.0, 14.0, 0.1
#: degrees of freedom from which a standard error is taken at its word: those of the cold start alone
USUAL_DF = 4.0
#: a density of zero has no logarithm
SMALLEST = 1e-300
#: a quick run shows 0.7 of the effect at medium, give or take 1.0
QUICK_SLOPE = 0.7
QUICK_MISMATCH_SD = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posterior:
    """The probability of each effect on the grid; each point stands for a cell of one step."""

    weights: Floats

    @property
    def mean(self) -> float:
        """The shrunk gain."""
        return float(self.weights @ _grid())

    def at_least(self, effect: float) -> float:
        """P(effect >= `effect`)."""
        return float(self.weights @ _cells_from(effect))

    def within(self, bound: float) -> float:
        """P(abs effect < `bound`)."""
        return self.at_least(-bound) - self.at_least(bound)

    def interval(self, confidence: float = 0.90) -> tuple[float, float]:
        """The central interval of that probability."""
        import numpy as np

        edges = np.append(_grid() - GRID_STEP / 2, GRID_HIGH + GRID_STEP / 2)
        below = np.append(0.0, np.cumsum(self.weights))
        tail = (1.0 - confidence) / 2
        low, high = np.interp([tail, 1.0 - tail], below, edges)
        return float(low), float(high)


def quick_reading(estimate: Estimate) -> Reading:
    """What a delta at quick tells of the effect at medium."""
    return Reading(value=estimate.delta, sd=math.hypot(_sd(estimate), QUICK_MISMATCH_SD), slope=QUICK_SLOPE)


def medium_reading(estimate: Estimate) -> Reading:
    """What a delta at medium tells of the effect."""
    return Reading(value=estimate.delta, sd=_sd(estimate))


def posterior(readings: Sequence[Reading], prior: EffectPrior = DEFAULT_PRIOR) -> Posterior:
    """The effect given independent readings; the prior itself when there are none."""
    return _posterior(tuple(readings), prior)


@functools.lru_cache(maxsize=16384)
def chance_of(
    readings: tuple[Reading, ...], prior: EffectPrior = DEFAULT_PRIOR, effect: float = 1.0
) -> float:
    """P(effect >= min_effect) given independent readings. Kept, since all variants are ranked by it."""
    return posterior(readings, prior).at_least(1.0)


@functools.lru_cache(maxsize=1024)
def _posterior(readings: tuple[Reading, ...], prior: EffectPrior) -> Posterior:
    """Kept, since a plan is asked again and again with the same readings."""
    import numpy as np

    grid = _grid()
    log_weights = _log_prior(prior)
    for each in readings:
        log_weights = log_weights - 0.5 * ((each.value - each.slope * grid) / each.sd) ** 2
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    weights.flags.writeable = False
    return Posterior(weights=weights)


def _sd(estimate: Estimate) -> float:
    """The standard error, wider by as much as its t is wider than that of the cold start."""
    return estimate.se if estimate.df >= USUAL_DF else estimate.se * _widening(max(estimate.df, 1.0))


@functools.lru_cache(maxsize=256)
def _widening(df: float) -> float:
    return t_upper_quantile(0.05, df) / t_upper_quantile(0.05, USUAL_DF)


@functools.cache
def _grid() -> Floats:
    import numpy as np

    return np.linspace(GRID_LOW, GRID_HIGH, round((GRID_HIGH - GRID_LOW) / GRID_STEP) + 1)


@functools.lru_cache(maxsize=64)
def _cells_from(effect: float) -> Floats:
    """How much of each cell lies at or above `effect`."""
    import numpy as np

    return np.asarray(np.clip((_grid() - effect) / GRID_STEP + 0.5, 0.0, 1.0))


@functools.lru_cache(maxsize=64)
def _log_prior(prior: EffectPrior) -> Floats:
    """Each part carries its weight on the grid, also where its tail is cut off; none if it lies beyond."""
    import numpy as np

    total = np.zeros_like(_grid())
    for part in prior.parts:
        density = np.exp(-0.5 * ((_grid() - part.mean) / part.sd) ** 2)
        total += part.weight * density / max(density.sum(), SMALLEST)
    return np.asarray(np.log(np.maximum(total, SMALLEST)))
