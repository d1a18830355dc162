"""What do foreign records teach about noise and effects? Lessons such as our own tasks leave.

Foreign seeds have selected what they report, so that none of them confirms anything: they tell how far runs
spread over seeds, and deltas between matched runs, best-over-evaluations values taken as they are.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from policies._delta import Comparison, SeedPairs, estimate, pairs_of
from policies._effect_prior import Reading, combined
from policies._ledger import Lesson
from policies._posterior import medium_reading, quick_reading
from policies._variance import MIN_SEEDS_FOR_SD, Noise, Spread, moderated, noise_prior, spread_of
from policies.evidence import BASELINE, Objective
from scheduler.audit.reruns import duplicates_of, no_ops_of, reruns_of
from scheduler.audit.rows import Row
from scheduler.audit.signs import constant_metrics

#: the stages that lessons are about; runs of others teach nothing
STAGES = ("quick", "medium")
#: stands for the one seed of records that name none
UNNAMED_SEED = -1
#: characters of a task's name in the name of a lesson
MAX_NAME = 64

_ODD = re.compile(r"[^A-Za-z0-9_.-]")
#: value in units of min_effect by seed
BySeed = Mapping[int, float]


def lessons_of(rows: Sequence[Row]) -> list[tuple[str, Lesson]]:
    """A lesson for each task that teaches anything, with its name, from rows that hold each run once.

    Bit-identical reruns count once, whatever their seed is said to be; no-ops and constant metrics teach
    nothing. The same runs give a lesson of the same name, be it from a copy of their file, from a part of it,
    or from one that has grown.
    """
    useless = reruns_of(duplicates_of(rows))
    useless |= {each.row.place for each in no_ops_of(rows)}
    useless |= {row.place for each in constant_metrics(rows) for row in each.rows}
    tasks: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if row.has_reading and row.outcome == "ok" and row.stage in STAGES:
            tasks[row.scope, row.bsz, row.acc is None].append(row)
    lessons = []
    for runs in tasks.values():
        lesson = _lesson([row for row in runs if row.place not in useless])
        if not lesson.is_empty:
            lessons.append((_name(runs), lesson))
    return sorted(lessons, key=lambda named: named[0])


def _name(runs: Sequence[Row]) -> str:
    """By what the runs share where a signature tells it, else by the first of them."""
    first = runs[0]
    own = first.scope if first.signature else (first.run_dir or first.digest, first.stage, first.config)
    digest = hashlib.sha256(repr((own, first.bsz, first.acc is None)).encode()).hexdigest()[:12]
    return f"{_ODD.sub('_', first.family)[:MAX_NAME]}@{digest}"


def _lesson(runs: Sequence[Row]) -> Lesson:
    """Of runs of one task, batch size and metric. In pp, or in the loss's own unit without effects."""
    in_pp = all(row.acc is not None for row in runs)
    values = {stage: _by_config(runs, stage) for stage in STAGES}
    spreads = {stage: _spread(values[stage].values()) for stage in STAGES}
    if spreads["quick"].df < MIN_SEEDS_FOR_SD - 1:
        # as of our own tasks: a spread of two runs would only blur a fit
        spreads["quick"] = Spread()
    comparisons = {stage: _comparisons(values[stage]) for stage in STAGES}
    pairs = (pairs_of(each) for found in comparisons.values() for each in found.values())
    return Lesson(
        unit="pp" if in_pp else "nat",
        min_effect=1.0,
        quick=spreads["quick"],
        medium=spreads["medium"],
        pairs=sum(pairs, SeedPairs()),
        readings=_readings(comparisons, spreads) if in_pp else (),
        confirmed=0,
    )


def _by_config(runs: Sequence[Row], stage: str) -> dict[str, BySeed]:
    """The first run of each seed by config, of the protocol that the baseline has at this stage."""
    at_stage = [row for row in runs if row.stage == stage]
    own = next((row.protocol for row in at_stage if row.config == BASELINE), None)
    values: dict[str, dict[int, float]] = defaultdict(dict)
    for row in at_stage:
        if row.value is not None and (own is None or row.protocol in (own, None)):
            seed = UNNAMED_SEED if row.seed is None else row.seed
            values[row.config].setdefault(seed, row.value)
    return dict(values)


def _spread(values: Iterable[BySeed]) -> Spread:
    """Over named seeds: two runs that name none may differ in anything."""
    return spread_of(
        {seed: value for seed, value in by_seed.items() if seed != UNNAMED_SEED} for by_seed in values
    )


def _comparisons(values: Mapping[str, BySeed]) -> dict[str, Comparison]:
    """Each variant against the baseline of the same stage."""
    baseline = values.get(BASELINE)
    if not baseline:
        return {}
    return {
        config: Comparison(variant=by_seed, baseline=baseline, protocol="")
        for config, by_seed in values.items()
        if config != BASELINE
    }


def _readings(
    comparisons: Mapping[str, Mapping[str, Comparison]], spreads: Mapping[str, Spread]
) -> tuple[Reading, ...]:
    """What is known of each variant's effect, from both stages."""
    found: dict[str, list[Reading]] = defaultdict(list)
    for stage, reading_of in (("quick", quick_reading), ("medium", medium_reading)):
        noise = _noise(stage, spreads[stage])
        for config, comparison in comparisons[stage].items():
            told = estimate(comparison, noise)
            if told is not None:
                found[config].append(reading_of(told))
    return tuple(combined(readings) for readings in found.values())


def _noise(stage: str, spread: Spread) -> Noise:
    return moderated(spread, noise_prior(stage, Objective()))
