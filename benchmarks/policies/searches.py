"""How do people search, and what do they declare? Each search reads a round and pays for its runs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from world import MEDIUM_SECONDS, NO_OP_SECONDS, QUICK_SECONDS, Floats, SimulatedRound

from policies._calibration import calibrated_share
from policies._confirming import Confirmed, Knowledge, baseline_slots, candidate_slots, confirmed_at
from policies._delta import Comparison, estimate
from policies._distributions import t_upper_tail
from policies._looks import LookPlan, Looks, take_look
from policies._planning import Design, is_eval_limited
from policies._screening import (
    Screened,
    ScreenRule,
    baseline_quick_slots,
    confirm_set,
    promoted,
)
from policies._variance import eval_variance, moderated, noise_prior, spread_of
from policies._verdict import Confirmation, Evidence, judge
from policies.evidence import Objective

#: the threshold of hand-run searches, at quick and at medium
HAND_MIN_DELTA_PP = 0.3
SIGNIFICANT = 0.05
OBJECTIVE = Objective()
Search = Callable[[SimulatedRound], "Declared"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a search says, and what it cost."""

    #: claimed gain in pp by row
    winners: Mapping[int, float]
    seconds: float
    #: the gains as measured, where the claimed ones are shrunk
    raw: Mapping[int, float] = field(default_factory=dict)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenConfirm:
    """Screen, promote, confirm on fresh seeds: the modules of `policies`, called as a planner calls them."""

    alpha: float = 0.10
    looks: int = 3
    #: whether each look's share of alpha is calibrated, and not the safe one
    is_calibrated: bool = False
    #: whether medium at slot 0 goes on from the quick state
    is_continued: bool = False
    #: whether a small evaluation set caps its verdicts
    is_capped: bool = False
    rule: ScreenRule = field(default_factory=ScreenRule)

    def __call__(self, seen: SimulatedRound) -> Declared:
        screened, seconds = self._screen(seen)
        survivors = [each for each in screened if self.rule.why_weak(each) is None]
        names = promoted(survivors, len(seen.variants))
        candidates, spent = self._promote(seen, [each for each in survivors if each.name in names])
        names = confirm_set(candidates)
        frozen = {each.name: each for each in candidates if each.name in names}
        seconds += spent
        if not frozen:
            return Declared(winners={}, seconds=seconds)
        looks, confirmed, spent = self._confirm(seen, frozen)
        winners, raw = self._judged(seen, looks, confirmed)
        return Declared(winners=winners, raw=raw, seconds=seconds + spent)

    def _screen(self, seen: SimulatedRound) -> tuple[list[Screened], float]:
        slots = baseline_quick_slots(len(seen.variants))
        baseline = _by_slot(seen.quick[0], slots)
        known = _knowledge(seen, "quick")
        noise = moderated(spread_of([baseline]), known.noise, known.floor)
        screened, seconds = [], QUICK_SECONDS * len(slots)
        for row in seen.variants:
            comparison = _comparison(_by_slot(seen.quick[row], (0,)), baseline)
            is_no_op = bool(seen.is_no_op[row])
            seconds += NO_OP_SECONDS if is_no_op else QUICK_SECONDS
            quick = estimate(comparison, noise)
            screened.append(Screened(name=str(row), quick=quick, stopped="no-op" if is_no_op else None))
        return screened, seconds

    def _promote(self, seen: SimulatedRound, variants: Sequence[Screened]) -> tuple[list[Screened], float]:
        if not variants:
            return [], 0.0
        each_seconds = MEDIUM_SECONDS - (QUICK_SECONDS if self.is_continued else 0.0)
        baseline = _by_slot(seen.medium[0], (0,))
        known = _knowledge(seen, "medium")
        noise = moderated(spread_of([]), known.noise, known.floor)
        candidates = []
        for variant in variants:
            comparison = _comparison(_by_slot(seen.medium[int(variant.name)], (0,)), baseline)
            medium = estimate(comparison, noise)
            candidates.append(Screened(name=variant.name, quick=variant.quick, medium=medium))
        return candidates, each_seconds * (len(variants) + 1)

    def _confirm(
        self, seen: SimulatedRound, frozen: Mapping[str, Screened]
    ) -> tuple[Looks, Mapping[str, Confirmed], float]:
        share = _calibrated(len(frozen), self.looks, self.alpha) if self.is_calibrated else None
        plan = LookPlan(candidates=tuple(frozen), looks=self.looks, alpha=self.alpha, share=share)
        looks = Looks(plan=plan)
        screened = {name: each.readings for name, each in frozen.items()}
        known = _knowledge(seen, "medium")
        last: dict[str, Comparison] = {}
        confirmed: dict[str, Confirmed] = {}
        runs = 1
        while looks.open:
            look = looks.taken + 1
            baseline = _by_slot(seen.medium[0], baseline_slots(look))
            now = {
                name: _comparison(_by_slot(seen.medium[int(name)], candidate_slots(look)), baseline)
                for name in looks.open
            }
            earlier = [each for name, each in last.items() if name not in now]
            runs += len(now) + 1
            last.update(now)
            at_look = confirmed_at(now, known, screened=screened, earlier=earlier)
            confirmed.update(at_look)
            looks = take_look(looks, {name: each.reading for name, each in at_look.items()})
        return looks, confirmed, runs * MEDIUM_SECONDS

    def _judged(
        self, seen: SimulatedRound, looks: Looks, confirmed: Mapping[str, Confirmed]
    ) -> tuple[dict[int, float], dict[int, float]]:
        known = _knowledge(seen, "medium")
        design = Design(
            noise=known.noise,
            floor=known.floor,
            candidates=len(looks.plan.candidates),
            looks=self.looks,
            alpha=self.alpha,
        )
        caps = ("eval_limited",) if self.is_capped and is_eval_limited(OBJECTIVE, seen.examples) else ()
        winners, raw = {}, {}
        for name in looks.rejected:
            confirmation = Confirmation(fresh=confirmed[name], rejection=looks.rejected[name])
            judged = judge(Evidence(objective=OBJECTIVE, design=design, caps=caps, confirmation=confirmation))
            if judged.name == "WINNER":
                assert judged.shrunk_gain is not None
                assert judged.raw_gain is not None
                winners[int(name)] = judged.shrunk_gain
                raw[int(name)] = judged.raw_gain
        return winners, raw


