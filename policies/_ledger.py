"""What does a finished task teach the next one? Its noise, its luck with seeds, and its variants' effects."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from policies._assessment import Ledger, TaskRuns, progress, screened
from policies._confirming import Confirmed
from policies._delta import (
    Comparison,
    SeedCorrelation,
    SeedPairs,
    compare,
    fit_correlation,
    fresh,
    pairs_of,
)
from policies._effect_prior import EffectPrior, Part, Reading, combined, refit
from policies._looks import LookPlan
from policies._posterior import medium_reading
from policies._race_level import Counters
from policies._variance import (
    MIN_SEEDS_FOR_SD,
    NoisePrior,
    Spread,
    fit_noise,
    noise_kind,
    quick_from_medium,
    spread_of,
)
from policies.evidence import Objective, Observation


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
    #: what a race adds to the home's counters
    counters: Counters = field(default_factory=Counters)
    #: of its fresh seeds, and the within-config spread of its candidates alone: the task's next race has the
    #: baseline's runs again, and these no more
    protocol: str = ""
    candidates: Spread = field(default_factory=Spread)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to learn from it."""
        spreads = (self.quick.df, self.medium.df, self.candidates.df)
        return not (any(spreads) or self.pairs.pairs or self.readings or self.counters != Counters())


def lesson_of(
    task: TaskRuns,
    plan: LookPlan | None = None,
    failed: Collection[str] = (),
    *,
    only_measures: bool = False,
) -> Lesson:
    """The lesson of a task that has ended; `plan` where a confirm set was frozen.

    Medium noise is learnt from fresh seeds alone, those that selected a candidate were lucky together; but
    where a task `only_measures`, nothing was selected, and slot 0 is a run like any other. A reused run is no
    new evidence: a variant's counts for nothing here, and a baseline's teaches no noise again. A contaminated
    run is none either.
    """
    new_runs = {name: tuple(run for run in runs if run.is_news) for name, runs in task.variants.items()}
    # a look does not wait for runs that are left out
    failed = {*failed, *(name for name, runs in new_runs.items() if len(runs) < len(task.variants[name]))}
    task = replace(task, variants=new_runs)
    now = progress(task, plan, failed) if plan is not None else None
    return lesson_from_fresh_seeds(
        task,
        now.comparisons if now is not None else {},
        now.confirmed if now is not None else {},
        only_measures=only_measures,
    )


def lesson_from_fresh_seeds(
    task: TaskRuns,
    comparisons: Mapping[str, Comparison],
    confirmed: Mapping[str, Confirmed],
    *,
    only_measures: bool = False,
) -> Lesson:
    """The lesson of new runs, `comparisons` and `confirmed` being what the fresh ones among them showed."""
    readings = {each.name: list(each.readings) for each in screened(task) if each.stopped is None}
    for name in confirmed.keys() & readings.keys():
        readings[name].append(medium_reading(confirmed[name].estimate))
    baselines = [each.baseline for each in comparisons.values()]
    if not baselines:
        own = [run for run in task.baseline if run.stage == task.medium]
        baselines = [_by_seed(task, own if only_measures else fresh(own))]
    known = {run.seed for run in task.baseline if run.stage == task.medium and not run.is_news}
    baseline = {s: value for s, value in max(baselines, key=len).items() if s not in known}
    replicated = spread_of([baseline, *(each.variant for each in comparisons.values())])
    is_quick = noise_kind(task.medium, task.quick, task.medium) == "quick"
    return Lesson(
        unit=task.objective.unit,
        min_effect=task.objective.min_effect,
        quick=replicated if is_quick else _quick_spread(task),
        medium=Spread() if is_quick else replicated,
        pairs=sum((pairs_of(each) for each in comparisons.values()), SeedPairs()),
        readings=tuple(combined(each) for each in readings.values() if each),
        confirmed=len(confirmed.keys() & readings.keys()),
    )


def learnt(lessons: Sequence[Lesson], objective: Objective, protocols: Collection[str] = ()) -> Ledger:
    """What the lessons tell a task of that objective, which runs in these protocols.

    Noise is learnt from tasks of the same unit, everything else from all; where there is too little, the cold
    start stays.
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
        counters=sum((each.counters for each in lessons), Counters()),
        own=sum(
            (
                _scaled(each.candidates, scale)
                for each, scale in zip(kin, scales, strict=True)
                if each.protocol in protocols
            ),
            Spread(),
        ),
    )


def _quick_spread(task: TaskRuns) -> Spread:
    """Of the baseline at quick; nothing from one or two seeds, whose spread would only blur a fit.

    Nor from a task of one stage, which confirms there.
    """
    if task.quick == task.medium:
        return Spread()
    own = _by_seed(task, [run for run in task.baseline if run.stage == task.quick and run.is_news])
    return spread_of([own]) if len(own) >= MIN_SEEDS_FOR_SD else Spread()


def _by_seed(task: TaskRuns, runs: Sequence[Observation]) -> Mapping[int, float]:
    """The runs of one stage by seed, in units of min_effect."""
    own = compare(task.objective, runs, runs)
    return own.baseline if own is not None else {}


def _scaled(spread: Spread, factor: float) -> Spread:
    return Spread(ss=spread.ss * factor, df=spread.df)


def ledger_from(data: Mapping[str, Any]) -> Ledger:
    """The ledger that `dataclasses.asdict` made a record's field of."""
    return Ledger(
        quick=_prior_from(data["quick"]),
        medium=_prior_from(data["medium"]),
        correlation=SeedCorrelation(**data["correlation"]),
        effects=EffectPrior(parts=tuple(Part(**part) for part in data["effects"]["parts"])),
        counters=Counters(**data.get("counters", {})),
        own=Spread(**data.get("own", {})),
    )


def lesson_from(data: Mapping[str, Any]) -> Lesson:
    """The lesson that `dataclasses.asdict` made a record's field of."""
    return Lesson(
        unit=data["unit"],
        min_effect=data["min_effect"],
        quick=Spread(**data["quick"]),
        medium=Spread(**data["medium"]),
        pairs=SeedPairs(**data["pairs"]),
        readings=tuple(Reading(**reading) for reading in data["readings"]),
        confirmed=data["confirmed"],
        counters=Counters(**data.get("counters", {})),
        protocol=data.get("protocol", ""),
        candidates=Spread(**data.get("candidates", {})),
    )


def _prior_from(data: Mapping[str, Any] | None) -> NoisePrior | None:
    return None if data is None else NoisePrior(**data)
