"""How many standard deviations of the baseline is an experiment away, and how large is that called?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from policies.evidence import Objective
from scheduler.judging._spread import Spread

Strength = Literal["winner", "suggestive", "noise"]

#: |Cohen's d| from which an effect is called so
_EFFECT_SIZES = ((0.8, "large"), (0.5, "medium"), (0.2, "small"), (0.0, "negligible"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One metric of an experiment against the baseline's."""

    metric: str
    baseline: Spread
    experiment: Spread
    #: experiment minus baseline, raw
    difference: float
    #: the same so that positive is better, over the baseline's sd; None where that is unknown or 0
    sigmas: float | None
    #: signed likewise, over sqrt((sb^2 + se^2) / 2); None where one of them is unknown, or both are 0
    cohens_d: float | None
    effect_size: str | None
    strength: Strength | None


def compare(
    objective: Objective, metric: str, baseline: Spread, experiment: Spread, thresholds: tuple[float, float]
) -> Comparison:
    """One metric of the two sides. `thresholds`: sigmas of a winner, and of what is suggestive."""
    difference = experiment.mean - baseline.mean
    gain = difference if objective.direction == "maximize" else -difference
    sigmas = gain / baseline.sd if baseline.sd else None
    effect = None
    if baseline.sd is not None and experiment.sd is not None and (baseline.sd or experiment.sd):
        effect = gain / math.sqrt((baseline.sd**2 + experiment.sd**2) / 2)
    return Comparison(
        metric=metric,
        baseline=baseline,
        experiment=experiment,
        difference=difference,
        sigmas=sigmas,
        cohens_d=effect,
        effect_size=None if effect is None else effect_size(effect),
        strength=None if sigmas is None else _strength(abs(sigmas), *thresholds),
    )


def effect_size(cohens_d: float) -> str:
    """`negligible`, `small`, `medium` or `large`."""
    return next(name for least, name in _EFFECT_SIZES if abs(cohens_d) >= least)


def _strength(sigmas: float, winner: float, suggestive: float) -> Strength:
    if sigmas >= winner:
        return "winner"
    return "suggestive" if sigmas >= suggestive else "noise"
