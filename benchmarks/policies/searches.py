"""How do people search, and what do they declare? Each search reads a round and pays for its runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from screen_confirm import ScreenConfirm
from world import MEDIUM_SECONDS, QUICK_SECONDS, Declared, Floats, SimulatedRound

from policies._distributions import t_upper_tail

#: the threshold of hand-run searches, at quick and at medium
HAND_MIN_DELTA_PP = 0.3
SIGNIFICANT = 0.05
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


#: each makes a search that has seen nothing yet
SEARCHES: Mapping[str, Callable[[], Search]] = {
    "by hand (medium against the quick baseline)": lambda: by_hand,
    "same, fair medium baseline": lambda: by_hand_fair,
    "3 seeds for everything, Welch": lambda: welch,
    "5 + 3 seeds, 2 sigma": lambda: two_sigma,
    "screen_confirm, no continuation": ScreenConfirm,
    "screen_confirm, quick continued": lambda: ScreenConfirm(is_continued=True),
    "same, alpha .20": lambda: ScreenConfirm(is_continued=True, alpha=0.20),
    "same, alpha .10, without a ledger": lambda: ScreenConfirm(is_continued=True, ledger=None),
    "same, alpha .10, calibrated looks": lambda: ScreenConfirm(is_continued=True, is_calibrated=True),
    "same, alpha .10, small evals capped": lambda: ScreenConfirm(is_continued=True, is_capped=True),
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
