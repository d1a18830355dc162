"""Which effects do variants have before they are tried? Mostly none: a spike at zero and four slabs.

In units of the objective's `min_effect`. The shape was read from 446 runs of a real ledger, and is fitted
anew once a ledger of one's own holds enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: confirmed deltas a ledger must hold before the prior is fitted to it
MIN_CONFIRMED_TO_FIT = 50
#: variants that the default shape is worth in a fit: it keeps a slab that nobody hit from vanishing
DEFAULT_WORTH = 20.0
#: no slab may be narrower, or a single delta could claim it
MIN_SLAB_SD = 0.5
FIT_STEPS = 500
#: the fit has settled when no weight, mean or sd moves by more
FIT_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Part:
    """One normal of the mixture."""

    weight: float
    mean: float
    sd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectPrior:
    """A mixture of normals; the first part is the spike of variants that do nothing."""

    parts: tuple[Part, ...] = (
        Part(0.55, 0.0, 0.25),
        Part(0.12, -3.0, 3.0),
        Part(0.15, 0.0, 1.2),
        Part(0.12, 3.0, 1.5),
        Part(0.06, 8.0, 3.0),
    )


DEFAULT_PRIOR = EffectPrior()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What runs tell of one effect: `value` ~ N(slope * effect, sd^2)."""

    value: float
    sd: float
    slope: float = 1.0


def combined(readings: Sequence[Reading]) -> Reading:
    """Several readings of one effect as one of slope 1, which carries all they tell."""
    precision = math.fsum((each.slope / each.sd) ** 2 for each in readings)
    value = math.fsum(each.slope * each.value / each.sd**2 for each in readings) / precision
    return Reading(value=value, sd=1.0 / math.sqrt(precision))


def refit(readings: Sequence[Reading], *, confirmed: int, start: EffectPrior = DEFAULT_PRIOR) -> EffectPrior:
    """The mixture that fits the effects of past variants best, by EM; `start` with fewer than 50 confirmed.

    `readings` hold every variant that was tried, pruned ones by their quick reading: the confirmed alone were
    chosen for looking good, and would make the prior of the next search too rosy. The spike stays where it
    is, only its weight is learnt.
    """
    if confirmed < MIN_CONFIRMED_TO_FIT:
        return start
    import numpy as np

    values, variances = _points(readings)
    first = np.array([[part.weight, part.mean, part.sd] for part in start.parts])
    parts = first
    for _ in range(FIT_STEPS):
        before, parts = parts, _step(parts, values, variances, first)
        if np.abs(parts - before).max() < FIT_TOLERANCE:
            break
    return EffectPrior(parts=tuple(Part(*map(float, row)) for row in parts))


def log_likelihood(prior: EffectPrior, readings: Sequence[Reading]) -> float:
    """How well `prior` predicts the readings."""
    import numpy as np

    parts = np.array([[part.weight, part.mean, part.sd] for part in prior.parts])
    return float(np.log(_densities(parts, *_points(readings)).sum(axis=1)).sum())


def _points(readings: Sequence[Reading]) -> tuple[Floats, Floats]:
    """Values and variances at slope 1, as columns."""
    import numpy as np

    points = [combined([reading]) for reading in readings]
    values = np.array([[point.value] for point in points])
    return values, np.array([[point.sd**2] for point in points])


def _densities(parts: Floats, values: Floats, variances: Floats) -> Floats:
    """Density of each reading (row) were its effect of each part (column), times the part's weight."""
    import numpy as np

    weight, mean, sd = parts.T
    total = sd**2 + variances
    return np.asarray(weight * np.exp(-0.5 * (values - mean) ** 2 / total) / np.sqrt(2.0 * np.pi * total))


def _step(parts: Floats, values: Floats, variances: Floats, first: Floats) -> Floats:
    """One step of EM, with the default shape as so many further variants."""
    import numpy as np

    _, mean, sd = parts.T
    densities = _densities(parts, values, variances)
    shares = densities / densities.sum(axis=1, keepdims=True)
    effects = (mean * variances + values * sd**2) / (sd**2 + variances)
    spreads = sd**2 * variances / (sd**2 + variances)
    first_weight, first_mean, first_sd = first.T
    extra = DEFAULT_WORTH * first_weight
    counts = shares.sum(axis=0) + extra
    means = ((shares * effects).sum(axis=0) + extra * first_mean) / counts
    squares = (shares * (spreads + (effects - means) ** 2)).sum(axis=0)
    squares += extra * (first_sd**2 + (first_mean - means) ** 2)
    sds = np.maximum(MIN_SLAB_SD, np.sqrt(squares / counts))
    fitted = np.column_stack([counts / counts.sum(), means, sds])
    fitted[0, 1:] = first[0, 1:]
    return fitted
