"""How did a search fare over many rounds? Its figures, each with its standard error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from world import FALSE_WINNER_PP, TRUE_WINNER_PP, Declared, SimulatedRound


@dataclass(slots=True)
class Tally:
    """One search over many rounds, an entry a round."""

    true: list[float] = field(default_factory=list)
    false: list[float] = field(default_factory=list)
    declared: list[float] = field(default_factory=list)
    possible: list[float] = field(default_factory=list)
    hours: list[float] = field(default_factory=list)
    #: claimed minus true, and measured minus true, of every winner declared with a gain
    overstated: list[float] = field(default_factory=list)
    overstated_raw: list[float] = field(default_factory=list)

    def add(self, seen: SimulatedRound, said: Declared) -> None:
        effects = {row: float(seen.effects[row]) for row in said.winners}
        self.true.append(sum(effect >= TRUE_WINNER_PP for effect in effects.values()))
        self.false.append(sum(effect <= FALSE_WINNER_PP for effect in effects.values()))
        self.declared.append(len(effects))
        self.possible.append(float((seen.effects >= TRUE_WINNER_PP).sum()))
        self.hours.append(said.seconds / 3600.0)
        for row, effect in effects.items():
            claimed = said.winners[row]
            measured = said.raw.get(row, claimed)
            if claimed is not None:
                self.overstated.append(claimed - effect)
            if measured is not None:
                self.overstated_raw.append(measured - effect)

    def __add__(self, other: Tally) -> Tally:
        """The rounds of both."""
        both = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return Tally(**both)

    @property
    def winners_per_hour(self) -> tuple[float, float]:
        return ratio(self.true, self.hours)

    @property
    def recall(self) -> tuple[float, float]:
        return ratio(self.true, self.possible)

    @property
    def false_share(self) -> tuple[float, float]:
        return ratio(self.false, self.declared)

    @property
    def rounds_with_a_false_winner(self) -> tuple[float, float]:
        return share([count > 0 for count in self.false])

    @property
    def rounds_with_a_winner(self) -> tuple[float, float]:
        return share([count > 0 for count in self.declared])


def ratio(above: Sequence[float], below: Sequence[float]) -> tuple[float, float]:
    """The ratio of two totals over rounds, and its standard error; nan where there is nothing below."""
    total = math.fsum(below)
    if total == 0:
        return math.nan, math.nan
    value = math.fsum(above) / total
    squares = math.fsum((a - value * b) ** 2 for a, b in zip(above, below, strict=True))
    return value, math.sqrt(squares) / total


def share(happened: Sequence[bool]) -> tuple[float, float]:
    """How often it happened, and the standard error."""
    return ratio([float(each) for each in happened], [1.0] * len(happened))


def mean(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error; nan for none."""
    return ratio(values, [1.0] * len(values))
