"""Which variants go on, and which few of them are confirmed? Selection, by any seed that will not judge.

Nothing here is a claim: whatever is selected is tested on seeds that were not read before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from policies._delta import Estimate
from policies._effect_prior import DEFAULT_PRIOR, EffectPrior, Reading
from policies._posterior import Posterior, chance_of, medium_reading, posterior, quick_reading

Rule = Literal["posterior", "threshold"]
#: P(effect >= min_effect) below which a variant is weak after quick
WEAK_BELOW = 0.15
#: P at which a variant is promoted however many others are
PROMOTED_FROM = 0.5
MIN_PROMOTED = 2
#: the frozen confirm set
CONFIRMED_FROM = 0.35
MAX_CONFIRMED = 4
#: variants from which a second baseline seed is worth its time at quick
SECOND_BASELINE_FROM = 16
#: its slot lies beyond those that confirm: what is read there selects, and may not be part of a verdict
SECOND_BASELINE_SLOT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """A variant as slot 0 shows it, in units of min_effect."""

    name: str
    quick: Estimate | None = None
    medium: Estimate | None = None
    #: why it cannot go on whatever its delta: a no-op, broken, or its runs failed
    stopped: str | None = None

    @property
    def readings(self) -> tuple[Reading, ...]:
        """What slot 0 tells of the effect."""
        quick = () if self.quick is None else (quick_reading(self.quick),)
        return quick if self.medium is None else (*quick, medium_reading(self.medium))

    @property
    def first(self) -> Estimate | None:
        """The delta at the stage that screens."""
        return self.medium if self.quick is None else self.quick

    @property
    def at_quick(self) -> Screened:
        """The variant before medium ran: a decision after quick comes out the same later."""
        return self if self.quick is None or self.medium is None else replace(self, medium=None)

    def posterior(self, prior: EffectPrior = DEFAULT_PRIOR) -> Posterior:
        """The effect, given what ran."""
        return posterior(self.readings, prior)

    def chance(self, prior: EffectPrior = DEFAULT_PRIOR) -> float:
        """P(effect >= min_effect), given what ran."""
        return chance_of(self.readings, prior)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenRule:
    """When a variant is pruned after quick."""

    rule: Rule = "posterior"
    weak_below: float = WEAK_BELOW
    #: smallest delta that survives `rule = "threshold"`, in units of min_effect
    min_delta: float = 0.0

    def why_weak(self, variant: Screened, prior: EffectPrior = DEFAULT_PRIOR) -> str | None:
        """The reason to prune a variant after quick; None when it may go on."""
        if variant.stopped is not None:
            return variant.stopped
        if variant.first is None:
            return "no quick delta"
        if self.rule == "threshold":
            return "weak: below min_delta" if variant.first.delta < self.min_delta else None
        probability = variant.at_quick.chance(prior)
        if probability < self.weak_below:
            return f"weak: P(effect >= min_effect) = {probability:.2f} < {self.weak_below:g}"
        return None


def baseline_quick_slots(variants: int) -> tuple[int, ...]:
    """The baseline's slots at quick: a second one where many variants share its luck."""
    return (0, SECOND_BASELINE_SLOT) if variants >= SECOND_BASELINE_FROM else (0,)


def promoted(
    survivors: Sequence[Screened], screened: int, prior: EffectPrior = DEFAULT_PRIOR
) -> tuple[str, ...]:
    """The survivors of quick that get medium at slot 0, best first.

    The best half of the `screened` variants, at least two, and every further one that is more likely than not
    to be worth having.
    """
    ranked = _ranked([each.at_quick for each in survivors], prior)
    places = max(MIN_PROMOTED, math.ceil(screened / 2))
    return tuple(
        name
        for place, (name, probability) in enumerate(ranked)
        if place < places or probability >= PROMOTED_FROM
    )


def confirm_set(candidates: Sequence[Screened], prior: EffectPrior = DEFAULT_PRIOR) -> tuple[str, ...]:
    """The few that are confirmed, best first: to be recorded before any fresh seed runs."""
    able = [each for each in candidates if each.stopped is None and each.medium is not None]
    ranked = [name for name, probability in _ranked(able, prior) if probability >= CONFIRMED_FROM]
    return tuple(ranked[:MAX_CONFIRMED])


def chances(variants: Sequence[Screened], prior: EffectPrior = DEFAULT_PRIOR) -> dict[str, float]:
    """P(effect >= min_effect) by name, given what slot 0 showed."""
    return {each.name: each.chance(prior) for each in variants}


def _ranked(variants: Sequence[Screened], prior: EffectPrior) -> list[tuple[str, float]]:
    """Names with their chance, highest first; ties keep their order."""
    return sorted(chances(variants, prior).items(), key=lambda pair: -pair[1])
