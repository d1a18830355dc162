"""How noisy is one run? A variance moderated by what the ledger knows of other tasks (Smyth 2004).

The sd of two or three runs is itself known within a factor of six, so it is never used raw. All numbers are
in units of the objective's `min_effect`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from policies._distributions import digamma, trigamma
from policies.evidence import Objective

#: runs of a stage that screens are noisier than those of later ones
Kind = Literal["quick", "medium"]
#: share of examples on which two runs disagree, where no scores tell it
DEFAULT_DISCORDANCE = 0.10
#: tasks the ledger must hold before its fit replaces the cold start: with fewer, d0 is anyone's guess
MIN_TASKS_TO_FIT = 10
#: what a ledger may be worth at most: a task may always be noisier than all before it, and its runs must tell
MAX_PRIOR_DF = 8.0
#: seeds from which a baseline alone tells the noise of a task
MIN_SEEDS_FOR_SD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Within-config sum of squares and its degrees of freedom, over the replicated configs of a task."""

    ss: float = 0.0
    df: int = 0

    def __add__(self, other: Spread) -> Spread:
        return Spread(ss=self.ss + other.ss, df=self.df + other.df)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisePrior:
    """What is expected of a task's single-run variance before its runs are seen."""

    #: s0, the typical sd of one run
    sd: float
    #: d0, how many degrees of freedom that expectation is worth; 0 when the task's own runs must tell all
    df: float
    #: whether it was measured in the objective's unit, and not scaled from another one
    is_measured: bool = True

    def __post_init__(self) -> None:
        if not self.sd > 0:
            raise ValueError(f"no run is free of noise: a prior sd must be positive (found {self.sd!r})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """The single-run variance in force, and how well it is known."""

    variance: float
    df: float
    is_measured: bool = True

    @property
    def sd(self) -> float:
        return math.sqrt(self.variance)


#: sd of one run in pp by stage, from 446 runs of a real ledger; any later stage is taken as medium
COLD_START = {
    "quick": NoisePrior(sd=2.2, df=4.0),
    "medium": NoisePrior(sd=1.7, df=4.0),
}


def noise_kind(stage: str, screening: str, confirming: str) -> Kind:
    """Whether a stage is as noisy as quick ones are. Where one stage does both, its name tells."""
    is_quick = stage == screening and (screening != confirming or stage == "quick")
    return "quick" if is_quick else "medium"


def spread_of(runs_by_config: Iterable[Mapping[int, float]]) -> Spread:
    """The pooled spread of configs whose values are given by seed, so that no seed counts twice."""
    total = Spread()
    for by_seed in runs_by_config:
        if len(by_seed) > 1:
            mean = statistics.fmean(by_seed.values())
            ss = math.fsum((value - mean) ** 2 for value in by_seed.values())
            total += Spread(ss=ss, df=len(by_seed) - 1)
    return total


def noise_prior(
    stage: str,
    objective: Objective,
    *,
    fitted: NoisePrior | None = None,
    baseline: Mapping[int, float] | None = None,
) -> NoisePrior:
    """The prior of a stage: the ledger's fit, else the cold start.

    In a unit other than pp nothing is known beforehand: three or more baseline seeds give the sd, at no
    degrees of freedom of its own since those seeds also enter the spread; without them `is_measured` is
    False, and no verdict may rest on it.
    """
    if fitted is not None:
        return fitted
    start = COLD_START["quick" if stage == "quick" else "medium"]
    if objective.unit == "pp":
        # scaled with min_effect like every constant, but a wish for finer effects makes no run less noisy
        return NoisePrior(sd=start.sd * max(1.0, 1.0 / objective.min_effect), df=start.df)
    if baseline is not None and len(baseline) >= MIN_SEEDS_FOR_SD and len(set(baseline.values())) > 1:
        return NoisePrior(sd=statistics.stdev(baseline.values()), df=0.0)
    return NoisePrior(sd=start.sd, df=start.df, is_measured=False)


def eval_variance(
    objective: Objective, examples: int | None, discordance: float = DEFAULT_DISCORDANCE
) -> float:
    """The share of a single run's variance that the evaluation set alone causes: psi / (2 n).

    `examples` counts independent ones: clusters, where examples share a document or a grid. Zero where the
    metric is no share of examples, or their number is unknown.
    """
    if objective.unit != "pp" or not examples:
        return 0.0
    return discordance / (2.0 * examples) * (objective.scale / objective.min_effect) ** 2


def moderated(spread: Spread, prior: NoisePrior, floor: float = 0.0) -> Noise:
    """`(d0 s0^2 + SS) / (d0 + df)` with `s0^2 >= floor`.

    Where that is nothing, because no run was repeated or all repeated runs tie, the noise is not zero but
    unknown: the prior's sd at no degrees of freedom.
    """
    expected = max(prior.sd**2, floor)
    if math.isinf(prior.df):
        return Noise(variance=expected, df=math.inf, is_measured=prior.is_measured)
    weighed = prior.df * expected + spread.ss
    if weighed == 0:
        return Noise(variance=expected, df=0.0, is_measured=prior.is_measured)
    df = prior.df + spread.df
    return Noise(variance=max(weighed / df, floor), df=df, is_measured=prior.is_measured)


def fit_noise(spreads: Sequence[Spread]) -> NoisePrior | None:
    """s0 and d0 over the tasks of a ledger, by the method of moments on log s^2; None for too few tasks.

    d0 is never more than all the degrees of freedom it was learnt from, nor than MAX_PRIOR_DF.
    """
    known = [spread for spread in spreads if spread.df > 0 and spread.ss > 0]
    if len(known) < MIN_TASKS_TO_FIT:
        return None
    variance, df = fit_scaled_f([each.ss / each.df for each in known], [each.df for each in known])
    return NoisePrior(sd=math.sqrt(variance), df=min(df, MAX_PRIOR_DF, float(sum(each.df for each in known))))


def quick_from_medium(medium: NoisePrior) -> NoisePrior:
    """What a ledger of medium runs tells of quick, where quick repeats too few seeds to be fitted."""
    ratio = COLD_START["quick"].sd / COLD_START["medium"].sd
    return NoisePrior(sd=medium.sd * ratio, df=medium.df, is_measured=medium.is_measured)


def fit_scaled_f(variances: Sequence[float], dfs: Sequence[float]) -> tuple[float, float]:
    """(s0^2, d0) such that s^2 ~ s0^2 F(df, d0). d0 is infinite when the variances differ by chance alone."""
    centred = [
        math.log(variance) - digamma(df / 2) + math.log(df / 2)
        for variance, df in zip(variances, dfs, strict=True)
    ]
    mean = statistics.fmean(centred)
    excess = statistics.variance(centred) - statistics.fmean(trigamma(df / 2) for df in dfs)
    if excess <= 0:
        return math.exp(mean), math.inf
    d0 = 2.0 * trigamma_inverse(excess)
    return math.exp(mean + digamma(d0 / 2) - math.log(d0 / 2)), d0


def trigamma_inverse(y: float) -> float:
    """The x > 0 with trigamma(x) = y, by bisection on log x: trigamma falls from infinity to 0."""
    if not y > 0:
        raise ValueError(f"trigamma takes positive values only (found {y!r})")
    low, high = -20.0, 20.0
    for _ in range(80):
        middle = (low + high) / 2
        if trigamma(math.exp(middle)) > y:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)
