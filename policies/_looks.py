"""May a candidate be declared better at this look? Holm over the frozen candidates, at declared looks.

The candidates and the number of looks are fixed when the confirm set is frozen: neither can be counted, nor a
look added, after anything was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

#: share of alpha that each of so many looks may spend, safe for any number of candidates
SAFE_SHARE = {1: 1.0, 2: 0.57, 3: 0.42, 4: 0.34, 5: 0.29}
#: P(effect >= min_effect) below which a candidate is not worth another seed
FUTILE_BELOW = 0.30


@dataclass(frozen=True, slots=True, kw_only=True)
class LookPlan:
    """What was declared when the confirm set was frozen."""

    candidates: tuple[str, ...]
    looks: int
    alpha: float = 0.10
    #: calibrated share of alpha for each look; None takes the safe one
    share: float | None = None

    def __post_init__(self) -> None:
        if len(set(self.candidates)) < len(self.candidates):
            raise ValueError("a candidate is named twice; each is one hypothesis")
        if not 0.0 < self.alpha < 1.0:
            raise ValueError(f"alpha: must lie between 0 and 1 (found {self.alpha!r})")
        if self.looks not in SAFE_SHARE:
            raise ValueError(f"looks: must be 1 to {max(SAFE_SHARE)} (found {self.looks!r})")

    @property
    def spent_at_a_look(self) -> float:
        """c_L * alpha, to be shared by the candidates that are left."""
        return self.alpha * (SAFE_SHARE[self.looks] if self.share is None else self.share)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookReading:
    """One candidate at a look."""

    #: one-sided p of the moderated t, from fresh seeds alone
    p: float
    #: P(effect >= min_effect), from everything that ran: it can only stop a candidate
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """The null of a candidate was rejected."""

    look: int
    #: comparable with alpha: p * candidates left / c_L
    adjusted_p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """The looks taken so far; a fold of them gives the same state again."""

    plan: LookPlan
    taken: int = 0
    rejected: Mapping[str, Rejection] = field(default_factory=dict)
    #: look at which a candidate was given up, by candidate
    futile: Mapping[str, int] = field(default_factory=dict)

    @property
    def open(self) -> tuple[str, ...]:
        """Candidates that get their next fresh seed."""
        if self.taken >= self.plan.looks:
            return ()
        decided = {**self.rejected, **self.futile}
        return tuple(name for name in self.plan.candidates if name not in decided)


def take_look(before: Looks, readings: Mapping[str, LookReading]) -> Looks:
    """The state after the next declared look. Raises ValueError for a look or a candidate never declared.

    A candidate without a reading, because its runs failed, is neither rejected nor given up. One that was
    given up still counts in what the others have to pay for: it was a hypothesis.
    """
    plan = before.plan
    if before.taken >= plan.looks:
        raise ValueError(f"{plan.looks} looks were declared and taken; a new claim needs a new round")
    undeclared = sorted(readings.keys() - set(plan.candidates))
    if undeclared:
        raise ValueError(f"{', '.join(undeclared)}: not in the frozen confirm set")
    look = before.taken + 1
    readings = {name: readings[name] for name in before.open if name in readings}
    rejected = dict(before.rejected)
    adjusted = 0.0
    for name in sorted(readings, key=lambda each: readings[each].p):
        left = len(plan.candidates) - len(rejected)
        adjusted = max(adjusted, adjusted_p(plan, readings[name].p, left))
        if adjusted > plan.alpha:
            break
        rejected[name] = Rejection(look=look, adjusted_p=adjusted)
    given_up = {
        name: look
        for name, reading in readings.items()
        if name not in rejected and reading.probability < FUTILE_BELOW
    }
    return replace(before, taken=look, rejected=rejected, futile={**before.futile, **given_up})


def adjusted_p(plan: LookPlan, p: float, left: int) -> float:
    """p corrected for the looks declared and the candidates left, to be compared with alpha."""
    return min(1.0, p * left * plan.alpha / plan.spent_at_a_look)
