"""What does a race teach? Noise and effects, as any task does, and how many winners and nulls it saw."""

from __future__ import annotations

from dataclasses import replace

from policies._delta import Comparison
from policies._ledger import Lesson, lesson_from_fresh_seeds
from policies._race import Race
from policies._race_level import Counters, nulls_seen
from policies._variance import spread_of
from policies.evidence import Observation

#: a quick run beside a medium one, where their steps do not tell
USUAL_QUICK_SHARE = 1 / 3


def lesson_of_race(race: Race) -> Lesson:
    """The lesson of a race that has ended. A run that an earlier round made is no new evidence."""
    view = race.view
    is_new = {name: not any(run.is_reused for run in runs) for name, runs in view.variants.items()}
    tested: dict[str, Comparison] = {}
    for name, seeds in race.laps.standing.seeds.items():
        comparison = race.laps.comparison(name, seeds) if seeds and is_new[name] else None
        if comparison is not None:
            tested[name] = comparison
    confirmed = {name: shown for name in tested if (shown := race.laps.confirmed(name)) is not None}
    new_runs = {name: tuple(run for run in runs if not run.is_reused) for name, runs in view.variants.items()}
    lesson = lesson_from_fresh_seeds(
        replace(race.runs, variants=new_runs), tested, confirmed, only_measures=not view.variants
    )
    standing = race.laps.standing
    return replace(
        lesson,
        counters=Counters(
            winners=float(sum(view.verdicts.get(name) == "WINNER" for name in tested)),
            nulls=sum(nulls_seen(standing.best_p[name]) for name in tested),
            medium_runs=_medium_runs(race),
        ),
        protocol=next((each.protocol for each in tested.values()), ""),
        candidates=spread_of([each.variant for each in tested.values()]),
    )


def _medium_runs(race: Race) -> float:
    """Time that new runs took, in that of a medium run, by steps; a stopped run counts as far as it came."""
    everything = [*race.view.baseline, *(run for runs in race.view.variants.values() for run in runs)]
    whole = max((_steps(run) for run in everything if run.stage == race.medium), default=0)
    return sum(_share(race, run, whole) for run in everything if not run.is_reused)


def _share(race: Race, run: Observation, whole: int) -> float:
    if whole and _steps(run):
        return _steps(run) / whole
    if run.stage == race.medium:
        return 1.0
    return USUAL_QUICK_SHARE


def _steps(run: Observation) -> int:
    return run.curve[-1][0] if run.curve else 0
