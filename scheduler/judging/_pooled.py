"""What would steps or episodes say if each were independent? Those of one run are not: for comparison."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from scheduler.judging._arms import Arms
from scheduler.judging._tests_of_difference import (
    Interval,
    PermutationTest,
    episodes_per_arm,
    fisher_exact_p,
    unpaired_bootstrap_interval,
    unpaired_permutation_test,
    wilson_interval,
)
from scheduler.judging.evidence import Count, JudgedRun, Sample

#: values dealt out in one comparison: more values get fewer arrangements, so that it takes seconds
_MOST_DEALT = 5_000_000
_LEAST_RESAMPLES = 99


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledShares:
    """Successes of all runs of an arm thrown together, as if every episode were independent."""

    config: str
    #: the rate they make
    rate: str
    baseline: Count
    variant: Count
    #: raw, variant minus baseline
    lift: float
    #: Fisher's exact test, two-sided
    p: float
    baseline_interval: Interval
    variant_interval: Interval
    #: episodes an arm for 80 % power at the lift seen, and at the one planned for
    needed_for_seen: int | None
    needed_for_planned: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledSteps:
    """Reports of all runs of an arm thrown together, as if every step were independent."""

    config: str
    metric: str
    unit: str
    baseline_steps: int
    variant_steps: int
    #: in `unit`, positive is better
    delta: float
    permutation: PermutationTest
    interval: Interval | None


class HasArms(Protocol):
    """A test that was made of two arms."""

    @property
    def arms(self) -> Arms: ...


def total(runs: Iterable[JudgedRun], rate: str) -> Count | None:
    """The counts of `rate` over `runs`; None where none has any."""
    counts = [run.counts[rate] for run in runs if rate in run.counts and run.counts[rate].n]
    if not counts:
        return None
    return Count(successes=sum(each.successes for each in counts), n=sum(each.n for each in counts))


def pooled_shares(sample: Sample, *, alpha: float, lift: float | None) -> Iterator[PooledShares]:
    """Of every rate that an experiment and the baseline both count."""
    rates = dict.fromkeys(rate for run in sample.runs for rate in run.counts)
    for config, runs in sample.experiments.items():
        for rate in rates:
            baseline, variant = total(sample.baseline, rate), total(runs, rate)
            if baseline is not None and variant is not None:
                yield _shares(config, rate, baseline, variant, alpha=alpha, lift=lift)


def _shares(
    config: str, rate: str, baseline: Count, variant: Count, *, alpha: float, lift: float | None
) -> PooledShares:
    share = baseline.successes / baseline.n
    seen = variant.successes / variant.n - share
    return PooledShares(
        config=config,
        rate=rate,
        baseline=baseline,
        variant=variant,
        lift=seen,
        p=fisher_exact_p((baseline.successes, baseline.n), (variant.successes, variant.n)),
        baseline_interval=wilson_interval(baseline.successes, baseline.n),
        variant_interval=wilson_interval(variant.successes, variant.n),
        needed_for_seen=episodes_per_arm(share, seen, alpha=alpha),
        needed_for_planned=None if lift is None else episodes_per_arm(share, lift, alpha=alpha),
    )


def pooled_steps(
    sample: Sample, tests: Sequence[HasArms], *, resamples: int, seed: int
) -> Iterator[PooledSteps]:
    """Of every metric tested that both arms report along their runs."""
    for arms in (test.arms for test in tests):
        baseline = _reports(sample.baseline, arms)
        variant = _reports(sample.experiments[arms.config], arms)
        dealt = max(_LEAST_RESAMPLES, min(resamples, _MOST_DEALT // max(1, len(baseline) + len(variant))))
        tested = unpaired_permutation_test(baseline, variant, resamples=dealt, seed=seed)
        if tested is not None:
            yield PooledSteps(
                config=arms.config,
                metric=arms.metric,
                unit=arms.unit,
                baseline_steps=len(baseline),
                variant_steps=len(variant),
                delta=statistics.fmean(variant) - statistics.fmean(baseline),
                permutation=tested,
                interval=unpaired_bootstrap_interval(baseline, variant, resamples=dealt, seed=seed + 1),
            )


def _reports(runs: Iterable[JudgedRun], arms: Arms) -> list[float]:
    return [
        arms.factor * point.metrics[arms.metric]
        for run in runs
        for point in run.curve
        if arms.metric in point.metrics
    ]
