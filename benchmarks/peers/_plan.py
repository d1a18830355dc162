"""What is measured, with whom, and in which order? All of a sitting, before anything of it runs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from _peers import Entrant
from _sitting import Piece, shuffled
from _tables import MEMORY, REFERENCE, ROUND, SCREENING, SHORT

WARM_UP = "warm-up"
QUICK_SECONDS, MEDIUM_SECONDS = 1.1, 2.2
#: the short length beside the round's eight runs
SHORT_VARIANTS, ROUND_VARIANTS = 2, 6
#: of a fresh process per run, whose runs know nothing of each other: a few tell the share of any number
REFERENCE_SCREENING_RUNS = 5
#: a plain trial is over at once
PLAIN_STEPS, LEAST_STEPS = 20, 10

Order = list[tuple[Entrant, Piece]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large a sitting is to be."""

    steps_a_second: float
    repeats: int
    screening_runs: int
    budget_seconds: float
    memory_runs: int
    is_thorough: bool

    def steps(self, seconds: float) -> int:
        """What takes so long on this machine."""
        return max(LEAST_STEPS, round(seconds * self.steps_a_second))


def warm_up(entrants: Sequence[Entrant]) -> Order:
    """A little of everything that is not timed, so that files are warm for all and faults show early."""
    piece = Piece(name=WARM_UP, kind="torch", variants=SHORT_VARIANTS, quick_steps=LEAST_STEPS)
    return [(entrant, piece) for entrant in entrants]


def rounds(entrants: Sequence[Entrant], sizes: Sizes, seed: int) -> Order:
    """The two lengths that make a slope; the longer one is a whole round."""
    quick, medium = sizes.steps(QUICK_SECONDS), sizes.steps(MEDIUM_SECONDS)
    pieces = [
        Piece(name=SHORT, kind="torch", variants=SHORT_VARIANTS, quick_steps=quick),
        Piece(name=ROUND, kind="torch", variants=ROUND_VARIANTS, quick_steps=quick, medium_steps=medium),
    ]
    return shuffled(entrants, pieces, sizes.repeats, seed)


def screenings(entrants: Sequence[Entrant], sizes: Sizes, seed: int) -> Order:
    """By far the longest: without being asked to be thorough, for those ways alone whose figure it is."""
    steps = sizes.steps(sizes.budget_seconds)
    order: Order = []
    for entrant in entrants:
        runs = sizes.screening_runs
        if entrant.way.name == REFERENCE and not sizes.is_thorough:
            runs = min(runs, REFERENCE_SCREENING_RUNS)
        if entrant.way.is_screened or sizes.is_thorough:
            order.append((entrant, Piece(name=SCREENING, kind="torch", variants=runs, quick_steps=steps)))
    random.Random(seed).shuffle(order)
    return order


def memories(entrants: Sequence[Entrant], sizes: Sizes, seed: int) -> Order:
    """A process takes with it all it had, whatever that was; only one that goes on needs to load torch."""
    order: Order = []
    for entrant in entrants:
        is_torch = sizes.is_thorough or not entrant.way.has_process_per_run
        piece = Piece(
            name=MEMORY,
            kind="torch" if is_torch else "plain",
            variants=sizes.memory_runs,
            quick_steps=LEAST_STEPS if is_torch else PLAIN_STEPS,
            is_watched=True,
        )
        order.append((entrant, piece))
    random.Random(seed).shuffle(order)
    return order
