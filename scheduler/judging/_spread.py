"""How far do runs of one config lie apart, and how well is that known from few of them?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from policies._distributions import t_upper_quantile, t_upper_tail


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A metric over the runs of one config."""

    n: int
    mean: float
    #: sample standard deviation (n - 1); None for one run
    sd: float | None
    minimum: float
    maximum: float

    @property
    def cv(self) -> float | None:
        """Coefficient of variation, sd / |mean|; None where one of them says nothing."""
        return None if self.sd is None or self.mean == 0 else self.sd / abs(self.mean)


def spread(values: Sequence[float]) -> Spread | None:
    """The spread of `values`; None when there are none."""
    if not values:
        return None
    return Spread(
        n=len(values),
        mean=statistics.fmean(values),
        sd=statistics.stdev(values) if len(values) > 1 else None,
        minimum=min(values),
        maximum=max(values),
    )


def prediction_interval(found: Spread, confidence: float = 0.95) -> tuple[float, float] | None:
    """Where one new run will lie: mean +- t_{n-1} * sd * sqrt(1 + 1/n). None for one run."""
    if found.sd is None:
        return None
    quantile = t_upper_quantile((1.0 - confidence) / 2.0, found.n - 1)
    half = quantile * found.sd * math.sqrt(1.0 + 1.0 / found.n)
    return found.mean - half, found.mean + half


def sd_factors(n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The true sd lies between these multiples of one measured on `n` runs, if these are normal.

    Three runs give x0.52 and x6.3.
    """
    from scipy.special import gammaincinv

    df = n - 1
    tail = (1.0 - confidence) / 2.0
    low, high = (2.0 * float(gammaincinv(df / 2.0, p)) for p in (tail, 1.0 - tail))
    return math.sqrt(df / high), math.sqrt(df / low)


#: steps of the midpoint rule along each variance; the chance is then right to three digits
_STEPS = 200


def chance_of_large_effect(n_first: int, n_second: int, size: float = 0.8) -> float:
    """P(|Cohen's d| >= size) between `n_first` and `n_second` runs when nothing differs.

    d is over sqrt((s1^2 + s2^2) / 2), each of at least two runs.
    """
    import numpy as np
    from scipy.special import gammaincinv, ndtr

    p = (np.arange(_STEPS) + 0.5) / _STEPS
    first, second = (2.0 * gammaincinv((n - 1) / 2.0, p) / (n - 1) for n in (n_first, n_second))
    pooled = np.sqrt((first[:, None] + second[None, :]) / 2.0)
    return float(np.mean(2.0 * ndtr(-size * pooled / math.sqrt(1.0 / n_first + 1.0 / n_second))))


def chance_of_sigmas(n_baseline: int, n_experiment: int, sigmas: float = 2.0) -> float:
    """P(the means lie at least `sigmas` baseline sd apart) when nothing differs."""
    return 2.0 * t_upper_tail(sigmas / math.sqrt(1.0 / n_baseline + 1.0 / n_experiment), n_baseline - 1)
