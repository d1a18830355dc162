"""How much better is a variant than the baseline, and how sure is that? From matched runs, by seed.

Estimates are in units of the objective's `min_effect`, positive is better. The sample is the seeds: neither
tokens nor evaluation examples are counted as if they were runs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from policies._distributions import t_upper_quantile, t_upper_tail
from policies._variance import Noise
from policies.evidence import Objective, Observation, UnmatchedError

#: same-seed pairs that a pooled correlation is shrunk by: n / (n + 20)
PAIRS_OF_DOUBT = 20
SCREENING_SLOT = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The gains of both sides by seed, over an arbitrary zero; one protocol, one reading a seed."""

    variant: Mapping[int, float]
    baseline: Mapping[int, float]
    protocol: str
    #: True when the clock ended a run: both sides are read at the last step all of them reached
    is_speed_effect: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedPairs:
    """Sums over same-seed runs, each centred within its task; they pool by addition."""

    products: float = 0.0
    variant_ss: float = 0.0
    baseline_ss: float = 0.0
    pairs: int = 0

    def __add__(self, other: SeedPairs) -> SeedPairs:
        return SeedPairs(
            products=self.products + other.products,
            variant_ss=self.variant_ss + other.variant_ss,
            baseline_ss=self.baseline_ss + other.baseline_ss,
            pairs=self.pairs + other.pairs,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedCorrelation:
    """How much of a baseline's luck with a seed its variants share, and how much of it is corrected for."""

    rho: float = 0.2
    theta: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A delta with its standard error, in units of min_effect."""

    delta: float
    se: float
    df: float
    variant_seeds: int
    baseline_seeds: int
    #: False while the noise is a guess scaled from another unit
    is_measured: bool = True

    @property
    def p(self) -> float:
        """One-sided p of the moderated t; 1 where the noise is unknown, or a guess."""
        if self.df <= 0 or not self.is_measured:
            return 1.0
        return t_upper_tail(self.delta / self.se, self.df)

    def upper_bound(self, confidence: float = 0.95) -> float:
        """The one-sided upper confidence bound of the delta; infinite where the noise is not known."""
        if self.df <= 0 or not self.is_measured:
            return math.inf
        return self.delta + t_upper_quantile(1.0 - confidence, self.df) * self.se


def fresh(runs: Iterable[Observation]) -> tuple[Observation, ...]:
    """The runs that may enter a verdict: those whose seed did not screen."""
    return tuple(run for run in runs if run.slot != SCREENING_SLOT)


def compare(
    objective: Objective, variant: Sequence[Observation], baseline: Sequence[Observation]
) -> Comparison | None:
    """Both sides by seed; None while one of them has no usable run.

    A seed counts once, however often it was run. Raises UnmatchedError when usable runs differ in protocol,
    or in the number of examples they were scored on.
    """
    sides = [_by_seed(variant), _by_seed(baseline)]
    if not all(sides):
        return None
    runs = [run for side in sides for run in side.values()]
    protocols = {run.protocol for run in runs}
    if len(protocols) > 1:
        raise UnmatchedError(
            f"runs of protocols {', '.join(sorted(protocols))} cannot be compared;"
            " run the baseline at the variant's protocol"
        )
    sizes = sorted({run.n_eval for run in runs if run.n_eval is not None})
    if len(sizes) > 1:
        raise UnmatchedError(
            f"runs scored on {' and '.join(map(str, sizes))} examples cannot be compared;"
            " score them on one evaluation set"
        )
    is_speed_effect = any(run.status == "timed_out" for run in runs)
    step = _last_common_step(runs) if is_speed_effect else None
    if is_speed_effect and step is None:
        return None
    values = [
        {seed: objective.gain(_reading(run, step), 0.0) / objective.min_effect for seed, run in side.items()}
        for side in sides
    ]
    return Comparison(
        variant=values[0], baseline=values[1], protocol=protocols.pop(), is_speed_effect=is_speed_effect
    )


def estimate(
    comparison: Comparison, noise: Noise, correlation: SeedCorrelation | None = None
) -> Estimate | None:
    """The delta against the mean of all baseline seeds, a little corrected for the seeds both sides share.

    None when a side is empty.
    """
    variant, baseline = comparison.variant, comparison.baseline
    if not variant or not baseline:
        return None
    correlation = correlation or SeedCorrelation()
    shared = [baseline[seed] for seed in variant if seed in baseline]
    theta = correlation.theta if shared else 0.0
    reference = statistics.fmean(baseline.values())
    if shared:
        reference += theta * (statistics.fmean(shared) - reference)
    runs, references = len(variant), len(baseline)
    factor = 1.0 / runs + 1.0 / references - 2.0 * theta * correlation.rho / references
    return Estimate(
        delta=statistics.fmean(variant.values()) - reference,
        se=math.sqrt(noise.variance * factor),
        df=noise.df,
        variant_seeds=runs,
        baseline_seeds=references,
        is_measured=noise.is_measured,
    )


def pairs_of(comparison: Comparison) -> SeedPairs:
    """The same-seed runs of a comparison, centred; nothing from fewer than two."""
    seeds = sorted(comparison.variant.keys() & comparison.baseline.keys())
    if len(seeds) < 2:
        return SeedPairs()
    ours = _centred([comparison.variant[seed] for seed in seeds])
    theirs = _centred([comparison.baseline[seed] for seed in seeds])
    return SeedPairs(
        products=math.fsum(a * b for a, b in zip(ours, theirs, strict=True)),
        variant_ss=math.fsum(a * a for a in ours),
        baseline_ss=math.fsum(b * b for b in theirs),
        pairs=len(seeds),
    )


def fit_correlation(pairs: SeedPairs) -> SeedCorrelation:
    """The correlation of same-seed runs pooled over a ledger, and the theta it earns: rho n / (n + 20).

    theta lies in 0..1. The cold start when no two seeds were ever shared.
    """
    if pairs.variant_ss == 0 or pairs.baseline_ss == 0:
        return SeedCorrelation()
    rho = pairs.products / math.sqrt(pairs.variant_ss * pairs.baseline_ss)
    theta = min(1.0, max(0.0, rho * pairs.pairs / (pairs.pairs + PAIRS_OF_DOUBT)))
    return SeedCorrelation(rho=rho, theta=theta)


def _by_seed(runs: Sequence[Observation]) -> dict[int, Observation]:
    by_seed: dict[int, Observation] = {}
    for run in runs:
        if run.is_usable:
            by_seed.setdefault(run.seed, run)
    return by_seed


def _last_common_step(runs: Sequence[Observation]) -> int | None:
    common = set.intersection(*({step for step, _ in run.curve} for run in runs))
    return max(common, default=None)


def _reading(run: Observation, step: int | None) -> float:
    """The metric at `step`, or at the run's fixed end: never the best of its evaluations."""
    if step is not None:
        return dict(run.curve)[step]
    assert run.value is not None
    return run.value


def _centred(values: Sequence[float]) -> list[float]:
    mean = statistics.fmean(values)
    return [value - mean for value in values]
