"""How does one metric of an experiment stand against the baseline's: which values, pairs and delta?"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from policies.evidence import Objective
from scheduler.judging._tests_of_difference import (
    Interval,
    PermutationTest,
    paired_bootstrap_interval,
    paired_permutation_test,
    unpaired_bootstrap_interval,
    unpaired_permutation_test,
)
from scheduler.judging.evidence import Sample, UnfitRunsError, paired


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """One metric of the baseline and of an experiment."""

    config: str
    metric: str
    #: "pp" for the objective in pp, else the objective's own unit or nothing
    unit: str
    #: raw, of every run that has the metric
    baseline: tuple[float, ...]
    variant: tuple[float, ...]
    #: (seed, delta) of the seeds both have, in `unit`; positive is better
    per_seed: tuple[tuple[int, float], ...]
    #: from raw values to `unit`, negative where less is better
    factor: float

    @property
    def is_paired(self) -> bool:
        """Whether seeds decide: two pairs or more, or as many pairs as there are runs."""
        return len(self.per_seed) >= 2 or len(self.per_seed) == min(len(self.baseline), len(self.variant))

    @property
    def differences(self) -> tuple[float, ...]:
        """The deltas of the pairs."""
        return tuple(delta for _, delta in self.per_seed)

    @property
    def units(self) -> int:
        """Independent units behind the delta: pairs, or runs of the smaller arm."""
        return len(self.per_seed) if self.is_paired else min(len(self.baseline), len(self.variant))

    @property
    def units_text(self) -> str:
        """`6 pairs`, `4 runs an arm`."""
        plural = "" if self.units == 1 else "s"
        return f"{self.units} pair{plural}" if self.is_paired else f"{self.units} run{plural} an arm"

    @property
    def left_out(self) -> int:
        """Runs without a partner that the paired test does not look at."""
        return len(self.baseline) + len(self.variant) - 2 * len(self.per_seed) if self.is_paired else 0

    @property
    def delta(self) -> float | None:
        """In `unit`, positive is better: the mean over pairs, else the difference of the means."""
        if self.is_paired:
            return statistics.fmean(self.differences) if self.per_seed else None
        return self.factor * (statistics.fmean(self.variant) - statistics.fmean(self.baseline))

    @property
    def signed_baseline(self) -> tuple[float, ...]:
        """In `unit`, more is better."""
        return tuple(self.factor * value for value in self.baseline)

    @property
    def signed_variant(self) -> tuple[float, ...]:
        """In `unit`, more is better."""
        return tuple(self.factor * value for value in self.variant)

    def permutation(self, *, sides: int, resamples: int, seed: int) -> PermutationTest | None:
        """By turning the signs of pairs, or by dealing runs anew where there are no pairs."""
        if self.is_paired:
            return paired_permutation_test(self.differences, sides=sides, resamples=resamples, seed=seed)
        return unpaired_permutation_test(
            self.signed_baseline, self.signed_variant, sides=sides, resamples=resamples, seed=seed
        )

    def interval(self, *, level: float, resamples: int, seed: int) -> Interval | None:
        """Bootstrap interval of the delta."""
        if self.is_paired:
            return paired_bootstrap_interval(self.differences, level=level, resamples=resamples, seed=seed)
        return unpaired_bootstrap_interval(
            self.signed_baseline, self.signed_variant, level=level, resamples=resamples, seed=seed
        )


def arms_of(sample: Sample, config: str, metric: str, lower_is_better: Sequence[str] = ()) -> Arms:
    """`metric` of `config` and of the baseline."""
    factor = factor_of(sample.objective, metric, lower_is_better)
    return Arms(
        config=config,
        metric=metric,
        unit=unit_of(sample.objective, metric),
        baseline=sample.values(sample.baseline, metric),
        variant=sample.values(sample.experiments[config], metric),
        per_seed=tuple(
            (pair.seed, factor * (pair.experiment.metrics[metric] - pair.baseline.metrics[metric]))
            for pair in paired(sample, config, metric)
        ),
        factor=factor,
    )


def unit_of(objective: Objective, metric: str) -> str:
    """The unit of a delta of `metric`: the objective's for its own metric, none for another."""
    return objective.unit if metric == objective.metric else ""


def factor_of(objective: Objective, metric: str, lower_is_better: Sequence[str] = ()) -> float:
    """From raw values to the unit of deltas, negative where less is better."""
    if metric == objective.metric:
        return objective.gain(1.0, 0.0)
    return -1.0 if metric in lower_is_better else 1.0


def need_baseline(sample: Sample, way: str) -> None:
    """Raises UnfitRunsError where there is nothing to compare."""
    if not sample.baseline:
        raise UnfitRunsError(
            f"{sample.source}: {way} compares with a baseline and there is none; name one with --baseline"
        )
    if not sample.experiments:
        raise UnfitRunsError(f"{sample.source}: there are only runs of the baseline; nothing to compare")


def need_metrics(sample: Sample, metrics: Sequence[str]) -> None:
    """Raises UnfitRunsError for a metric that no run reports: most likely its name is wrong."""
    known = dict.fromkeys(name for run in sample.runs for name in run.metrics)
    absent = [metric for metric in metrics if metric not in known]
    if absent:
        raise UnfitRunsError(
            f"{sample.source}: no run reports {', '.join(absent)}; reported are {', '.join(known) or 'none'}"
        )


def delta_text(value: float | None, unit: str) -> str:
    """`+1.20 pp`, `+0.0126`."""
    if value is None:
        return "-"
    if unit == "pp":
        return f"{value:+.2f} pp"
    return f"{value:+.4g} {unit}".rstrip()
