"""What comes next in a race? Screening, the candidates, laps of one fresh seed each, the verdicts."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from policies._assessment import Ledger, TaskRuns, evidence_with
from policies._looks import Rejection
from policies._marks import first
from policies._planning import Design, independent_examples
from policies._race_laps import FRESH_SLOTS, QUICK_SLOTS, Laps, adjusted, most_laps
from policies._race_level import SEEDS, SHARE, level, stopping_rate
from policies._two_stages import TwoStages
from policies._variance import NoisePrior, noise_prior
from policies._verdict import Confirmation, judge
from policies.evidence import BASELINE, Objective, Promote, Prune
from policies.steps import ConfirmSet, Decide, Freeze, Judge, Run, Step

if TYPE_CHECKING:
    from policies.race import Policy

#: degrees of freedom that the noise of other tasks is worth
PRIOR_DF = 4.0


@dataclass(frozen=True, kw_only=True)
class Race(TwoStages):
    """One task under the policy, with what follows from its runs worked out once."""

    policy: Policy

    @property
    def alpha(self) -> float:
        """The level of this task. It is frozen with it, since its ledger is."""
        counters = self.view.ledger.counters
        return level(counters, self.policy.target, guarantee=self.policy.guarantee)

    @property
    def rate(self) -> float:
        """The stopping rate of this task."""
        return stopping_rate(self.view.ledger.counters)

    @functools.cached_property
    def laps(self) -> Laps:
        frozen = self.view.confirm_set
        return Laps(
            runs=self.runs,
            alpha=self.alpha if frozen is None else frozen.alpha,
            rate=self.rate,
            candidates=() if frozen is None else frozen.candidates,
            taken=self.view.looks_taken,
        )

    @functools.cached_property
    def runs(self) -> TaskRuns:
        view = self.view
        frozen = view.confirm_set
        return TaskRuns(
            objective=view.objective,
            baseline=view.baseline,
            variants=view.variants,
            examples=frozen.examples if frozen is not None else self._examples(),
            discordance=self.policy.discordance,
            quick=self.quick,
            medium=self.medium,
            ledger=with_own_noise(view.ledger, view.objective),
        )

    def next(self) -> Step | None:
        if not self.view.variants:
            return self._listed_baselines()
        return (
            self._screen()
            or self._freeze()
            or self._after_quick()
            or self._lap()
            or self._judge()
            or self._long()
        )

    def _examples(self) -> int | None:
        """Independent examples of the evaluation set, by the baseline's first run or the spec."""
        told = [run for run in self.view.baseline if run.n_clusters or run.n_eval]
        return independent_examples(next(iter(told), None), self.view.examples.get(self.medium))

    def _screen(self) -> Step | None:
        """Quick at slot 0 for every variant, once the baseline has its three."""
        marks = self.marks
        waiting = first(marks.everyone & ~marks.has_run(self.quick, 0))
        if self.view.confirm_set is not None or waiting is None:
            return None
        baseline = self._missing(self.quick, BASELINE, QUICK_SLOTS)
        return baseline or Run(stage=self.quick, config=marks.names[waiting], slot=0)

    def _freeze(self) -> Step | None:
        """Who races, with the level of every look."""
        if self.view.confirm_set is not None:
            return None
        shown = (self.laps.screened(name) for name in self.view.variants)
        able = [each for each in shown if self.laps.why_not(each) is None]
        chances = {each.name: each.chance(self.view.ledger.effects) for each in able}
        frozen = ConfirmSet(
            candidates=tuple(sorted(chances, key=lambda name: -chances[name])),
            looks=most_laps(len(able)),
            alpha=self.alpha,
            share=SHARE,
            examples=self._examples(),
            chances=chances,
        )
        return Freeze(stage=self.medium, confirm_set=frozen)

    def _after_quick(self) -> Step | None:
        """What the frozen candidates mean for each variant."""
        frozen, marks = self.view.confirm_set, self.marks
        following = first(marks.everyone & ~marks.decided_after(self.quick))
        if frozen is None or following is None:
            return None
        name = marks.names[following]
        shown = self.laps.screened(name)
        if name in frozen.candidates:
            place = frozen.candidates.index(name) + 1
            decision: Promote | Prune = Promote(reason=f"candidate {place} of {len(frozen.candidates)}")
        else:
            decision = Prune(reason=self.laps.why_not(shown) or "not a candidate when the race began")
        return Decide(
            config=name,
            stage=self.quick,
            decision=decision,
            to_stage="confirm",
            delta=self.view.evidence(name).delta(self.quick),
            chance=None if shown.first is None else shown.chance(self.view.ledger.effects),
        )

    def _lap(self) -> Step | None:
        """One more fresh seed of each in the field, the baseline's before them all; then a look."""
        if self.marks.with_verdict or not self.laps.field:
            return None
        missing = self._missing(self.medium, BASELINE, FRESH_SLOTS)
        for name in self.laps.field:
            missing = missing or self._missing(self.medium, name, (self.laps.standing.seeds[name] + 1,))
        return missing or self.laps.next_look(self.medium)

    def _judge(self) -> Step | None:
        following = first(self.marks.everyone & ~self.marks.with_verdict)
        if following is None:
            return None
        name = self.marks.names[following]
        found = evidence_with(self.runs, name, self._design(), self._confirmation(name))
        return Judge(config=name, verdict=judge(found))

    def _design(self) -> Design:
        known = self.laps.known
        return Design(
            noise=known.noise,
            floor=known.floor,
            looks=SEEDS,
            alpha=self.laps.alpha,
            correlation=known.correlation,
        )

    def _confirmation(self, name: str) -> Confirmation | None:
        shown, standing = self.laps.confirmed(name), self.laps.standing
        if shown is None:
            return None
        won = standing.won.get(name)
        rejection = None if won is None else Rejection(look=won[0], adjusted_p=adjusted(won[1]))
        return Confirmation(fresh=shown, rejection=rejection, is_futile=name in standing.dropped)


def with_own_noise(ledger: Ledger, objective: Objective) -> Ledger:
    """The ledger, its noise also by the candidates that earlier rounds of this very task have tested.

    Of a unit that nothing is known of, the baseline's own seeds have to tell.
    """
    quick = noise_prior("quick", objective, fitted=ledger.quick)
    medium = noise_prior("medium", objective, fitted=ledger.medium)
    own = ledger.own
    # how much noisier this task is than others
    factor = (PRIOR_DF + own.ss / medium.sd**2) / (PRIOR_DF + own.df)
    return replace(ledger, quick=_scaled(quick, factor, own.df), medium=_scaled(medium, factor, own.df))


def _scaled(prior: NoisePrior, factor: float, df: int) -> NoisePrior | None:
    if not prior.is_measured:
        return None
    return replace(prior, sd=prior.sd * math.sqrt(factor), df=PRIOR_DF + df)
