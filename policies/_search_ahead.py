"""Which runs may a search by `screen_confirm` still take, and how likely is each? For forecasts alone."""

from __future__ import annotations

from collections.abc import Iterator

from policies._marks import members
from policies._screening import MAX_CONFIRMED, baseline_quick_slots
from policies._search import Search
from policies.evidence import BASELINE
from policies.steps import PossibleRun

#: how often a variant that is still to be screened gets medium: the best half does
PROMOTED_SHARE = 0.5
#: guesses: how often a round has a first, second, ... candidate, and a candidate a first, second, ... seed
CANDIDATE_CHANCES = (0.6, 0.35, 0.2, 0.1)
SEED_CHANCES = (1.0, 0.7, 0.5, 0.4, 0.35)


def possible_runs(search: Search, *, is_grouped: bool = False) -> Iterator[PossibleRun]:
    """Every run that may still come, in the likely order; where it `is_grouped`, those alike are one."""
    if not search.marks.names:
        for stage in search.stages:
            for slot in range(search.view.listed_seeds):
                yield from _possible(search, stage, BASELINE, slot, 1.0)
        return
    yield from _possible_screening(search, is_grouped=is_grouped)
    if search.view.confirm_set is None:
        yield from _possible_confirmation(search)
    else:
        yield from _possible_looks(search)
    yield from _possible_long(search)


def _possible(search: Search, stage: str, config: str, slot: int, chance: float) -> Iterator[PossibleRun]:
    known = config == BASELINE or config in search.view.variants
    if not known or search.view.run(stage, config, slot) is None:
        yield PossibleRun(stage=stage, config=config, slot=slot, chance=chance)


def _of_variants(
    search: Search, stage: str, places: int, chance: float, *, is_grouped: bool
) -> Iterator[PossibleRun]:
    """The runs at slot 0 of these variants that are not over."""
    left = places & ~search.marks.has_run(stage, 0)
    if is_grouped and left:
        yield PossibleRun(stage=stage, config="(variants)", slot=0, chance=chance, count=left.bit_count())
        return
    for place in members(left):
        yield PossibleRun(stage=stage, config=search.marks.names[place], slot=0, chance=chance)


def _possible_screening(search: Search, *, is_grouped: bool) -> Iterator[PossibleRun]:
    """Quick of what is undecided, and medium at slot 0 of whatever may be promoted."""
    undecided, sure = search.undecided, search.promoted
    if undecided:
        slots = baseline_quick_slots(len(search.marks.names)) if search.quick != search.medium else (0,)
        for slot in slots:
            yield from _possible(search, search.quick, BASELINE, slot, 1.0)
    yield from _of_variants(search, search.quick, undecided, 1.0, is_grouped=is_grouped)
    if search.quick == search.medium or search.view.confirm_set is not None:
        return
    if undecided or sure:
        nobody = 0.0 if sure else (1.0 - PROMOTED_SHARE) ** undecided.bit_count()
        yield from _possible(search, search.medium, BASELINE, 0, 1.0 - nobody)
    yield from _of_variants(search, search.medium, sure, 1.0, is_grouped=is_grouped)
    yield from _of_variants(search, search.medium, undecided, PROMOTED_SHARE, is_grouped=is_grouped)


def _possible_confirmation(search: Search) -> Iterator[PossibleRun]:
    """Of candidates that nobody knows yet."""
    marks = search.marks
    able = marks.everyone & ~marks.was("pruned", search.quick) & ~marks.was("held", search.quick)
    likely = CANDIDATE_CHANCES[: min(MAX_CONFIRMED, able.bit_count())]
    for slot in range(1, search.policy.looks + 2):
        if likely:
            seeds = SEED_CHANCES[max(0, slot - 2)]
            yield from _possible(search, search.medium, BASELINE, slot, likely[0] * seeds)
        if slot > search.policy.looks:
            continue
        for place, chance in enumerate(likely, start=1):
            name = f"(candidate {place})"
            yield from _possible(search, search.medium, name, slot, chance * SEED_CHANCES[slot - 1])


def _possible_looks(search: Search) -> Iterator[PossibleRun]:
    if search.plan is None or search.progress is None:
        return
    able = [name for name in search.progress.looks.open if name not in search.failed]
    next_look = search.progress.looks.taken + 1
    for slot in range(1, search.plan.looks + 2):
        later = max(0, slot - next_look)
        chance = SEED_CHANCES[min(later, len(SEED_CHANCES) - 1)]
        if able:
            sooner = SEED_CHANCES[max(0, later - 1)]
            yield from _possible(search, search.medium, BASELINE, slot, sooner)
        for name in able if slot <= search.plan.looks else ():
            yield from _possible(search, search.medium, name, slot, chance)


def _possible_long(search: Search) -> Iterator[PossibleRun]:
    marks = search.marks
    winners = [marks.names[place] for place in members(marks.judged.get("WINNER", 0))]
    names = winners if marks.with_verdict == marks.everyone else ["(winner 1)"]
    for stage in search.stages[2:]:
        chance = 1.0 if winners else CANDIDATE_CHANCES[0] / 2
        for name in (BASELINE, *names) if names else ():
            yield from _possible(search, stage, name, 1, chance)
