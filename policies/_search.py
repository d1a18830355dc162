"""What comes next in a search by `screen_confirm`? Stage by stage, from the runs that are over."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from policies._assessment import (
    Progress,
    TaskRuns,
    evidence,
    is_comparable,
    progress,
    screened_at_quick,
    screened_variant,
)
from policies._calibration import calibrated_share
from policies._confirming import baseline_slots, candidate_slots
from policies._looks import LookPlan, Looks, adjusted_p
from policies._marks import first, last_before, members, union
from policies._memo import Memo
from policies._planning import independent_examples
from policies._screening import (
    Screened,
    ScreenRule,
    baseline_quick_slots,
    chances,
    confirm_set,
    promoted,
)
from policies._two_stages import TwoStages
from policies._verdict import judge
from policies.evidence import BASELINE, Delta, Hold, Promote, Prune, matched_delta
from policies.steps import (
    CandidateAtLook,
    ConfirmSet,
    Decide,
    Freeze,
    Judge,
    Look,
    Run,
    Step,
    TaskView,
)

if TYPE_CHECKING:
    from policies.screen_confirm import Policy

CALIBRATION_SEED = 0

# What follows from thousands of runs is asked for again with each of the decisions that they lead to.
_WEAK: Memo[int] = Memo(2)
_RANKINGS: Memo[tuple[int, ...]] = Memo(4)
_PROGRESS: Memo[Progress] = Memo(2)


@dataclass(frozen=True, kw_only=True)
class Search(TwoStages):
    """One task under the policy, with what follows from its runs worked out once."""

    policy: Policy

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
            ledger=view.ledger,
            stored=view.stored.get(self.medium, {}),
        )

    def screened(self, name: str) -> Screened:
        """The variant as slot 0 shows it, worked out when it is first asked for: most steps need one."""
        if name not in self._screened:
            self._screened[name] = screened_variant(self.runs, name)
        return self._screened[name]

    @functools.cached_property
    def _screened(self) -> dict[str, Screened]:
        return {}

    @functools.cached_property
    def plan(self) -> LookPlan | None:
        frozen = self.view.confirm_set
        if frozen is None or not frozen.candidates:
            return None
        return LookPlan(
            candidates=frozen.candidates, looks=frozen.looks, alpha=frozen.alpha, share=frozen.share
        )

    @functools.cached_property
    def failed(self) -> frozenset[str]:
        """Candidates that have a fresh run which can tell nothing, and never will."""
        candidates = self.plan.candidates if self.plan is not None else ()
        return frozenset(name for name in candidates if not is_comparable(self.runs, name))

    @functools.cached_property
    def progress(self) -> Progress | None:
        plan = self.plan
        if plan is None:
            return None
        known_by = (self._known_by(*self.view.stages), plan, self.failed)
        return _PROGRESS.get(known_by, lambda: progress(self.runs, plan, self.failed))

    def next(self) -> Step | None:
        if not self.marks.names:
            return self._listed_baselines()
        return (
            self._screen()
            or self._promote()
            or self._medium_of_survivors()
            or self._freeze()
            or self._after_medium()
            or self._confirm()
            or self._judge()
            or self._long()
        )

    def _examples(self) -> int | None:
        """Independent examples of the set that confirms, by its first baseline run or the spec."""
        told = [run for run in self.view.baseline if run.n_clusters or run.n_eval]
        at_medium = [run for run in told if run.stage == self.medium]
        declared = self.view.examples.get(self.medium)
        return independent_examples(next(iter(at_medium or told), None), declared)

    def _screen(self) -> Step | None:
        """Quick at slot 0 for the baseline and every variant; whatever has no chance is pruned at once."""
        marks, undecided = self.marks, self.undecided
        if not undecided:
            return None
        waiting = first(undecided & ~marks.has_run(self.quick, 0))
        # those before the last were asked when they were the last; once all ran, nobody is left unasked
        asked = self._first_weak() if waiting is None else last_before(undecided, waiting)
        if asked is not None:
            weak = self._why_weak(marks.names[asked])
            if weak is not None:
                return self._decided(marks.names[asked], self.quick, Prune(reason=weak))
        if waiting is None:
            return None
        slots = baseline_quick_slots(len(marks.names)) if self.quick != self.medium else (0,)
        return self._missing(self.quick, BASELINE, slots) or self._missing(
            self.quick, marks.names[waiting], (0,)
        )

    def _why_weak(self, name: str) -> str | None:
        return self._rule.why_weak(self.screened(name), self.view.ledger.effects)

    def _first_weak(self) -> int | None:
        """The first undecided variant that has no chance, when all have run."""

        def weak() -> int:
            names = self.marks.names
            return union(1 << i for i, name in enumerate(names) if self._why_weak(name) is not None)

        return first(_WEAK.get(self._known_by(*self.view.stages), weak) & self.undecided)

    def _known_by(self, *stages: str) -> Hashable:
        """What everything that slot 0 shows follows from, by runs of these stages."""
        if self.quick not in self.marks.versions:
            return object()  # nobody knows, and nothing is the same
        return (
            tuple(self.marks.versions.get(stage) for stage in stages),
            tuple(run for run in self.view.baseline if run.stage in stages),
            (self.policy, self.view.objective, self.view.ledger, self.view.stages, self.runs.examples),
            tuple(self.runs.stored.items()),
        )

    @functools.cached_property
    def undecided(self) -> int:
        """Variants about which nothing is decided after quick."""
        return self.marks.everyone & ~self.marks.decided_after(self.quick)

    @property
    def promoted(self) -> int:
        """Those that went on after quick."""
        return self.marks.was("promoted", self.quick)

    @property
    def _rule(self) -> ScreenRule:
        return ScreenRule(
            rule=self.policy.rule,
            weak_below=self.policy.weak_below,
            min_delta=self.policy.min_delta / self.view.objective.min_effect,
        )

    def _promote(self) -> Step | None:
        """The best half of all variants goes on, once all are screened."""
        marks, undecided = self.marks, self.undecided
        if not undecided:
            return None
        following = marks.names[first(undecided) or 0]
        if self.view.confirm_set is not None:
            late = Hold(reason="the confirm set is frozen already; a new round can try it again")
            return self._decided(following, self.quick, late)
        if self.quick == self.medium:
            return self._decided(following, self.quick, Promote(reason="may be a candidate"))
        survivors = marks.everyone & ~marks.was("pruned", self.quick)
        going_on = self._going_on(survivors)
        rank = _first_of(going_on, undecided)
        if rank is not None:
            best = marks.names[going_on[rank]]
            place = f"place {rank + 1} of {survivors.bit_count()}"
            return self._decided(best, self.quick, Promote(reason=place))
        not_among = f"not among the best {len(going_on)} of {len(marks.names)}"
        return self._decided(following, self.quick, Hold(reason=not_among))

    def _going_on(self, survivors: int) -> tuple[int, ...]:
        """Those of the survivors of quick that get medium, best first."""

        def ranked() -> tuple[int, ...]:
            names, effects = self.marks.names, self.view.ledger.effects
            able = [self.screened(names[place]) for place in members(survivors)]
            places = {each.name: place for each, place in zip(able, members(survivors), strict=True)}
            return tuple(places[name] for name in promoted(able, len(names), effects))

        return _RANKINGS.get(("going on", self._known_by(*self.view.stages), survivors), ranked)

    def _after_medium(self) -> Step | None:
        """What the frozen set means for each survivor."""
        frozen = self.view.confirm_set
        following = first(self.promoted & ~self.marks.decided_after(self.medium))
        if frozen is None or following is None:
            return None
        name = self.marks.names[following]
        if name in frozen.candidates:
            place = f"candidate {frozen.candidates.index(name) + 1} of {len(frozen.candidates)}"
            return self._decided(name, self.medium, Promote(reason=place))
        return self._decided(name, self.medium, Hold(reason="not in the confirm set"))

    def _decided(self, name: str, stage: str, decision: Prune | Promote | Hold) -> Decide:
        shown = self.screened(name)
        before = shown.at_quick if stage == self.quick else shown
        has_run = before.first is not None
        return Decide(
            config=name,
            stage=stage,
            decision=decision,
            to_stage="confirm" if stage == self.medium else None,
            delta=_slot_0_delta(self.view, name, stage),
            chance=before.chance(self.view.ledger.effects) if has_run else None,
        )

    def _medium_of_survivors(self) -> Step | None:
        """Medium at slot 0, the baseline first: it selects once more, and never judges."""
        survivors = self.promoted
        if not survivors or self.view.confirm_set is not None:
            return None
        missing = survivors & ~self.marks.has_run(self.medium, 0)
        if not missing:
            return self._missing(self.medium, BASELINE, (0,))
        baseline = self._missing(self.medium, BASELINE, (0,))
        if baseline is not None:
            return baseline
        best_first = self._by_chance(survivors)
        best = self.marks.names[best_first[_first_of(best_first, missing) or 0]]
        return Run(stage=self.medium, config=best, slot=0)

    def _by_chance(self, survivors: int) -> tuple[int, ...]:
        """Survivors as quick showed them, best first; ties keep their order."""

        def ranked() -> tuple[int, ...]:
            names = self.marks.names
            shown = {place: screened_at_quick(self.runs, names[place]) for place in members(survivors)}
            by_chance = {place: each.chance() for place, each in shown.items()}
            return tuple(sorted(by_chance, key=lambda place: -by_chance[place]))

        return _RANKINGS.get(("by chance", self._known_by(self.quick), survivors), ranked)

    def _freeze(self) -> Step | None:
        if self.view.confirm_set is not None or not self.promoted:
            return None
        able = [self.screened(self.marks.names[place]) for place in members(self.promoted)]
        effects = self.view.ledger.effects
        candidates = confirm_set(able, effects)
        frozen = ConfirmSet(
            candidates=candidates,
            looks=self.policy.looks,
            alpha=self.policy.level,
            share=self._share(len(candidates)),
            examples=self._examples(),
            chances=chances(able, effects),
        )
        return Freeze(stage=self.medium, confirm_set=frozen)

    def _share(self, candidates: int) -> float | None:
        """The calibrated share of alpha; None where the safe one holds."""
        noise = self.view.ledger.medium
        if not self.policy.calibrated_looks or noise is None or not candidates:
            return None
        return calibrated_share(
            candidates=candidates,
            looks=self.policy.looks,
            alpha=self.policy.level,
            prior_df=noise.df,
            seed=CALIBRATION_SEED,
            correlation=self.view.ledger.correlation,
        )

    def _confirm(self) -> Step | None:
        """The next fresh seed of the next look, one of each candidate in turn; or the look itself."""
        if self.plan is None or self.marks.with_verdict or self.view.looks_taken == self.plan.looks:
            return None  # verdicts come after the last look
        assert self.progress is not None
        looks = self.progress.looks
        if looks.taken > self.view.looks_taken:
            return self._look(self.view.looks_taken + 1)
        able = [name for name in looks.open if name not in self.failed]
        if not able:
            return None
        look = looks.taken + 1
        for slot in baseline_slots(look):
            for name in (BASELINE, *able):
                if name == BASELINE or slot in candidate_slots(look):
                    missing = self._missing(self.medium, name, (slot,))
                    if missing is not None:
                        return missing
        raise AssertionError(f"look {look} has its runs and was not taken")

    def _look(self, look: int) -> Look:
        """What look number `look` showed, as it did when it was taken."""
        assert self.plan is not None
        assert self.progress is not None
        looks, unit = self.progress.looks, self.view.objective.min_effect
        found = {}
        for name, candidate in self.progress.at_look(look).items():
            measured, reading = candidate.estimate, candidate.reading
            found[name] = CandidateAtLook(
                delta=measured.delta * unit,
                se=measured.se * unit,
                df=measured.df,
                p=reading.p,
                adjusted_p=self._adjusted(looks, name, look, reading.p),
                chance=reading.probability,
                variant_seeds=measured.variant_seeds,
                baseline_seeds=measured.baseline_seeds,
            )
        return Look(
            stage=self.medium,
            look=look,
            candidates=found,
            rejected=tuple(name for name, each in looks.rejected.items() if each.look == look),
            futile=tuple(name for name, at in looks.futile.items() if at == look),
        )

    def _adjusted(self, looks: Looks, name: str, look: int, p: float) -> float:
        if name in looks.rejected:
            return looks.rejected[name].adjusted_p
        rejected = sum(each.look <= look for each in looks.rejected.values())
        return adjusted_p(looks.plan, p, len(looks.plan.candidates) - rejected)

    def _judge(self) -> Step | None:
        following = first(self.marks.everyone & ~self.marks.with_verdict)
        if following is None:
            return None
        name = self.marks.names[following]
        plan = self.plan if self.plan is not None and name in self.plan.candidates else None
        return Judge(config=name, verdict=judge(evidence(self.runs, name, plan, self.failed)))


def _first_of(ranked: Sequence[int], places: int) -> int | None:
    """The rank of the best one among `places`."""
    digits = f"{places:b}"[::-1]  # a bit of a long number is far to find, a letter is not
    among = (rank for rank, place in enumerate(ranked) if digits[place : place + 1] == "1")
    return next(among, None)


def _slot_0_delta(view: TaskView, name: str, stage: str) -> Delta | None:
    """The matched delta of the screening seed, as records and the log tell it."""
    variant, baseline = ([run for run in runs if run.slot == 0] for runs in view.evidence(name).at(stage))
    return matched_delta(view.objective, variant, baseline)
