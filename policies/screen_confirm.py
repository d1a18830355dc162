"""Which variants are truly better? Screen, promote, confirm on fresh seeds: those that judge never selected.

Every variant runs quick at slot 0; those without a chance are pruned, the best half gets medium at slot 0,
and at most four are frozen as candidates. Only then run slots 1, 2, ... of the candidates and the baseline,
one seed of each in turn, and the declared looks at them alone lead to a verdict.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from policies._assessment import Progress, TaskRuns, evidence, is_comparable, progress, screened_variant
from policies._calibration import calibrated_share
from policies._confirming import baseline_slots, candidate_slots
from policies._ledger import Lesson, lesson_of
from policies._looks import SAFE_SHARE, LookPlan, Looks, adjusted_p
from policies._planning import independent_examples
from policies._screening import (
    MAX_CONFIRMED,
    Screened,
    ScreenRule,
    baseline_quick_slots,
    chances,
    confirm_set,
    promoted,
)
from policies._variance import DEFAULT_DISCORDANCE
from policies._verdict import judge
from policies.evidence import BASELINE, Delta, Hold, Observation, Promote, Prune
from policies.steps import (
    CandidateAtLook,
    ConfirmSet,
    Decide,
    Freeze,
    Judge,
    Look,
    PossibleRun,
    Run,
    Step,
    TaskView,
)

Profile = Literal["explore", "default", "strict"]
ALPHAS: Mapping[str, float] = {"explore": 0.20, "default": 0.10, "strict": 0.05}
RULES = ("posterior", "threshold")
CALIBRATION_SEED = 0
#: how often a variant that is still to be screened gets medium, in simulated rounds
PROMOTED_SHARE = 0.5
#: how often a round has a first, second, ... candidate, and a candidate its first, second, ... fresh seed
CANDIDATE_CHANCES = (0.6, 0.35, 0.2, 0.1)
SEED_CHANCES = (1.0, 0.7, 0.5, 0.4, 0.35)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Screen on slot 0, confirm on fresh seeds."""

    #: how sure a WINNER must be: explore .20, default .10, strict .05
    profile: Profile = "default"
    #: the level itself, in place of a profile's
    alpha: float | None = None
    #: fresh seeds a candidate gets at most, with a look after each; declared before the round runs
    looks: int = 3
    #: spend what the safe shares of alpha leave over, by simulation; for a noise that a ledger has told
    calibrated_looks: bool = False
    #: how a variant is pruned after quick: by its chance, or below `min_delta`
    rule: Literal["posterior", "threshold"] = "posterior"
    #: smallest matched quick delta that survives `rule = "threshold"`, in the objective's unit
    min_delta: float = 0.0
    #: P(effect >= min_effect) below which `rule = "posterior"` prunes
    weak_below: float = 0.15
    #: share of the examples on which two runs disagree
    discordance: float = DEFAULT_DISCORDANCE

    def __post_init__(self) -> None:
        problems = [
            *_unknown("profile", self.profile, tuple(ALPHAS)),
            *_unknown("rule", self.rule, RULES),
            *_out_of_range("alpha", self.alpha, 0.0, 0.5, may_be_none=True),
            *_out_of_range("weak_below", self.weak_below, 0.0, 1.0),
            *_out_of_range("discordance", self.discordance, 0.0, 1.0),
        ]
        if self.calibrated_looks not in (True, False):
            problems.append(f"calibrated_looks: must be true or false (found {self.calibrated_looks!r})")
        if isinstance(self.looks, bool) or self.looks not in SAFE_SHARE:
            problems.append(f"looks: must be 1 to {max(SAFE_SHARE)} (found {self.looks!r})")
        if not _is_number(self.min_delta) or not math.isfinite(self.min_delta):
            problems.append(f"min_delta: must be a finite number (found {self.min_delta!r})")
        if problems:
            raise ValueError("\n".join(problems))

    @property
    def level(self) -> float:
        """Alpha, named or told by the profile."""
        return ALPHAS[self.profile] if self.alpha is None else self.alpha

    def next(self, view: TaskView) -> Step | None:
        """Screening of all variants, promotion, the frozen set, its looks, the verdicts; then long runs."""
        return _Search(policy=self, view=view).next()

    def possible_runs(self, view: TaskView) -> Iterator[PossibleRun]:
        """What may still run; candidates that nobody knows yet are called by their number."""
        return _Search(policy=self, view=view).possible_runs()

    def lesson(self, view: TaskView) -> Lesson:
        """Noise, correlation and effects, as fresh seeds showed them."""
        search = _Search(policy=self, view=view)
        return lesson_of(search.runs, search.plan, search.failed, only_measures=not view.variants)


