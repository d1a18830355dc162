"""How sure must a winner of a race be, and when is another seed not worth its time? By what races have found.

Both are frozen with the task. A home that finds many winners may declare them more easily, and gives up
sooner; one that finds none becomes careful and patient.
"""

from __future__ import annotations

from dataclasses import dataclass

#: looks at a candidate, one after each of its fresh seeds, and what one of them may spend of the level
SEEDS = 4
SHARE = 0.34
#: p of a candidate's best look over SHARE from which it counts as a null that was tested
NULL_FROM = 0.5
#: a null is seen with p above NULL_FROM half of the time
NULLS_FOR_EACH_SEEN = 2.0
#: the real level of the test over its nominal one; .45 to .57 on repeats of real trainings
REAL_LEVEL = 0.45
LEAST_LEVEL, MOST_LEVEL = 0.02, 0.10
#: winners and nulls that a home is taken to have seen before its first race
WINNERS_BEFORE, NULLS_BEFORE = 5.0, 10.0
#: an hour more is worth it while it brings this share of what an hour has brought
STOP_SHARE = 0.5
#: winners per time of a medium run; winners and time before the first race
LEAST_RATE, MOST_RATE = 0.0083, 0.083
RATE_WINNERS_BEFORE, RATE_TIME_BEFORE = 2.0, 48.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What all races of a home have found so far; never reset."""

    #: W
    winners: float = 0.0
    #: N0, an estimate of how many tested candidates had no effect
    nulls: float = 0.0
    #: H, GPU time in the time of a medium run
    medium_runs: float = 0.0

    def __add__(self, other: Counters) -> Counters:
        return Counters(
            winners=self.winners + other.winners,
            nulls=self.nulls + other.nulls,
            medium_runs=self.medium_runs + other.medium_runs,
        )


def level(counters: Counters, target: float, *, guarantee: bool = False) -> float:
    """alpha of every candidate of a task, such that about `target` of all winners are false.

    With `guarantee` the level is charged as it is named, and has no floor, as in SAFFRON (Ramdas and others
    2018): the share of false winners is then below the target whatever the world.
    """
    charged = 1.0 if guarantee else REAL_LEVEL
    wanted = target * (counters.winners + WINNERS_BEFORE) / (charged * (counters.nulls + NULLS_BEFORE))
    # with the digits that people are told
    return round(min(MOST_LEVEL, wanted if guarantee else max(LEAST_LEVEL, wanted)), 4)


def stopping_rate(counters: Counters) -> float:
    """lambda: expected winners per time of a medium run below which a candidate gets no further seed."""
    found = (counters.winners + RATE_WINNERS_BEFORE) / (counters.medium_runs + RATE_TIME_BEFORE)
    return min(MOST_RATE, max(LEAST_RATE, STOP_SHARE * found))


def nulls_seen(best_p: float) -> float:
    """What a tested candidate adds to the nulls, by the smallest p of its looks."""
    return NULLS_FOR_EACH_SEEN * (best_p / SHARE > NULL_FROM)
