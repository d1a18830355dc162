"""Is a difference more than chance, how large is it, and how much data would show it? On plain numbers.

The only module of the ways of judging that knows scipy and numpy; both are imported at the first call. Every
draw is seeded, so that the same data give the same figures.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from policies._distributions import noncentral_t_upper_tail, t_upper_quantile
from policies._gates import Interval as Interval
from policies._gates import wilson_interval as wilson_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

USUAL_RESAMPLES = 20_000
USUAL_POWER = 0.80
#: arrangements held in memory at a time: 1000 of a few thousand values are some tens of megabytes
_BATCH = 1_000
#: more runs an arm than anyone makes
_MOST_RUNS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PermutationTest:
    """How often chance alone gives a difference as large as the one seen."""

    p: float
    #: arrangements beside the one seen, R in p = (extreme + 1) / (R + 1)
    resamples: int
    #: every arrangement was looked at, and p has no error of its own
    is_exact: bool
    #: the smallest p that data of this size can give, whatever they say
    smallest_p: float


def paired_permutation_test(
    differences: Sequence[float],
    *,
    sides: int = 2,
    resamples: int = USUAL_RESAMPLES,
    seed: int = 0,
) -> PermutationTest | None:
    """The mean of paired differences against zero, by turning signs. None without a pair."""
    if not differences:
        return None
    if len(differences) == 1:
        # scipy asks for two; the one arrangement beside the pair as seen is the pair turned round
        p = 0.5 if sides == 1 and differences[0] > 0 else 1.0
        return _told(p, 2, 2, sides=sides, resamples=resamples)
    arrangements = 2 ** len(differences)
    # a difference of exactly zero is the same under either sign
    distinct = 2 ** sum(difference != 0 for difference in differences)
    tested = _permutation(
        (differences, [0.0] * len(differences)), "samples", sides=sides, resamples=resamples, seed=seed
    )
    return _told(tested, arrangements, distinct, sides=sides, resamples=resamples)


def unpaired_permutation_test(
    baseline: Sequence[float],
    variant: Sequence[float],
    *,
    sides: int = 2,
    resamples: int = USUAL_RESAMPLES,
    seed: int = 0,
) -> PermutationTest | None:
    """The difference of two means, by dealing the values out anew. None when an arm has under two."""
    if min(len(baseline), len(variant)) < 2:
        return None
    arrangements = math.comb(len(baseline) + len(variant), len(variant))
    tested = _permutation((variant, baseline), "independent", sides=sides, resamples=resamples, seed=seed)
    return _told(tested, arrangements, arrangements, sides=sides, resamples=resamples)


def _permutation(
    samples: Sequence[Sequence[float]], kind: str, *, sides: int, resamples: int, seed: int
) -> float:
    import numpy as np
    from scipy.stats import permutation_test

    if sides not in (1, 2):
        raise ValueError(f"sides: must be 1 or 2 (found {sides!r})")
    tested = permutation_test(
        tuple(np.asarray(sample, dtype=float) for sample in samples),
        _difference_of_means,
        permutation_type=kind,
        vectorized=True,
        n_resamples=resamples,
        batch=_BATCH,
        alternative="greater" if sides == 1 else "two-sided",
        rng=np.random.default_rng(seed),
    )
    return float(tested.pvalue)


def _difference_of_means(first: NDArray[np.float64], second: NDArray[np.float64], axis: int = -1) -> Any:
    return first.mean(axis=axis) - second.mean(axis=axis)


def _told(p: float, arrangements: int, distinct: int, *, sides: int, resamples: int) -> PermutationTest:
    is_exact = arrangements <= resamples
    looked_at = arrangements if is_exact else resamples + 1
    return PermutationTest(
        p=p,
        resamples=looked_at - 1,
        is_exact=is_exact,
        smallest_p=min(1.0, sides / min(distinct, looked_at)),
    )


def paired_bootstrap_interval(
    differences: Sequence[float],
    *,
    level: float = 0.95,
    resamples: int = USUAL_RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Percentile bootstrap of the mean of paired differences. None under two of them."""
    if len(differences) < 2:
        return None
    import numpy as np

    return _bootstrap((differences,), np.mean, level=level, resamples=resamples, seed=seed)


