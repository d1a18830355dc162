"""Which variants are truly better, in a task that is searched night after night? A race over fresh seeds.

The baseline's runs are made once and serve every round of the task. Every variant runs quick at slot 0;
whoever has a chance then gets one fresh medium seed after the other, four at most, as long as another one is
worth its time. How sure a winner must be follows from what the races of this home have found so far.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from policies._assessment import Ledger
from policies._ledger import Lesson
from policies._prospects import Declared
from policies._race import Race
from policies._race_ahead import possible_runs
from policies._race_lesson import lesson_of_race
from policies._race_level import SEEDS, level, stopping_rate
from policies._variance import DEFAULT_DISCORDANCE
from policies.steps import PossibleRun, Step, TaskView

Profile = Literal["explore", "default", "strict"]
#: share of false ones among all winners of a home
TARGETS: Mapping[str, float] = {"explore": 0.07, "default": 0.05, "strict": 0.03}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Screen on slot 0, race over fresh seeds."""

    #: which share of the winners may be false: explore .07, default .05, strict .03
    profile: Profile = "default"
    #: keep that share in every world, at a tenth fewer winners
    guarantee: bool = False
    #: share of the examples on which two runs disagree
    discordance: float = DEFAULT_DISCORDANCE

    def __post_init__(self) -> None:
        problems = []
        if self.profile not in TARGETS:
            problems.append(f"profile: must be one of {', '.join(TARGETS)} (found {self.profile!r})")
        if self.guarantee not in (True, False):
            problems.append(f"guarantee: must be true or false (found {self.guarantee!r})")
        is_number = isinstance(self.discordance, int | float) and not isinstance(self.discordance, bool)
        if not is_number or not 0.0 < self.discordance < 1.0:
            problems.append(f"discordance: must lie between 0 and 1 (found {self.discordance!r})")
        if problems:
            raise ValueError("\n".join(problems))

    @property
    def target(self) -> float:
        """Share of false ones among the winners that the level aims at."""
        return TARGETS[self.profile]

    def declared(self, ledger: Ledger) -> Declared:
        """The looks at one candidate, at a level of its own, and why level and stopping rate are these."""
        found = ledger.counters
        alpha = level(found, self.target, guarantee=self.guarantee)
        rate = stopping_rate(found)
        return Declared(
            looks=SEEDS,
            most_looks=SEEDS,
            alpha=alpha,
            most_candidates=1,
            reasons=(
                f"level {alpha:.3f} a candidate, for about {self.target:.0%} false ones among all winners:"
                f" the races of this home saw {found.winners:g} winners and about {found.nulls:g} without"
                " an effect",
                f"a candidate is given up when a further seed promises less than {rate:.4f} winners:"
                f" the time of {found.medium_runs:.1f} medium runs has brought {found.winners:g}",
            ),
        )

    def next(self, view: TaskView) -> Step | None:
        """Screening of all variants, the candidates, laps with a look after each, the verdicts; long runs."""
        return Race(policy=self, view=view).next()

    def possible_runs(self, view: TaskView) -> Iterator[PossibleRun]:
        """What may still run; candidates that nobody knows yet are called by their number."""
        return possible_runs(Race(policy=self, view=view))

    def runs_ahead(self, view: TaskView) -> Iterator[PossibleRun]:
        """The same, with variants that nothing tells apart as one."""
        return possible_runs(Race(policy=self, view=view), is_grouped=True)

    def lesson(self, view: TaskView) -> Lesson:
        """Noise, correlation and effects by fresh seeds, and what the race adds to the home's counters."""
        return lesson_of_race(Race(policy=self, view=view))
