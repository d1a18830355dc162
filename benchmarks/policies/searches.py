"""How do people search, and what do they declare? Each search reads a round and pays for its runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from world import MEDIUM_SECONDS, QUICK_SECONDS, Declared, Floats, SimulatedRound

from policies._distributions import t_upper_tail

#: the threshold of hand-run searches, at quick and at medium
HAND_MIN_DELTA_PP = 0.3
SIGNIFICANT = 0.05
#: one in so many goes on to the next rung
ASHA_REDUCTION = 3
Search = Callable[[SimulatedRound], Declared]


def by_hand(seen: SimulatedRound) -> Declared:
    """One seed; medium is compared with the quick baseline."""
    better = _better_at_quick(seen)
    gains = {row: float(seen.medium[row, 0] - seen.quick[0, 0]) for row in better}
    seconds = QUICK_SECONDS * len(seen.effects) + MEDIUM_SECONDS * len(better)
    return Declared(winners=_at_least(gains, HAND_MIN_DELTA_PP), seconds=seconds)


def by_hand_fair(seen: SimulatedRound) -> Declared:
    """One seed, and a medium baseline."""
    better = _better_at_quick(seen)
    gains = {row: float(seen.medium[row, 0] - seen.medium[0, 0]) for row in better}
    runs = len(better) + bool(better)
    seconds = QUICK_SECONDS * len(seen.effects) + MEDIUM_SECONDS * runs
    return Declared(winners=_at_least(gains, HAND_MIN_DELTA_PP), seconds=seconds)


def asha_like(seen: SimulatedRound) -> Declared:
    """One seed, halving by rank: the best third goes from quick to medium, and the best there is declared.

    It must beat the medium baseline by as much as by hand; there is no test.
    """
    ranked = sorted(seen.variants, key=lambda row: -seen.quick[row, 0])
    going_on = ranked[: max(1, len(ranked) // ASHA_REDUCTION)]
    gains = {row: float(seen.medium[row, 0] - seen.medium[0, 0]) for row in going_on}
    best = max(gains, key=lambda row: gains[row])
    # rungs go on from where they paused; the baseline is needed at medium alone
    seconds = QUICK_SECONDS * len(ranked) + (MEDIUM_SECONDS - QUICK_SECONDS) * len(going_on) + MEDIUM_SECONDS
    return Declared(winners=_at_least({best: gains[best]}, HAND_MIN_DELTA_PP), seconds=seconds)


def welch(seen: SimulatedRound) -> Declared:
    """Three medium seeds for everything; Welch's t, one-sided at .05."""
    winners = {}
    for row in seen.variants:
        ours, theirs = seen.medium[row, :3], seen.medium[0, :3]
        gain = float(ours.mean() - theirs.mean())
        if gain > 0 and _welch_p(ours, theirs) < SIGNIFICANT:
            winners[row] = gain
    return Declared(winners=winners, seconds=3 * MEDIUM_SECONDS * len(seen.effects))


def two_sigma(seen: SimulatedRound) -> Declared:
    """Five baseline seeds and three of a variant, two more at one to two sigma; two sigma wins."""
    baseline = seen.medium[0, :5]
    runs, winners = 5, {}
    for row in seen.variants:
        ours = seen.medium[row, :3]
        if 1.0 <= _sigmas(ours, baseline) < 2.0:
            ours = seen.medium[row, :5]
        runs += len(ours)
        if _sigmas(ours, baseline) >= 2.0:
            winners[row] = float(ours.mean() - baseline.mean())
    return Declared(winners=winners, seconds=runs * MEDIUM_SECONDS)


SEARCHES: Mapping[str, Search] = {
    "by hand (medium against the quick baseline)": by_hand,
    "same, fair medium baseline": by_hand_fair,
    "ASHA-like, best declared": asha_like,
    "3 seeds for everything, Welch": welch,
    "5 + 3 seeds, 2 sigma": two_sigma,
}


def _better_at_quick(seen: SimulatedRound) -> list[int]:
    gains = seen.quick[:, 0] - seen.quick[0, 0]
    return [row for row in seen.variants if gains[row] >= HAND_MIN_DELTA_PP]


def _at_least(gains: Mapping[int, float], threshold: float) -> dict[int, float]:
    return {row: gain for row, gain in gains.items() if gain >= threshold}


def _welch_p(ours: Floats, theirs: Floats) -> float:
    """One-sided p of Welch's t."""
    a, b = float(np.var(ours, ddof=1)) / len(ours), float(np.var(theirs, ddof=1)) / len(theirs)
    if a + b == 0:
        return 1.0 if ours.mean() <= theirs.mean() else 0.0
    df = (a + b) ** 2 / (a**2 / (len(ours) - 1) + b**2 / (len(theirs) - 1))
    return t_upper_tail(float(ours.mean() - theirs.mean()) / math.sqrt(a + b), df)


def _sigmas(ours: Floats, theirs: Floats) -> float:
    """The gain in sd of one run, the mean of both variances."""
    sd = math.sqrt((float(np.var(ours, ddof=1)) + float(np.var(theirs, ddof=1))) / 2.0)
    gain = float(ours.mean() - theirs.mean())
    return gain / sd if sd > 0 else math.copysign(math.inf, gain) if gain else 0.0
