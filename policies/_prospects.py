"""What can a task find, before anything of it runs? Its noise, and the effects that would not be missed.

Everything is in the objective's unit; one run of one seed is the measure of noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from policies._assessment import Ledger
from policies._distributions import normal_upper_tail
from policies._planning import Design, eval_floor, is_eval_limited, seeds_needed, smallest_effect
from policies._variance import (
    DEFAULT_DISCORDANCE,
    NoisePrior,
    eval_variance,
    moderated,
    noise_prior,
    spread_of,
)
from policies.evidence import Objective

#: multiples of min_effect for which the seeds are told
EFFECTS = (1.0, 2.0, 3.0, 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownNoise:
    """How far one run of a stage lies from another, as known now."""

    #: in units of min_effect
    prior: NoisePrior
    #: stored runs of the task's own baseline behind it
    own_runs: int = 0
    #: whether past tasks of this home tell it
    is_fitted: bool = False

    @property
    def is_known(self) -> bool:
        """False in a unit of which nothing has been measured."""
        return self.prior.is_measured


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSet:
    """What a task's evaluation set is worth."""

    #: independent ones; None while nobody knows
    examples: int | None
    #: standard error of a paired delta from the set alone; 0 where the metric is no share of examples
    floor: float
    #: its verdicts are SUGGESTIVE at best
    is_limiting: bool
    #: examples from which it would not be limiting
    examples_wanted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """The looks at fresh seeds that a policy declares before a task runs."""

    #: of one candidate
    looks: int
    #: that could be asked for
    most_looks: int
    alpha: float
    #: candidates that share alpha
    most_candidates: int
    #: where the level comes from, a sentence each
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finds:
    """What the declared looks can find at the usual power."""

    looks: int
    most_looks: int
    #: of a candidate that is alone, and of one among the most there can be
    smallest: float
    smallest_among_most: float
    most_candidates: int
    #: fresh seeds a candidate needs, by effect; None for more than anyone runs
    seeds: Mapping[float, int | None]
    #: where the level comes from, a sentence each
    reasons: tuple[str, ...] = ()

    @property
    def needed(self) -> int | None:
        """Fresh seeds a candidate needs for an effect of min_effect."""
        return next(iter(self.seeds.values()))


def known_noise(
    stage: str, objective: Objective, ledger: Ledger, stored: Mapping[int, float] | None = None
) -> KnownNoise:
    """The noise of `stage` ("quick" or any other): by what is stored of the task's baseline, raw by seed, by
    past tasks, or by the cold start."""
    fitted = ledger.quick if stage == "quick" else ledger.medium
    unit = objective.scale / objective.min_effect
    values = {seed: value * unit for seed, value in (stored or {}).items()}
    prior = noise_prior(stage, objective, fitted=fitted, baseline=values)
    spread = spread_of([values])
    if not spread.df or not prior.is_measured:
        return KnownNoise(prior=prior, is_fitted=fitted is not None)
    own = replace(prior, sd=moderated(spread, prior).sd)
    return KnownNoise(prior=own, own_runs=len(values), is_fitted=fitted is not None)


def evaluation_set(
    objective: Objective, examples: int | None, discordance: float = DEFAULT_DISCORDANCE
) -> EvaluationSet:
    """What `examples` independent examples can tell."""
    share = discordance * objective.scale**2 / (2.0 * objective.min_effect) ** 2
    return EvaluationSet(
        examples=examples,
        floor=eval_floor(objective, examples, discordance),
        is_limiting=is_eval_limited(objective, examples, discordance),
        examples_wanted=math.ceil(share),
    )


def discordance_of(policy: Any) -> float:
    """Share of the examples on which two runs disagree, as the policy takes it."""
    return float(getattr(policy, "discordance", DEFAULT_DISCORDANCE))


def finds(
    policy: Any,
    objective: Objective,
    noise: KnownNoise,
    *,
    ledger: Ledger,
    examples: int | None,
    variants: int,
) -> Finds | None:
    """What `policy` can find; None for one that declares no looks at fresh seeds."""
    if not hasattr(policy, "declared"):
        return None
    declared: Declared = policy.declared(ledger)
    looks = declared.looks
    most = max(1, min(declared.most_candidates, variants))
    # Slot 0 is one of the stored runs, and the design counts those of the looks itself.
    beyond_the_looks = max(0, noise.own_runs - 2 - looks)
    alone = Design(
        noise=replace(noise.prior, df=noise.prior.df + beyond_the_looks),
        floor=eval_variance(objective, examples, discordance_of(policy)),
        looks=looks,
        alpha=declared.alpha,
        correlation=ledger.correlation,
    )
    unit = objective.min_effect
    return Finds(
        looks=looks,
        most_looks=declared.most_looks,
        reasons=declared.reasons,
        smallest=smallest_effect(looks, alone) * unit,
        smallest_among_most=smallest_effect(looks, replace(alone, candidates=most)) * unit,
        most_candidates=most,
        seeds={effect * unit: seeds_needed(effect, alone) for effect in EFFECTS},
    )


def delta_sd(noise: KnownNoise, objective: Objective, seeds: int = 1) -> float:
    """The sd of a delta between means of so many runs each, when nothing differs."""
    return noise.prior.sd * objective.min_effect * math.sqrt(2.0 / seeds)


def passes_by_chance(threshold: float, sd: float) -> float:
    """How often a delta without any effect reaches `threshold`."""
    return normal_upper_tail(threshold / sd)
