"""Which runs may a search by `screen_confirm` still take, and how likely is each? For forecasts alone."""

from __future__ import annotations

from collections.abc import Iterator

from policies._screening import MAX_CONFIRMED, baseline_quick_slots
from policies._search import Search
from policies.evidence import BASELINE
from policies.steps import PossibleRun

#: how often a variant that is still to be screened gets medium: the best half does
PROMOTED_SHARE = 0.5
#: guesses: how often a round has a first, second, ... candidate, and a candidate a first, second, ... seed
CANDIDATE_CHANCES = (0.6, 0.35, 0.2, 0.1)
SEED_CHANCES = (1.0, 0.7, 0.5, 0.4, 0.35)
_OUT = ("pruned", "held")


def possible_runs(search: Search) -> Iterator[PossibleRun]:
    """Every run that may still come, in the likely order."""
    if not search.view.variants:
        for stage in search.stages:
            for slot in range(search.view.listed_seeds):
                yield from _possible(search, stage, BASELINE, slot, 1.0)
        return
    yield from _possible_screening(search)
    if search.view.confirm_set is None:
        yield from _possible_confirmation(search)
    else:
        yield from _possible_looks(search)
    yield from _possible_long(search)


def _possible(search: Search, stage: str, config: str, slot: int, chance: float) -> Iterator[PossibleRun]:
    known = config == BASELINE or config in search.view.variants
    if not known or search.view.run(stage, config, slot) is None:
        yield PossibleRun(stage=stage, config=config, slot=slot, chance=chance)


def _possible_screening(search: Search) -> Iterator[PossibleRun]:
    """Quick of what is undecided, and medium at slot 0 of whatever may be promoted."""
    undecided = search.undecided
    if undecided:
        slots = baseline_quick_slots(len(search.view.variants)) if search.quick != search.medium else (0,)
        for slot in slots:
            yield from _possible(search, search.quick, BASELINE, slot, 1.0)
    for name in undecided:
        yield from _possible(search, search.quick, name, 0, 1.0)
    if search.quick == search.medium or search.view.confirm_set is not None:
        return
    sure = search.survivors
    if undecided or sure:
        nobody = 0.0 if sure else (1.0 - PROMOTED_SHARE) ** len(undecided)
        yield from _possible(search, search.medium, BASELINE, 0, 1.0 - nobody)
    for name in (*sure, *undecided):
        yield from _possible(search, search.medium, name, 0, 1.0 if name in sure else PROMOTED_SHARE)


def _possible_confirmation(search: Search) -> Iterator[PossibleRun]:
    """Of candidates that nobody knows yet."""
    able = [name for name in search.view.variants if search.view.decided(name, search.quick) not in _OUT]
    likely = CANDIDATE_CHANCES[: min(MAX_CONFIRMED, len(able))]
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
    winners = [name for name, verdict in search.view.verdicts.items() if verdict == "WINNER"]
    names = winners if len(search.view.verdicts) == len(search.view.variants) else ["(winner 1)"]
    for stage in search.stages[2:]:
        chance = 1.0 if winners else CANDIDATE_CHANCES[0] / 2
        for name in (BASELINE, *names) if names else ():
            yield from _possible(search, stage, name, 1, chance)
