"""How does a race stand? Laps of one fresh seed for each in the field, and a look at them after each lap."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from policies._assessment import TaskRuns, is_comparable, knowledge, screened_variant
from policies._confirming import Confirmed, Knowledge
from policies._delta import Comparison, Estimate, compare
from policies._effect_prior import EffectPrior
from policies._posterior import chance_of, medium_reading, posterior
from policies._race_index import MediumNoise, Runner, index
from policies._race_level import SEEDS, SHARE
from policies._screening import Screened
from policies._variance import Noise, moderated, spread_of
from policies.evidence import Observation
from policies.steps import CandidateAtLook, Look

#: of the baseline, fixed in number, never extended because of a result, and shared by all rounds of a task
QUICK_SLOTS = (0, 8, 9)
FRESH_SLOTS = tuple(range(1, SEEDS + 1))
#: candidates that get a seed in one lap
FIELD = 6
#: P(effect >= min_effect) that a candidate must keep
LEAST_CHANCE = 0.05
#: what the examples of a set add to every delta, however many seeds, over what they add to one run's variance
INTERACTION_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the race stands after some laps, each recorded as a look."""

    laps: int = 0
    #: fresh seeds of every candidate that count so far
    seeds: Mapping[str, int]
    #: (lap, p) of those that were declared
    won: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    #: lap after which a candidate was given up, for good
    dropped: Mapping[str, int] = field(default_factory=dict)
    #: and why
    reasons: Mapping[str, str] = field(default_factory=dict)
    #: smallest p of each tested candidate's looks
    best_p: Mapping[str, float] = field(default_factory=dict)

    def is_open(self, name: str) -> bool:
        return name not in self.won and name not in self.dropped