@dataclass(frozen=True, kw_only=True)
class _Search:
    """One task under the policy, with what follows from its runs worked out once."""

    policy: Policy
    view: TaskView

    @functools.cached_property
    def stages(self) -> tuple[str, ...]:
        """`confirm` is medium on fresh seeds, and no stage of its own."""
        return tuple(stage for stage in self.view.stages if stage != "confirm")

    @property
    def quick(self) -> str:
        return self.stages[0]

    @property
    def medium(self) -> str:
        """The stage that confirms; a task with one stage screens and confirms there."""
        return self.stages[min(1, len(self.stages) - 1)]

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
        return progress(self.runs, self.plan, self.failed) if self.plan is not None else None

    def next(self) -> Step | None:
        if not self.view.variants:
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

    def _missing(self, stage: str, config: str, slots: tuple[int, ...]) -> Run | None:
        missing = (slot for slot in slots if self.view.run(stage, config, slot) is None)
        return next((Run(stage=stage, config=config, slot=slot) for slot in missing), None)

    def _listed_baselines(self) -> Step | None:
        """A task without variants measures: every listed seed, at every stage."""
        slots = tuple(range(self.view.listed_seeds))
        runs = (self._missing(stage, BASELINE, slots) for stage in self.stages)
        return next((run for run in runs if run is not None), None)

    def _screen(self) -> Step | None:
        """Quick at slot 0 for the baseline and every variant; whatever has no chance is pruned at once."""
        undecided = self._undecided
        if not undecided:
            return None
        ran = list(itertools.takewhile(self._has_screened, undecided))
        # those before the last were asked when they were the last; once all ran, nobody is left unasked
        for name in ran[-1:] if len(ran) < len(undecided) else ran:
            weak = self._rule.why_weak(self.screened(name), self.view.ledger.effects)
            if weak is not None:
                return self._decided(name, self.quick, Prune(reason=weak))
        if len(ran) == len(undecided):
            return None
        slots = baseline_quick_slots(len(self.view.variants)) if self.quick != self.medium else (0,)
        return self._missing(self.quick, BASELINE, slots) or self._missing(
            self.quick, undecided[len(ran)], (0,)
        )

    def _has_screened(self, name: str) -> bool:
        return bool(self.view.variants[name]) and self.view.run(self.quick, name, 0) is not None

    @functools.cached_property
    def _undecided(self) -> list[str]:
        """Variants about which nothing is decided after quick."""
        quick, decisions = self.quick, self.view.decisions
        return [name for name in self.view.variants if quick not in decisions.get(name, ())]

    @property
    def _rule(self) -> ScreenRule:
        return ScreenRule(
            rule=self.policy.rule,
            weak_below=self.policy.weak_below,
            min_delta=self.policy.min_delta / self.view.objective.min_effect,
        )

    def _promote(self) -> Step | None:
        """The best half of all variants goes on, once all are screened."""
        undecided = self._undecided
        if not undecided:
            return None
        if self.view.confirm_set is not None:
            late = Hold(reason="the confirm set is frozen already; a new round can try it again")
            return self._decided(undecided[0], self.quick, late)
        pruned = {name for name in self.view.variants if self.view.decided(name, self.quick) == "pruned"}
        survivors = [self.screened(name) for name in self.view.variants if name not in pruned]
        if self.quick == self.medium:
            return self._decided(undecided[0], self.quick, Promote(reason="may be a candidate"))
        going_on = promoted(survivors, len(self.view.variants), self.view.ledger.effects)
        best_first = [*(name for name in going_on if name in undecided)]
        if best_first:
            place = f"place {going_on.index(best_first[0]) + 1} of {len(survivors)}"
            return self._decided(best_first[0], self.quick, Promote(reason=place))
        not_among = f"not among the best {len(going_on)} of {len(self.view.variants)}"
        return self._decided(undecided[0], self.quick, Hold(reason=not_among))

    def _after_medium(self) -> Step | None:
        """What the frozen set means for each survivor."""
        frozen = self.view.confirm_set
        undecided = [name for name in self._survivors if self.view.decided(name, self.medium) is None]
        if frozen is None or not undecided:
            return None
        name = undecided[0]
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
            chance=before.posterior(self.view.ledger.effects).at_least(1.0) if has_run else None,
        )

    @functools.cached_property
    def _survivors(self) -> list[str]:
        return [name for name in self.view.variants if self.view.decided(name, self.quick) == "promoted"]

    def _medium_of_survivors(self) -> Step | None:
        """Medium at slot 0, the baseline first: it selects once more, and never judges."""
        survivors = self._survivors
        if not survivors or self.view.confirm_set is not None:
            return None
        missing = [name for name in survivors if self.view.run(self.medium, name, 0) is None]
        if not missing:
            return self._missing(self.medium, BASELINE, (0,))
        by_chance = chances([self.screened(name).at_quick for name in missing])
        best = max(missing, key=lambda name: by_chance[name])
        return self._missing(self.medium, BASELINE, (0,)) or Run(stage=self.medium, config=best, slot=0)

    def _freeze(self) -> Step | None:
        if self.view.confirm_set is not None or not self._survivors:
            return None
        able = [self.screened(name) for name in self._survivors]
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
        if self.plan is None or self.view.verdicts or self.view.looks_taken == self.plan.looks:
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
        name = next((name for name in self.view.variants if name not in self.view.verdicts), None)
        if name is None:
            return None
        plan = self.plan if self.plan is not None and name in self.plan.candidates else None
        return Judge(config=name, verdict=judge(evidence(self.runs, name, plan, self.failed)))

    def _long(self) -> Step | None:
        """Winners alone go on to the stages after medium, with a baseline of their own there."""
        winners = [name for name, verdict in self.view.verdicts.items() if verdict == "WINNER"]
        for stage in self.stages[2:]:
            for name in winners:
                if self.view.decided(name, stage) is not None:
                    continue
                missing = self._missing(stage, BASELINE, (1,)) or self._missing(stage, name, (1,))
                if missing is not None:
                    return missing
                claim = Hold(reason=f"one seed at {stage}: a claim of its own, beside the verdict")
                delta = self.view.evidence(name).delta(stage)
                return Decide(config=name, stage=stage, decision=claim, delta=delta)
        return None

    def possible_runs(self) -> Iterator[PossibleRun]:
        if not self.view.variants:
            for stage in self.stages:
                for slot in range(self.view.listed_seeds):
                    yield from self._possible(stage, BASELINE, slot, 1.0)
            return
        yield from self._possible_screening()
        if self.view.confirm_set is None:
            yield from self._possible_confirmation()
        else:
            yield from self._possible_looks()
        yield from self._possible_long()

    def _possible(self, stage: str, config: str, slot: int, chance: float) -> Iterator[PossibleRun]:
        known = config == BASELINE or config in self.view.variants
        if not known or self.view.run(stage, config, slot) is None:
            yield PossibleRun(stage=stage, config=config, slot=slot, chance=chance)

    def _possible_screening(self) -> Iterator[PossibleRun]:
        """Quick of what is undecided, and medium at slot 0 of whatever may be promoted."""
        undecided = self._undecided
        if undecided:
            slots = baseline_quick_slots(len(self.view.variants)) if self.quick != self.medium else (0,)
            for slot in slots:
                yield from self._possible(self.quick, BASELINE, slot, 1.0)
        for name in undecided:
            yield from self._possible(self.quick, name, 0, 1.0)
        if self.quick == self.medium or self.view.confirm_set is not None:
            return
        sure = self._survivors
        if undecided or sure:
            nobody = 0.0 if sure else (1.0 - PROMOTED_SHARE) ** len(undecided)
            yield from self._possible(self.medium, BASELINE, 0, 1.0 - nobody)
        for name in (*sure, *undecided):
            yield from self._possible(self.medium, name, 0, 1.0 if name in sure else PROMOTED_SHARE)

    def _possible_confirmation(self) -> Iterator[PossibleRun]:
        """Of candidates that nobody knows yet."""
        able = [name for name in self.view.variants if self.view.decided(name, self.quick) not in _OUT]
        likely = CANDIDATE_CHANCES[: min(MAX_CONFIRMED, len(able))]
        for slot in range(1, self.policy.looks + 2):
            if likely:
                seeds = SEED_CHANCES[max(0, slot - 2)]
                yield from self._possible(self.medium, BASELINE, slot, likely[0] * seeds)
            if slot > self.policy.looks:
                continue
            for place, chance in enumerate(likely, start=1):
                name = f"(candidate {place})"
                yield from self._possible(self.medium, name, slot, chance * SEED_CHANCES[slot - 1])

    def _possible_looks(self) -> Iterator[PossibleRun]:
        if self.plan is None or self.progress is None:
            return
        able = [name for name in self.progress.looks.open if name not in self.failed]
        next_look = self.progress.looks.taken + 1
        for slot in range(1, self.plan.looks + 2):
            later = max(0, slot - next_look)
            chance = SEED_CHANCES[min(later, len(SEED_CHANCES) - 1)]
            if able:
                sooner = SEED_CHANCES[max(0, later - 1)]
                yield from self._possible(self.medium, BASELINE, slot, sooner)
            for name in able if slot <= self.plan.looks else ():
                yield from self._possible(self.medium, name, slot, chance)

    def _possible_long(self) -> Iterator[PossibleRun]:
        winners = [name for name, verdict in self.view.verdicts.items() if verdict == "WINNER"]
        names = winners if len(self.view.verdicts) == len(self.view.variants) else ["(winner 1)"]
        for stage in self.stages[2:]:
            chance = 1.0 if winners else CANDIDATE_CHANCES[0] / 2
            for name in (BASELINE, *names) if names else ():
                yield from self._possible(stage, name, 1, chance)


_OUT = ("pruned", "held")


def _slot_0_delta(view: TaskView, name: str, stage: str) -> Delta | None:
    """The matched delta of the screening seed, as records and the log tell it."""

    def at_slot_0(runs: tuple[Observation, ...]) -> tuple[Observation, ...]:
        return tuple(run for run in runs if run.stage == stage and run.slot == 0)

    evidence_at = view.evidence(name)
    return type(evidence_at)(
        objective=view.objective,
        stages=view.stages,
        variant=at_slot_0(evidence_at.variant),
        baseline=at_slot_0(evidence_at.baseline),
    ).delta(stage)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unknown(option: str, value: str, known: tuple[str, ...]) -> list[str]:
    return [] if value in known else [f"{option}: must be one of {', '.join(known)} (found {value!r})"]


def _out_of_range(
    option: str, value: float | None, low: float, high: float, *, may_be_none: bool = False
) -> list[str]:
    if value is None and may_be_none:
        return []
    if value is None or not _is_number(value) or not low < value < high:
        return [f"{option}: must lie between {low:g} and {high:g} (found {value!r})"]
    return []