SEARCHES: Mapping[str, Search] = {
    "by hand (medium against the quick baseline)": by_hand,
    "same, fair medium baseline": by_hand_fair,
    "3 seeds for everything, Welch": welch,
    "5 + 3 seeds, 2 sigma": two_sigma,
    "screen_confirm, no continuation": ScreenConfirm(),
    "screen_confirm, quick continued": ScreenConfirm(is_continued=True),
    "same, alpha .20": ScreenConfirm(is_continued=True, alpha=0.20),
    "same, alpha .10, calibrated looks": ScreenConfirm(is_continued=True, is_calibrated=True),
    "same, alpha .10, small evals capped": ScreenConfirm(is_continued=True, is_capped=True),
}


@functools.cache
def _calibrated(candidates: int, looks: int, alpha: float) -> float:
    prior_df = noise_prior("medium", OBJECTIVE).df
    return calibrated_share(candidates=candidates, looks=looks, alpha=alpha, prior_df=prior_df, seed=0)


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


def _knowledge(seen: SimulatedRound, stage: str) -> Knowledge:
    return Knowledge(noise=noise_prior(stage, OBJECTIVE), floor=eval_variance(OBJECTIVE, seen.examples))


def _by_slot(values: Floats, slots: Sequence[int]) -> dict[int, float]:
    return {slot: float(values[slot]) for slot in slots}


def _comparison(variant: Mapping[int, float], baseline: Mapping[int, float]) -> Comparison:
    return Comparison(variant=variant, baseline=baseline, protocol="simulated")
