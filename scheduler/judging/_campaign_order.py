"""Do the conditions come out in the order that was declared, and how often would chance put them so?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from scheduler.judging._arms import factor_of
from scheduler.judging._campaign_runs import conditions
from scheduler.judging.evidence import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The declared order beside the one found."""

    #: worst first
    declared: tuple[str, ...]
    #: worst first, by the mean over the seeds that all of them have run
    found: tuple[str, ...]
    #: means of `declared`, raw
    means: tuple[float, ...]
    #: neighbours that are as declared, of `len(declared) - 1`
    steps_held: int
    #: seeds in which the whole order holds, of `seeds`
    seeds_held: int
    seeds: int

    @property
    def holds(self) -> bool:
        """Whether the means lie as declared."""
        return self.steps_held == len(self.declared) - 1

    @property
    def chance(self) -> float:
        """That conditions which do not differ come out in exactly this order."""
        return 1.0 / math.factorial(len(self.declared))


def checked(sample: Sample, declared: Sequence[str]) -> Order | None:
    """None where fewer than two of the declared conditions have a seed in common."""
    sign = factor_of(sample.objective, sample.objective.metric)
    known = conditions(sample)
    if sample.baseline and "baseline" not in known:
        known["baseline"] = sample.baseline
    names = [name for name in declared if name in known]
    by_seed = {
        name: {run.seed: run.metrics[sample.objective.metric] for run in known[name]
               if run.seed is not None and sample.objective.metric in run.metrics}
        for name in names
    }  # fmt: skip
    shared = sorted(set.intersection(*(set(values) for values in by_seed.values()))) if names else []
    if len(names) < 2 or not shared:
        return None
    means = {name: statistics.fmean(by_seed[name][seed] for seed in shared) for name in names}
    return Order(
        declared=tuple(names),
        found=tuple(sorted(names, key=lambda name: sign * means[name])),
        means=tuple(means[name] for name in names),
        steps_held=sum(sign * means[low] < sign * means[high] for low, high in pairwise(names)),
        seeds_held=sum(
            all(sign * by_seed[low][seed] < sign * by_seed[high][seed] for low, high in pairwise(names))
            for seed in shared
        ),
        seeds=len(shared),
    )
