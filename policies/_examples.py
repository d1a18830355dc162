"""How do two runs compare example by example? The standard error that the evaluation set alone leaves.

Examples that share a document, a protein or a puzzle are one cluster: 48 grids are 48 clusters, however many
masks were drawn in each.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleDelta:
    """The mean difference of paired scores, raw."""

    delta: float
    #: None for a single cluster: nothing tells how much another one would differ
    se: float | None
    clusters: int
    #: share of examples on which the two runs differ (psi)
    discordance: float


def paired_by_example(
    variant: Sequence[float], baseline: Sequence[float], clusters: Sequence[Hashable] | None = None
) -> ExampleDelta:
    """Variant minus baseline over the same examples in the same order, clustered by `clusters` where given.

    Raises ValueError when the two sides were not scored on the same number of examples.
    """
    names = list(range(len(variant))) if clusters is None else list(clusters)
    if not variant or not len(variant) == len(baseline) == len(names):
        raise ValueError(
            f"scores of different evaluation sets cannot be paired ({len(variant)} against {len(baseline)}"
            f" examples, {len(names)} cluster names); score both runs on one set"
        )
    differences = [ours - theirs for ours, theirs in zip(variant, baseline, strict=True)]
    mean = statistics.fmean(differences)
    sums: dict[Hashable, float] = {}
    for name, difference in zip(names, differences, strict=True):
        sums[name] = sums.get(name, 0.0) + difference - mean
    count = len(sums)
    se = None
    if count > 1:
        squares = math.fsum(total**2 for total in sums.values())
        se = math.sqrt(count / (count - 1) * squares) / len(differences)
    return ExampleDelta(
        delta=mean,
        se=se,
        clusters=count,
        discordance=sum(difference != 0 for difference in differences) / len(differences),
    )
