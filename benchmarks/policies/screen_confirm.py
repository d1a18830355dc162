"""What does screen, promote and confirm declare? The modules of `policies`, asked as a planner asks them."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from world import MEDIUM_SECONDS, NO_OP_SECONDS, QUICK_SECONDS, Declared, Floats, SimulatedRound

from policies._calibration import calibrated_share
from policies._confirming import Confirmed, Knowledge, baseline_slots, candidate_slots, confirmed_at
from policies._delta import Comparison, estimate
from policies._effect_prior import DEFAULT_PRIOR, EffectPrior, Reading, combined, refit
from policies._looks import LookPlan, Looks, take_look
from policies._planning import Design, is_eval_limited
from policies._posterior import medium_reading
from policies._screening import Screened, ScreenRule, baseline_quick_slots, confirm_set, promoted
from policies._variance import (
    NoisePrior,
    Spread,
    eval_variance,
    fit_noise,
    moderated,
    noise_prior,
    quick_from_medium,
    spread_of,
)
from policies._verdict import Confirmation, Evidence, judge
from policies.evidence import Objective

OBJECTIVE = Objective()
#: what a ledger is fitted to, and by how much it grows between fits
LATEST_TASKS = 2000
LATEST_VARIANTS = 3000
GROWTH_BETWEEN_FITS = 1.25


@dataclass(slots=True)
class GrowingLedger:
    """What the rounds so far showed; it outlives them."""

    #: of medium runs on fresh seeds, a task each
    spreads: list[Spread] = field(default_factory=list)
    #: what every variant that was tried showed, pruned ones by quick alone
    readings: list[Reading] = field(default_factory=list)
    confirmed: int = 0
    noise: NoisePrior | None = None
    effects: EffectPrior = DEFAULT_PRIOR
    #: size at which the next fit is worth its time
    next_fit: int = 0

    def record(self, spread: Spread, readings: Mapping[str, Sequence[Reading]], confirmed: int) -> None:
        if spread.df > 0:
            self.spreads.append(spread)
        self.readings += [combined(each) for each in readings.values()]
        self.confirmed += confirmed
        if len(self.readings) >= self.next_fit:
            self.noise = fit_noise(self.spreads[-LATEST_TASKS:])
            self.effects = refit(self.readings[-LATEST_VARIANTS:], confirmed=self.confirmed)
            self.next_fit = math.ceil(len(self.readings) * GROWTH_BETWEEN_FITS)


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
    #: None keeps the cold start for ever
    ledger: GrowingLedger | None = field(default_factory=GrowingLedger)

    def __call__(self, seen: SimulatedRound) -> Declared:
        screened, seconds = self._screen(seen)
        survivors = [each for each in screened if self.rule.why_weak(each, self.effects) is None]
        names = promoted(survivors, len(seen.variants), self.effects)
        candidates, spent = self._promote(seen, [each for each in survivors if each.name in names])
        names = confirm_set(candidates, self.effects)
        frozen = {each.name: each for each in candidates if each.name in names}
        looks, confirmed, last, confirm_seconds = self._confirm(seen, frozen)
        winners, raw = self._judged(seen, looks, confirmed)
        self._record([*screened, *candidates], confirmed, last)
        return Declared(winners=winners, raw=raw, seconds=seconds + spent + confirm_seconds)

    @property
    def effects(self) -> EffectPrior:
        return DEFAULT_PRIOR if self.ledger is None else self.ledger.effects

    def _record(
        self, shown: Sequence[Screened], confirmed: Mapping[str, Confirmed], last: Sequence[Comparison]
    ) -> None:
        if self.ledger is None:
            return
        readings = {each.name: list(each.readings) for each in shown if each.stopped is None}
        for name, candidate in confirmed.items():
            readings[name].append(medium_reading(candidate.estimate))
        self.ledger.record(_spread(last), readings, len(confirmed))

    def _screen(self, seen: SimulatedRound) -> tuple[list[Screened], float]:
        slots = baseline_quick_slots(len(seen.variants))
        baseline = _by_slot(seen.quick[0], slots)
        known = _knowledge(seen, "quick", self.ledger)
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
        known = _knowledge(seen, "medium", self.ledger)
        noise = moderated(spread_of([]), known.noise, known.floor)
        candidates = []
        for variant in variants:
            comparison = _comparison(_by_slot(seen.medium[int(variant.name)], (0,)), baseline)
            medium = estimate(comparison, noise)
            candidates.append(Screened(name=variant.name, quick=variant.quick, medium=medium))
        return candidates, each_seconds * (len(variants) + 1)

    def _confirm(
        self, seen: SimulatedRound, frozen: Mapping[str, Screened]
    ) -> tuple[Looks, Mapping[str, Confirmed], Sequence[Comparison], float]:
        if not frozen:
            return Looks(plan=LookPlan(candidates=(), looks=self.looks)), {}, [], 0.0
        share = _calibrated(len(frozen), self.looks, self.alpha) if self.is_calibrated else None
        plan = LookPlan(candidates=tuple(frozen), looks=self.looks, alpha=self.alpha, share=share)
        looks = Looks(plan=plan)
        screened = {name: each.readings for name, each in frozen.items()}
        known = _knowledge(seen, "medium", self.ledger)
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
        return looks, confirmed, list(last.values()), runs * MEDIUM_SECONDS

    def _judged(
        self, seen: SimulatedRound, looks: Looks, confirmed: Mapping[str, Confirmed]
    ) -> tuple[dict[int, float], dict[int, float]]:
        known = _knowledge(seen, "medium", self.ledger)
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


@functools.cache
def _calibrated(candidates: int, looks: int, alpha: float) -> float:
    prior_df = noise_prior("medium", OBJECTIVE).df
    return calibrated_share(candidates=candidates, looks=looks, alpha=alpha, prior_df=prior_df, seed=0)


def _knowledge(seen: SimulatedRound, stage: str, ledger: GrowingLedger | None) -> Knowledge:
    """The ledger tells the noise of medium; quick repeats too few seeds to be fitted by itself."""
    fitted = ledger.noise if ledger is not None else None
    if fitted is not None and stage == "quick":
        fitted = quick_from_medium(fitted)
    return Knowledge(
        noise=noise_prior(stage, OBJECTIVE, fitted=fitted),
        floor=eval_variance(OBJECTIVE, seen.examples),
        effects=ledger.effects if ledger is not None else DEFAULT_PRIOR,
    )


def _spread(comparisons: Sequence[Comparison]) -> Spread:
    """Of the baseline and every candidate, over all their fresh seeds."""
    if not comparisons:
        return Spread()
    longest = max(comparisons, key=lambda each: len(each.baseline))
    return spread_of([longest.baseline, *(each.variant for each in comparisons)])


def _by_slot(values: Floats, slots: Sequence[int]) -> dict[int, float]:
    return {slot: float(values[slot]) for slot in slots}


def _comparison(variant: Mapping[int, float], baseline: Mapping[int, float]) -> Comparison:
    return Comparison(variant=variant, baseline=baseline, protocol="simulated")
