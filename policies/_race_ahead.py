"""Which runs may a race still take, and how likely is each? For forecasts alone."""

from __future__ import annotations

from collections.abc import Iterator

from policies._marks import members
from policies._race import Race
from policies._race_laps import FRESH_SLOTS, QUICK_SLOTS
from policies.evidence import BASELINE
from policies.steps import PossibleRun

#: guesses: how often a round has a first, second, ... candidate, and a candidate a first, second, ... seed
CANDIDATE_CHANCES = (0.8, 0.6, 0.4, 0.25, 0.15, 0.1)
SEED_CHANCES = (1.0, 0.5, 0.3, 0.2)


def possible_runs(race: Race, *, is_grouped: bool = False) -> Iterator[PossibleRun]:
    """Every run that may still come, in the likely order; where it `is_grouped`, those alike are one."""
    view = race.view
    if not view.variants:
        for stage in race.stages:
            for slot in range(view.listed_seeds):
                yield from _possible(race, stage, BASELINE, slot, 1.0)
        return
    if view.confirm_set is None:
        yield from _screening(race, is_grouped=is_grouped)
        yield from _race_of_unknowns(race)
    elif not view.marks.with_verdict:
        yield from _laps(race)
    yield from _long(race)


def _possible(race: Race, stage: str, config: str, slot: int, chance: float) -> Iterator[PossibleRun]:
    known = config == BASELINE or config in race.view.variants
    if not known or race.view.run(stage, config, slot) is None:
        yield PossibleRun(stage=stage, config=config, slot=slot, chance=chance)


def _screening(race: Race, *, is_grouped: bool) -> Iterator[PossibleRun]:
    for slot in QUICK_SLOTS:
        yield from _possible(race, race.quick, BASELINE, slot, 1.0)
    marks = race.view.marks
    left = marks.everyone & ~marks.has_run(race.quick, 0)
    if is_grouped and left:
        yield PossibleRun(stage=race.quick, config="(variants)", slot=0, chance=1.0, count=left.bit_count())
        return
    for place in members(left):
        yield PossibleRun(stage=race.quick, config=marks.names[place], slot=0, chance=1.0)


def _race_of_unknowns(race: Race) -> Iterator[PossibleRun]:
    """Of candidates that nobody knows yet."""
    for slot in FRESH_SLOTS:
        yield from _possible(race, race.medium, BASELINE, slot, CANDIDATE_CHANCES[0])
    for slot, of_seed in zip(FRESH_SLOTS, SEED_CHANCES, strict=True):
        for place, chance in enumerate(CANDIDATE_CHANCES[: len(race.view.variants)], start=1):
            yield PossibleRun(
                stage=race.medium, config=f"(candidate {place})", slot=slot, chance=chance * of_seed
            )


def _laps(race: Race) -> Iterator[PossibleRun]:
    standing, field = race.laps.standing, race.laps.field
    for slot in FRESH_SLOTS if field else ():
        yield from _possible(race, race.medium, BASELINE, slot, 1.0)
    for later in range(len(FRESH_SLOTS)):
        for name in (*field, *(name for name in race.laps.open if name not in field)):
            slot = standing.seeds[name] + 1 + later
            if slot in FRESH_SLOTS:
                is_next = name in field and later == 0
                chance = 1.0 if is_next else SEED_CHANCES[min(later, len(SEED_CHANCES) - 1)] / 2
                yield from _possible(race, race.medium, name, slot, chance)


def _long(race: Race) -> Iterator[PossibleRun]:
    winners = [name for name, verdict in race.view.verdicts.items() if verdict == "WINNER"]
    is_over = len(race.view.verdicts) == len(race.view.variants)
    names = winners if is_over else ["(winner 1)"]
    chance = 1.0 if winners else CANDIDATE_CHANCES[0] / 2
    for stage in race.stages[2:]:
        for name in (BASELINE, *names) if names else ():
            yield from _possible(race, stage, name, 1, chance)