@dataclass(frozen=True, kw_only=True)
class Laps:
    """The laps of one task: functions of its runs, so that the same records always give the same race."""

    runs: TaskRuns
    #: of every look, and of another seed, both frozen with the task
    alpha: float
    rate: float
    #: best first, before any fresh seed
    candidates: tuple[str, ...] = ()
    #: how many looks are recorded
    taken: int = 0

    @functools.cached_property
    def standing(self) -> Standing:
        """After all laps that are recorded."""
        standing = Standing(seeds=dict.fromkeys(self.candidates, 0))
        for _ in range(self.taken):
            standing = self._after(standing)
        return standing

    @functools.cached_property
    def failed(self) -> frozenset[str]:
        """Candidates that have a fresh run which can tell nothing, and never will."""
        return frozenset(name for name in self.candidates if not is_comparable(self.runs, name))

    @functools.cached_property
    def open(self) -> tuple[str, ...]:
        """Candidates that may get another seed."""
        return self._open(self.standing)

    @functools.cached_property
    def field(self) -> tuple[str, ...]:
        """Who gets a seed in the next lap, best first."""
        return self._field(self.standing)

    def screened(self, name: str) -> Screened:
        """The variant as slot 0 shows it."""
        return screened_variant(self.runs, name, QUICK_SLOTS)

    def why_not(self, variant: Screened) -> str | None:
        """Why a variant does not race; None when it does."""
        if variant.stopped is not None:
            return variant.stopped
        if variant.first is None:
            return "no quick delta"
        return self._why_over(Runner(screened=variant.readings), self._noise({}))

    def next_look(self, stage: str) -> Look:
        """What the lap that has just been run shows."""
        before, after = self.standing, self._after(self.standing)
        noise, unit = self._noise(after.seeds), self.runs.objective.min_effect
        readings = {}
        for name in self.field:
            runner = self._runner(name, after)
            p = runner.p(noise)
            readings[name] = CandidateAtLook(
                delta=runner.delta * unit,
                se=noise.se(runner.seeds) * unit,
                df=noise.df,
                p=p,
                adjusted_p=adjusted(p),
                chance=self._chance(runner, noise),
                variant_seeds=runner.seeds,
                baseline_seeds=noise.baseline_seeds,
            )
        return Look(
            stage=stage,
            look=after.laps,
            candidates=readings,
            rejected=tuple(name for name in after.won if name not in before.won),
            futile=tuple(name for name in after.dropped if name not in before.dropped),
            reasons={name: why for name, why in after.reasons.items() if name not in before.reasons},
        )

    def confirmed(self, name: str) -> Confirmed | None:
        """A tested candidate as its fresh seeds show it now; None for any other variant."""
        if not self.standing.seeds.get(name):
            return None
        noise, runner = self._noise(self.standing.seeds), self._runner(name, self.standing)
        if not runner.seeds:
            return None
        measured = Estimate(
            delta=runner.delta,
            se=noise.se(runner.seeds),
            df=noise.df,
            variant_seeds=runner.seeds,
            baseline_seeds=noise.baseline_seeds,
            is_measured=noise.is_measured,
        )
        return Confirmed(
            estimate=measured,
            noise=Noise(variance=noise.variance, df=noise.df, is_measured=noise.is_measured),
            posterior=posterior([medium_reading(measured)], self._effects),
            steering=posterior(runner.readings(noise), self._effects),
        )

    def comparison(self, name: str, seeds: int) -> Comparison | None:
        """The first so many fresh seeds of a candidate beside the baseline's."""
        ours = [run for run in self.runs.variants[name] if self._is_fresh(run) and run.slot <= seeds]
        return compare(self.runs.objective, ours, self._baseline)

    @functools.cached_property
    def known(self) -> Knowledge:
        """What is known of the noise before a candidate is read."""
        return knowledge(self.runs, self.runs.medium, FRESH_SLOTS)

    @property
    def _effects(self) -> EffectPrior:
        return self.runs.ledger.effects

    @functools.cached_property
    def _baseline(self) -> tuple[Observation, ...]:
        return tuple(run for run in self.runs.baseline if self._is_fresh(run))

    def _is_fresh(self, run: Observation) -> bool:
        return run.stage == self.runs.medium and run.slot in FRESH_SLOTS

    def _open(self, standing: Standing) -> tuple[str, ...]:
        return tuple(name for name in self.candidates if standing.is_open(name) and name not in self.failed)

    def _field(self, standing: Standing) -> tuple[str, ...]:
        able = self._open(standing)
        if len(able) <= FIELD:
            return able
        noise = self._noise(standing.seeds)
        chances = {name: self._chance(self._runner(name, standing), noise) for name in able}
        return tuple(sorted(able, key=lambda name: -chances[name])[:FIELD])

    def _after(self, before: Standing) -> Standing:
        """What one more lap shows, by the runs that count then and no later ones."""
        field = self._field(before)
        seeds = {**before.seeds, **{name: before.seeds[name] + 1 for name in field}}
        after = replace(before, laps=before.laps + 1, seeds=seeds)
        noise = self._noise(seeds)
        runners = {name: self._runner(name, after) for name in self._open(before)}
        found = {name: runners[name].p(noise) for name in field}
        won = {name: (after.laps, p) for name, p in found.items() if runners[name].wins(noise, self.alpha)}
        why = {name: self._why_over(each, noise) for name, each in runners.items() if name not in won}
        lost = {name: reason for name, reason in why.items() if reason is not None}
        best = {name: min(p, before.best_p.get(name, 1.0)) for name, p in found.items()}
        return replace(
            after,
            won={**before.won, **won},
            dropped={**before.dropped, **dict.fromkeys(lost, after.laps)},
            reasons={**before.reasons, **lost},
            best_p={**before.best_p, **best},
        )

    def _why_over(self, runner: Runner, noise: MediumNoise) -> str | None:
        """Why a variant that has not won gets no further seed; None when it may."""
        if runner.seeds >= SEEDS:
            return f"{SEEDS} fresh seeds, and no look declared it"
        chance = self._chance(runner, noise)
        if chance < LEAST_CHANCE:
            return f"weak: P(effect >= min_effect) = {chance:.2f} < {LEAST_CHANCE:g}"
        worth = self._worth(runner, noise)
        if worth < self.rate:
            return f"not worth a fresh seed: {worth:.4f} winners a medium run < {self.rate:.4f}"
        return None

    def _chance(self, runner: Runner, noise: MediumNoise) -> float:
        return chance_of(runner.readings(noise), self._effects)

    def _worth(self, runner: Runner, noise: MediumNoise) -> float:
        return index(runner, noise, self.alpha, self._effects)

    def _runner(self, name: str, standing: Standing) -> Runner:
        screened = self.screened(name).readings
        comparison = self.comparison(name, standing.seeds[name]) if standing.seeds[name] else None
        if comparison is None:
            return Runner(screened=screened)
        ours, theirs = comparison.variant.values(), comparison.baseline.values()
        delta = math.fsum(ours) / len(ours) - math.fsum(theirs) / len(theirs)
        return Runner(screened=screened, seeds=len(ours), delta=delta)

    def _noise(self, seeds: Mapping[str, int]) -> MediumNoise:
        """By the baseline's fresh seeds and those of every tested candidate, over what was known before.

        Never by the spread between variants: their effects are in it.
        """
        comparisons = [self.comparison(name, count) for name, count in seeds.items() if count]
        own = compare(self.runs.objective, self._baseline, self._baseline)
        baseline = {} if own is None else own.baseline
        spread = spread_of([baseline, *(each.variant for each in comparisons if each is not None)])
        noise = moderated(spread, self.known.noise, self.known.floor)
        return MediumNoise(
            variance=noise.variance,
            df=noise.df,
            interaction=INTERACTION_SHARE * self.known.floor,
            baseline_seeds=len(baseline) or SEEDS,
            is_measured=noise.is_measured,
        )


def adjusted(p: float) -> float:
    """p for the looks that a candidate may get, comparable with alpha."""
    return min(1.0, p / SHARE)


def most_laps(candidates: int) -> int:
    """Laps that a race of so many can have: of FIELD at a time, then of all that are left."""
    return SEEDS if candidates <= FIELD else SEEDS * candidates // FIELD + SEEDS
