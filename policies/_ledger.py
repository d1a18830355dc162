"""What does a finished task teach the next one? Its noise, its luck with seeds, and its variants' effects."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from policies._assessment import Ledger, TaskRuns, progress, screened
from policies._delta import SeedPairs, compare, fit_correlation, pairs_of
from policies._effect_prior import Reading, combined, refit
from policies._looks import LookPlan
from policies._posterior import medium_reading
from policies._variance import MIN_SEEDS_FOR_SD, Spread, fit_noise, quick_from_medium, spread_of
from policies.evidence import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One finished task, as a ledger keeps it; numbers are in units of its min_effect."""

    unit: str
    min_effect: float
    #: within-config spreads
    quick: Spread
    medium: Spread
    pairs: SeedPairs
    #: all that is known of each variant that was tried, pruned ones included
    readings: tuple[Reading, ...]
    #: how many of them have fresh seeds
    confirmed: int


def lesson_of(task: TaskRuns, plan: LookPlan | None = None, failed: Collection[str] = ()) -> Lesson:
    """The lesson of a task that has ended; `plan` where a confirm set was frozen.

    Medium noise is learnt from fresh seeds alone: those that selected a candidate were lucky together.
    """
    now = progress(task, plan, failed) if plan is not None else None
    comparisons = now.comparisons if now is not None else {}
    confirmed = now.confirmed if now is not None else {}
    readings = {each.name: list(each.readings) for each in screened(task) if each.stopped is None}
    for name in confirmed.keys() & readings.keys():
        readings[name].append(medium_reading(confirmed[name].estimate))
    baseline = max((each.baseline for each in comparisons.values()), key=len, default={})
    return Lesson(
        unit=task.objective.unit,
        min_effect=task.objective.min_effect,
        quick=_quick_spread(task),
        medium=spread_of([baseline, *(each.variant for each in comparisons.values())]),
        pairs=sum((pairs_of(each) for each in comparisons.values()), SeedPairs()),
        readings=tuple(combined(each) for each in readings.values() if each),
        confirmed=len(confirmed.keys() & readings.keys()),
    )


def learnt(lessons: Sequence[Lesson], objective: Objective) -> Ledger:
    """What the lessons tell a task of that objective.

    Noise is learnt from tasks of the same unit, correlation and effects from all; where there is too little,
    the cold start stays.
    """
    kin = [each for each in lessons if each.unit == objective.unit]
    scales = [(each.min_effect / objective.min_effect) ** 2 for each in kin]
    quick = fit_noise([_scaled(each.quick, scale) for each, scale in zip(kin, scales, strict=True)])
    medium = fit_noise([_scaled(each.medium, scale) for each, scale in zip(kin, scales, strict=True)])
    if quick is None and medium is not None:
        quick = quick_from_medium(medium)
    return Ledger(
        quick=quick,
        medium=medium,
        correlation=fit_correlation(sum((each.pairs for each in lessons), SeedPairs())),
        effects=refit(
            [reading for each in lessons for reading in each.readings],
            confirmed=sum(each.confirmed for each in lessons),
        ),
    )


def _quick_spread(task: TaskRuns) -> Spread:
    """Of the baseline at quick; nothing from one or two seeds, whose spread would only blur a fit."""
    runs = [run for run in task.baseline if run.stage == task.quick]
    own = compare(task.objective, runs, runs)
    if own is None or len(own.baseline) < MIN_SEEDS_FOR_SD:
        return Spread()
    return spread_of([own.baseline])


def _scaled(spread: Spread, factor: float) -> Spread:
    return Spread(ss=spread.ss * factor, df=spread.df)
