"""What is seen of a run in flight? Its looks so far, beside the baseline's at the same steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from policies._variance import eval_variance, moderated, noise_prior, spread_of
from policies.evidence import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One evaluation of a run."""

    step: int
    loss: float | None = None
    acc: float | None = None
    #: the objective's metric, raw
    value: float | None = None
    #: digest of the scores by example
    digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The evaluations of a run so far, in order."""

    looks: tuple[Look, ...] = ()

    @property
    def trained(self) -> tuple[Look, ...]:
        """Looks after the first step: before it all runs of a seed may be equal."""
        return tuple(look for look in self.looks if look.step > 0)

    def at(self, step: int) -> Look | None:
        """The look at exactly that step."""
        return next((look for look in self.looks if look.step == step), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """A run in flight, and the baseline's finished run of the same stage, seed and protocol."""

    curve: Curve
    baseline: Curve
    objective: Objective = field(default_factory=Objective)
    #: steps the run will make; None where nobody knows
    max_steps: int | None = None
    #: standard error of a delta between two runs, in the objective's unit; None where it is a guess
    delta_se: float | None = None
    #: examples of the evaluation set
    n_eval: int | None = None
    #: accuracy of a guess, where the trainer tells it
    chance: float | None = None

    @property
    def pairs(self) -> tuple[tuple[Look, Look], ...]:
        """Trained looks of both sides at the same steps, in order."""
        theirs = {look.step: look for look in self.baseline.looks}
        return tuple((look, theirs[look.step]) for look in self.curve.trained if look.step in theirs)

    @property
    def now(self) -> tuple[Look, Look] | None:
        """The latest look and the baseline's at its step; None where the baseline was not looked at there."""
        pairs = self.pairs
        return pairs[-1] if pairs and pairs[-1][0] is self.curve.looks[-1] else None


def delta_se(
    stage: str, objective: Objective, *, baseline: Mapping[int, float], examples: int | None
) -> float | None:
    """Standard error of the delta between one run and one of the baseline, in the objective's unit.

    `baseline` are its values by seed, raw; `examples` counts those of the evaluation set. None where the
    noise in that unit is a guess.
    """
    scale = objective.scale / objective.min_effect
    values = {seed: scale * value for seed, value in baseline.items()}
    prior = noise_prior("quick" if stage == "quick" else "medium", objective, baseline=values)
    noise = moderated(spread_of([values]), prior, eval_variance(objective, examples))
    return math.sqrt(2.0) * noise.sd * objective.min_effect if noise.is_measured else None
