"""Is the smallest p of a campaign evidence? How often chance alone gives one as small among so many."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from policies._distributions import t_upper_tail
from scheduler.judging._arms import Arms
from scheduler.judging._spread import sd_factors
from scheduler.judging._tests_of_difference import holm
from scheduler.judging.significance import SignificanceJudged


@dataclass(frozen=True, slots=True, kw_only=True)
class Smallest:
    """The smallest p that a reader of the table could quote, and what it is worth."""

    config: str
    #: of a paired t test, which takes the differences for normal
    p: float
    #: conditions compared with the baseline
    tests: int
    #: that one of so many is as small although nothing differs, as if they were independent
    chance: float
    adjusted_p: float
    #: pairs behind it
    pairs: int
    #: of the test that assumes nothing, for as many pairs
    least_permutation_p: float | None
    #: pairs from which that test can reach alpha after Holm
    pairs_from: int
    #: factors within which the sd of so few pairs is known
    sd_known_within: tuple[float, float]


def t_test_p(arms: Arms) -> float | None:
    """Two-sided, of the paired differences; None under two pairs or where they are all equal."""
    differences = arms.differences
    if not arms.is_paired or len(differences) < 2 or len(set(differences)) == 1:
        return None
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    if error == 0.0:
        return None
    return min(1.0, 2.0 * t_upper_tail(abs(statistics.fmean(differences)) / error, len(differences) - 1))


def smallest(judged: SignificanceJudged) -> Smallest | None:
    """None where no condition has two pairs."""
    found = [(p, test) for test in judged.primary if (p := t_test_p(test.arms)) is not None]
    if not found:
        return None
    place = min(range(len(found)), key=lambda index: found[index][0])
    p, test = found[place]
    return Smallest(
        config=test.arms.config,
        p=p,
        tests=len(found),
        chance=1.0 - (1.0 - p) ** len(found),
        adjusted_p=holm([each for each, _ in found])[place],
        pairs=test.arms.units,
        least_permutation_p=None if test.permutation is None else test.permutation.smallest_p,
        pairs_from=test.attainable_from,
        sd_known_within=sd_factors(test.arms.units),
    )


def why_no_evidence(found: Smallest, judged: SignificanceJudged) -> Iterator[str]:
    """The sentences that belong beside the smallest p: how many were looked at, Holm, and n."""
    place = f"one of {found.tests} comparisons" if found.tests > 1 else "the only comparison"
    test = f"by a paired t test over {found.pairs} pairs"
    yield f"The smallest p is {found.p:.3g}, of {found.config} {test}: {place}."
    if found.tests > 1:
        yield (
            f"Were all conditions equal, a p as small as this would turn up in {100 * found.chance:.0f} % of"
            f" such campaigns; adjusted for {found.tests} comparisons (Holm) it is {found.adjusted_p:.3g}."
        )
    low, high = found.sd_known_within
    yield (
        f"It takes {found.pairs} differences for normal, and their sd is known within x{low:.2g}..{high:.2g}."
        + _what_signs_can_say(found, judged.options.alpha)
    )
    pooled = min(judged.steps, key=lambda each: each.permutation.p, default=None)
    if pooled is not None:
        yield (
            f"Pooling all steps as if they were independent gives p {pooled.permutation.p:.2g} for"
            f" {pooled.config}; the steps of one run are not independent, and their number is no n."
        )


def _what_signs_can_say(found: Smallest, alpha: float) -> str:
    least = found.least_permutation_p
    if least is None or found.pairs >= found.pairs_from:
        return ""
    return (
        f" Without that assumption {found.pairs} pairs can give no p below {least:.3g}, whatever they say;"
        f" {alpha:g} after Holm is within reach from {found.pairs_from} pairs on."
    )
