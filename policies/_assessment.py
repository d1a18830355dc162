"""What do a task's runs say so far? From observations to what is screened, looked at and judged.

A planner asks these functions and nothing below them. All of them are functions of the runs and of what was
frozen, so that the same records always give the same answers.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from policies._confirming import Confirmed, Knowledge, baseline_slots, comparison_at, confirmed_at
from policies._delta import Comparison, Estimate, SeedCorrelation, compare, estimate, fresh
from policies._effect_prior import DEFAULT_PRIOR, EffectPrior
from policies._guards import (
    broken_class,
    constant_metric,
    data_order_only,
    dead_seed,
    early_stop,
    has_worse_loss,
    infrastructure_class,
    is_no_op,
    leak,
    much_smaller_loss,
)
from policies._looks import LookPlan, Looks, take_look
from policies._planning import Design, is_eval_limited
from policies._race_level import Counters
from policies._screening import Screened, baseline_quick_slots
from policies._variance import (
    DEFAULT_DISCORDANCE,
    NoisePrior,
    Spread,
    eval_variance,
    moderated,
    noise_kind,
    noise_prior,
    spread_of,
)
from policies._verdict import Confirmation, Evidence, Screening
from policies.evidence import Objective, Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What past rounds taught; frozen with the round."""

    #: fitted noise, in units of min_effect; None where the cold start stays
    quick: NoisePrior | None = None
    medium: NoisePrior | None = None
    correlation: SeedCorrelation = field(default_factory=SeedCorrelation)
    effects: EffectPrior = DEFAULT_PRIOR
    #: what the races of all tasks have found
    counters: Counters = field(default_factory=Counters)
    #: within-config spread of the candidates that earlier races of this very task have tested
    own: Spread = field(default_factory=Spread)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRuns:
    """All runs of one task that ended, in the protocols of now."""

    objective: Objective
    baseline: tuple[Observation, ...]
    #: runs by variant, in file order
    variants: Mapping[str, tuple[Observation, ...]]
    #: independent examples of the evaluation set: clusters, where examples share a document or a grid
    examples: int | None = None
    #: share of them on which two runs disagree (psi)
    discordance: float = DEFAULT_DISCORDANCE
    #: the stage that screens, and the one that confirms; equal where a task has one stage only
    quick: str = "quick"
    medium: str = "medium"
    ledger: Ledger = field(default_factory=Ledger)
    #: the metric, raw, of stored fresh runs of the baseline at medium, by seed
    stored: Mapping[int, float] = field(default_factory=dict)

    @property
    def stored_gains(self) -> Mapping[int, float]:
        """The same in units of min_effect, as comparisons have them."""
        objective = self.objective
        return {
            seed: objective.gain(value, 0.0) / objective.min_effect for seed, value in self.stored.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a confirmation has come."""

    looks: Looks
    #: each candidate as it stood at the last look it was part of
    confirmed: Mapping[str, Confirmed]
    #: the fresh runs of each at that look
    comparisons: Mapping[str, Comparison]
    #: the candidates that were read at each look, first look first
    by_look: tuple[Mapping[str, Confirmed], ...] = ()

    def at_look(self, look: int) -> Mapping[str, Confirmed]:
        """The candidates as they stood at look number `look`, which was taken."""
        return self.by_look[look - 1]


def knowledge(task: TaskRuns, stage: str, slots: Collection[int] | None = None) -> Knowledge:
    """What is known of the noise of `stage` before its variants are read, from those slots of the baseline.

    The slots are named so that a decision read again later, with more runs, comes out the same.
    """
    kind = noise_kind(stage, task.quick, task.medium)
    fitted = task.ledger.quick if kind == "quick" else task.ledger.medium
    repeats = dict(task.stored_gains) if stage == task.medium else {}
    if fitted is None and task.objective.unit != "pp":
        runs = _at(task.baseline, stage, slots)
        own = compare(task.objective, runs, runs)
        repeats.update(own.baseline if own is not None else {})
    return Knowledge(
        noise=noise_prior(
            kind,
            task.objective,
            fitted=fitted,
            baseline=repeats,
        ),
        floor=eval_variance(task.objective, task.examples, task.discordance),
        correlation=task.ledger.correlation,
        effects=task.ledger.effects,
    )


def screened(task: TaskRuns) -> tuple[Screened, ...]:
    """Every variant as slot 0 shows it, in file order, with the reason why it cannot go on."""
    return tuple(screened_variant(task, name) for name in task.variants)


def screened_variant(task: TaskRuns, name: str, slots: Collection[int] | None = None) -> Screened:
    """One of them; `slots` names those of the baseline at quick, where a policy has others."""
    runs = task.variants[name]
    slots = baseline_quick_slots(len(task.variants)) if slots is None else slots
    return Screened(
        name=name,
        quick=_slot_0_delta(task, runs, task.quick, slots) if task.quick != task.medium else None,
        medium=_slot_0_delta(task, runs, task.medium, (0,)),
        stopped=_why_stopped(task, runs),
    )


def screened_at_quick(task: TaskRuns, name: str) -> Screened:
    """One of them as quick alone shows it; nothing else is read, nor why it cannot go on."""
    slots = baseline_quick_slots(len(task.variants))
    return Screened(name=name, quick=_slot_0_delta(task, task.variants[name], task.quick, slots))


def progress(task: TaskRuns, plan: LookPlan, failed: Collection[str] = ()) -> Progress:
    """The declared looks, as far as the runs allow.

    A look is taken once every open candidate has its seeds; `failed` names those whose runs will never come.
    """
    readings = {name: screened_variant(task, name).readings for name in plan.candidates}
    looks = Looks(plan=plan)
    last: dict[str, Comparison] = {}
    by_look: list[Mapping[str, Confirmed]] = []
    while looks.open:
        ready = _comparisons(task, looks, looks.taken + 1)
        if not ready or any(name not in ready and name not in failed for name in looks.open):
            break
        earlier = [each for name, each in last.items() if name not in ready]
        known = knowledge(task, task.medium, (0, *baseline_slots(looks.taken + 1)))
        at_look = confirmed_at(ready, known, screened=readings, earlier=earlier, repeats=task.stored_gains)
        last.update(ready)
        by_look.append(at_look)
        looks = take_look(looks, {name: each.reading for name, each in at_look.items()})
    confirmed = {name: each for at_look in by_look for name, each in at_look.items()}
    return Progress(looks=looks, confirmed=confirmed, comparisons=last, by_look=tuple(by_look))


def is_comparable(task: TaskRuns, name: str) -> bool:
    """Whether the fresh runs that a candidate has so far can tell anything beside the baseline's.

    One that failed cannot, nor one that the clock ended before any step that all of them were evaluated at.
    """
    ours = fresh(_at(task.variants[name], task.medium))
    theirs = fresh(_at(task.baseline, task.medium))
    if not all(run.is_usable for run in ours):
        return False
    is_cut_short = any(run.status == "timed_out" for run in (*ours, *theirs))
    return not (ours and theirs and is_cut_short) or compare(task.objective, ours, theirs) is not None


def evidence(
    task: TaskRuns, name: str, plan: LookPlan | None = None, failed: Collection[str] = ()
) -> Evidence:
    """Everything the verdict on `name` may depend on; `plan` once a confirm set is frozen."""
    confirmation = _confirmation(task, name, plan, failed) if plan is not None else None
    return evidence_with(task, name, _design(knowledge(task, task.medium), plan), confirmation)


def evidence_with(task: TaskRuns, name: str, design: Design, confirmation: Confirmation | None) -> Evidence:
    """The same, where a policy has confirmed in its own way."""
    runs = task.variants[name]
    return Evidence(
        objective=task.objective,
        design=design,
        is_no_op=is_no_op(runs, task.baseline),
        broken=broken_class(runs),
        infrastructure=infrastructure_class(runs),
        stopped=early_stop(runs),
        invalid=leak(task.objective, runs, task.baseline) or _dead_metric(task),
        caps=_caps(task, runs),
        warnings=_warnings(task, runs),
        screening=_screening(task, name),
        confirmation=confirmation,
    )


def _at(runs: Iterable[Observation], stage: str, slots: Collection[int] | None = None) -> list[Observation]:
    return [run for run in runs if run.stage == stage and (slots is None or run.slot in slots)]


def _slot_0_delta(
    task: TaskRuns, runs: Sequence[Observation], stage: str, slots: Collection[int]
) -> Estimate | None:
    ours = tuple(_at(runs, stage, (0,)))
    theirs = tuple(_at(task.baseline, stage, slots)) if ours else ()
    if not theirs:
        return None
    known = knowledge(task, stage, slots)
    return _estimated(task.objective, ours, theirs, known.noise, known.floor, known.correlation)


@functools.lru_cache(maxsize=4096)
def _estimated(
    objective: Objective,
    variant: tuple[Observation, ...],
    baseline: tuple[Observation, ...],
    prior: NoisePrior,
    floor: float,
    correlation: SeedCorrelation,
) -> Estimate | None:
    """Kept, since a plan is asked again and again with the same runs."""
    comparison = compare(objective, variant, baseline)
    if comparison is None:
        return None
    noise = moderated(spread_of([comparison.baseline]), prior, floor)
    return estimate(comparison, noise, correlation)


def _why_stopped(task: TaskRuns, runs: Sequence[Observation]) -> str | None:
    if is_no_op(runs, task.baseline):
        return "no-op"
    broken, infrastructure = broken_class(runs), infrastructure_class(runs)
    if broken is not None:
        return f"broken: {broken}"
    if infrastructure is not None:
        return leak(task.objective, runs, task.baseline) or f"infrastructure: {infrastructure}"
    return leak(task.objective, runs, task.baseline) or early_stop(runs)


def _comparisons(task: TaskRuns, looks: Looks, look: int) -> dict[str, Comparison]:
    """What the open candidates show at `look`, of those whose runs are complete."""
    baseline = fresh(_at(task.baseline, task.medium))
    found = {}
    for name in looks.open:
        runs = fresh(_at(task.variants[name], task.medium))
        comparison = comparison_at(task.objective, look, runs, baseline)
        if comparison is not None:
            found[name] = comparison
    return found


def _confirmation(task: TaskRuns, name: str, plan: LookPlan, failed: Collection[str]) -> Confirmation | None:
    now = progress(task, plan, failed)
    if name not in now.confirmed:
        return None
    return Confirmation(
        fresh=now.confirmed[name],
        rejection=now.looks.rejected.get(name),
        is_futile=name in now.looks.futile,
    )


def _screening(task: TaskRuns, name: str) -> Screening | None:
    shown = screened_variant(task, name)
    first = shown.quick or shown.medium
    if first is None:
        return None
    worse = has_worse_loss(_at(task.variants[name], task.quick, (0,)), _at(task.baseline, task.quick, (0,)))
    return Screening(quick=first, posterior=shown.posterior(task.ledger.effects), has_worse_loss=worse)


def _design(known: Knowledge, plan: LookPlan | None) -> Design:
    if plan is None:
        return Design(noise=known.noise, floor=known.floor, correlation=known.correlation)
    return Design(
        noise=known.noise,
        floor=known.floor,
        candidates=len(plan.candidates),
        looks=plan.looks,
        alpha=plan.alpha,
        correlation=known.correlation,
    )


def _caps(task: TaskRuns, runs: Sequence[Observation]) -> tuple[str, ...]:
    """Why the best verdict is SUGGESTIVE."""
    caps = []
    if is_eval_limited(task.objective, task.examples, task.discordance):
        caps.append(f"eval_limited: {task.examples} examples")
    if any(run.status == "timed_out" for run in (*runs, *task.baseline)):
        caps.append("the clock ended a run: an effect of speed as much as of quality")
    dead = dead_seed([*fresh(runs), *fresh(task.baseline)])
    return (*caps, dead) if dead is not None else tuple(caps)


def _warnings(task: TaskRuns, runs: Sequence[Observation]) -> tuple[str, ...]:
    """What gates nothing, and a reader must know."""
    seen = (data_order_only([*runs, *task.baseline]), much_smaller_loss(task.objective, runs, task.baseline))
    return tuple(warning for warning in seen if warning is not None)


def _dead_metric(task: TaskRuns) -> str | None:
    found = (constant_metric(_everything_at(task, stage)) for stage in (task.quick, task.medium))
    return next((sentence for sentence in found if sentence is not None), None)


def _everything_at(task: TaskRuns, stage: str) -> Iterator[Observation]:
    """Every run of a stage, each read when it is asked for."""
    yield from _at(task.baseline, stage)
    for name in task.variants:
        yield from _at(task.variants[name], stage)