def unpaired_bootstrap_interval(
    baseline: Sequence[float],
    variant: Sequence[float],
    *,
    level: float = 0.95,
    resamples: int = USUAL_RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Percentile bootstrap of the difference of two means. None when an arm has under two values."""
    if min(len(baseline), len(variant)) < 2:
        return None
    return _bootstrap((variant, baseline), _difference_of_means, level=level, resamples=resamples, seed=seed)


def _bootstrap(
    samples: Sequence[Sequence[float]], statistic: Any, *, level: float, resamples: int, seed: int
) -> Interval:
    import numpy as np
    from scipy.stats import bootstrap

    found = bootstrap(
        tuple(np.asarray(sample, dtype=float) for sample in samples),
        statistic,
        vectorized=True,
        n_resamples=resamples,
        batch=_BATCH,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(low=float(found.low), high=float(found.high))


def fisher_exact_p(baseline: tuple[int, int], variant: tuple[int, int]) -> float:
    """Two-sided p that two shares are one; each given as (successes, of how many)."""
    from scipy.stats import fisher_exact

    table = [[successes, number - successes] for successes, number in (variant, baseline)]
    return float(fisher_exact(table).pvalue)


def cohens_d(baseline: Sequence[float], variant: Sequence[float]) -> float | None:
    """The difference of two means in pooled standard deviations; None where nothing varies."""
    df = len(baseline) + len(variant) - 2
    if min(len(baseline), len(variant)) < 2:
        return None
    squares = sum(statistics.variance(values) * (len(values) - 1) for values in (baseline, variant))
    if squares <= 0:
        return None
    return (statistics.fmean(variant) - statistics.fmean(baseline)) / math.sqrt(squares / df)


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval | None:
    """Student's interval of a mean; None under two values."""
    if len(values) < 2:
        return None
    mean = statistics.fmean(values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    half = t_upper_quantile((1 - level) / 2, len(values) - 1) * error
    return Interval(low=mean - half, high=mean + half)


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p adjusted for all of them, in the order given; comparable with alpha."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = largest
    return adjusted


def episodes_per_arm(
    share: float, lift: float, *, alpha: float = 0.05, power: float = USUAL_POWER, sides: int = 2
) -> int | None:
    """Cases an arm needs to show that a share rises by `lift`; None where no number shows it.

    The two-proportion z test of Fleiss, Levin and Paik: pooled variance under the null, separate variances
    under the alternative, no correction for continuity.
    """
    other = share + lift
    if lift == 0 or not 0 <= share <= 1 or not 0 <= other <= 1:
        return None
    middle = (share + other) / 2
    normal = statistics.NormalDist()
    under_null = normal.inv_cdf(1 - alpha / sides) * math.sqrt(2 * middle * (1 - middle))
    under_lift = normal.inv_cdf(power) * math.sqrt(share * (1 - share) + other * (1 - other))
    return math.ceil(((under_null + under_lift) / lift) ** 2)


def runs_per_arm(
    effect: float, sd: float, *, alpha: float = 0.05, power: float = USUAL_POWER, sides: int = 2
) -> int | None:
    """Runs an arm needs to show a difference of two means, by the t test; None for more than anyone makes."""
    return _units(effect, sd * math.sqrt(2.0), 2, alpha / sides, power)


def pairs_needed(
    effect: float, sd: float, *, alpha: float = 0.05, power: float = USUAL_POWER, sides: int = 2
) -> int | None:
    """Pairs needed to show a mean difference of sd `sd`, by the t test; None for more than anyone makes."""
    return _units(effect, sd, 1, alpha / sides, power)


def _units(effect: float, sd: float, arms: int, level: float, power: float) -> int | None:
    if effect == 0 or sd <= 0:
        return None

    def is_enough(number: int) -> bool:
        df = arms * (number - 1)
        shift = abs(effect) * math.sqrt(number) / sd
        return noncentral_t_upper_tail(t_upper_quantile(level, df), df, shift) >= power

    if not is_enough(_MOST_RUNS):
        return None
    low, high = 1, _MOST_RUNS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
