"""Which variants are truly better? Screen, promote, confirm on fresh seeds: those that judge never selected.

Every variant runs quick at slot 0; those without a chance are pruned, the best half gets medium at slot 0,
and at most four are frozen as candidates. Only then run slots 1, 2, ... of the candidates and the baseline,
one seed of each in turn, and the declared looks at them alone lead to a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from policies._assessment import Ledger
from policies._ledger import Lesson, lesson_of
from policies._looks import SAFE_SHARE
from policies._prospects import Declared
from policies._screening import MAX_CONFIRMED
from policies._search import Search
from policies._search_ahead import possible_runs
from policies._variance import DEFAULT_DISCORDANCE
from policies.steps import PossibleRun, Step, TaskView

Profile = Literal["explore", "default", "strict"]
ALPHAS: Mapping[str, float] = {"explore": 0.20, "default": 0.10, "strict": 0.05}
RULES = ("posterior", "threshold")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Screen on slot 0, confirm on fresh seeds."""

    #: how sure a WINNER must be: explore .20, default .10, strict .05
    profile: Profile = "default"
    #: the level itself, in place of a profile's
    alpha: float | None = None
    #: fresh seeds a candidate gets at most, with a look after each; declared before the round runs
    looks: int = 3
    #: spend what the safe shares of alpha leave over, by simulation; for a noise that a ledger has told
    calibrated_looks: bool = False
    #: how a variant is pruned after quick: by its chance, or below `min_delta`
    rule: Literal["posterior", "threshold"] = "posterior"
    #: smallest matched quick delta that survives `rule = "threshold"`, in the objective's unit
    min_delta: float = 0.0
    #: P(effect >= min_effect) below which `rule = "posterior"` prunes
    weak_below: float = 0.15
    #: share of the examples on which two runs disagree
    discordance: float = DEFAULT_DISCORDANCE

    def __post_init__(self) -> None:
        problems = [
            *_unknown("profile", self.profile, tuple(ALPHAS)),
            *_unknown("rule", self.rule, RULES),
            *_out_of_range("alpha", self.alpha, 0.0, 0.5, may_be_none=True),
            *_out_of_range("weak_below", self.weak_below, 0.0, 1.0),
            *_out_of_range("discordance", self.discordance, 0.0, 1.0),
        ]
        if self.calibrated_looks not in (True, False):
            problems.append(f"calibrated_looks: must be true or false (found {self.calibrated_looks!r})")
        if isinstance(self.looks, bool) or self.looks not in SAFE_SHARE:
            problems.append(f"looks: must be 1 to {max(SAFE_SHARE)} (found {self.looks!r})")
        if not _is_number(self.min_delta) or not math.isfinite(self.min_delta):
            problems.append(f"min_delta: must be a finite number (found {self.min_delta!r})")
        if problems:
            raise ValueError("\n".join(problems))

    @property
    def level(self) -> float:
        """Alpha, named or told by the profile."""
        return ALPHAS[self.profile] if self.alpha is None else self.alpha

    def declared(self, ledger: Ledger) -> Declared:
        """The looks, whatever a ledger says: all candidates share the level."""
        return Declared(
            looks=self.looks,
            most_looks=max(SAFE_SHARE),
            alpha=self.level,
            most_candidates=MAX_CONFIRMED,
        )

    def next(self, view: TaskView) -> Step | None:
        """Screening of all variants, promotion, the frozen set, its looks, the verdicts; then long runs."""
        return Search(policy=self, view=view).next()

    def possible_runs(self, view: TaskView) -> Iterator[PossibleRun]:
        """What may still run; candidates that nobody knows yet are called by their number."""
        return possible_runs(Search(policy=self, view=view))

    def runs_ahead(self, view: TaskView) -> Iterator[PossibleRun]:
        """The same, with variants that nothing tells apart as one."""
        return possible_runs(Search(policy=self, view=view), is_grouped=True)

    def lesson(self, view: TaskView) -> Lesson:
        """Noise, correlation and effects, as fresh seeds showed them."""
        search = Search(policy=self, view=view)
        return lesson_of(search.runs, search.plan, search.failed, only_measures=not view.variants)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unknown(option: str, value: str, known: tuple[str, ...]) -> list[str]:
    return [] if value in known else [f"{option}: must be one of {', '.join(known)} (found {value!r})"]


def _out_of_range(
    option: str, value: float | None, low: float, high: float, *, may_be_none: bool = False
) -> list[str]:
    if value is None and may_be_none:
        return []
    if value is None or not _is_number(value) or not low < value < high:
        return [f"{option}: must lie between {low:g} and {high:g} (found {value!r})"]
    return []
