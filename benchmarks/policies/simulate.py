"""What does a policy buy? True winners per GPU-hour and the false ones among them, over simulated rounds."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[1]))

from searches import SEARCHES, Declared
from subject import heading
from world import FALSE_WINNER_PP, MAIN, SCENARIOS, TRUE_WINNER_PP, SimulatedRound, World, rounds

#: of screen_confirm, quick continued, at alpha .10
MAX_FALSE_SHARE = {MAIN.name: 0.03}
MAX_FALSE_SHARE_ELSEWHERE = 0.06
MAX_ROUNDS_WITH_A_FALSE_WINNER = 0.05
MIN_WINNERS_PER_HOUR = 0.78
JUDGED = "screen_confirm, quick continued"


@dataclass(slots=True)
class Tally:
    """One search over many rounds, a row a round."""

    true: list[float] = field(default_factory=list)
    false: list[float] = field(default_factory=list)
    declared: list[float] = field(default_factory=list)
    possible: list[float] = field(default_factory=list)
    hours: list[float] = field(default_factory=list)
    #: claimed minus true, and measured minus true, of every declared winner
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
            self.overstated.append(said.winners[row] - effect)
            self.overstated_raw.append(said.raw.get(row, said.winners[row]) - effect)

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
        return ratio([float(count > 0) for count in self.false], [1.0] * len(self.false))

    @property
    def rounds_with_a_winner(self) -> float:
        return sum(count > 0 for count in self.declared) / len(self.declared)


def ratio(above: Sequence[float], below: Sequence[float]) -> tuple[float, float]:
    """The ratio of two totals over rounds, and its standard error; nan where there is nothing below."""
    total = math.fsum(below)
    if total == 0:
        return math.nan, math.nan
    value = math.fsum(above) / total
    squares = math.fsum((a - value * b) ** 2 for a, b in zip(above, below, strict=True))
    return value, math.sqrt(squares) / total


def simulated(world: World, count: int, seed: int, names: Sequence[str]) -> dict[str, Tally]:
    """Every search over the same rounds, one after the other."""
    tallies = {name: Tally() for name in names}
    searches = {name: SEARCHES[name]() for name in names}
    for seen in rounds(world, count, seed):
        for name, tally in tallies.items():
            tally.add(seen, searches[name](seen))
    return tallies


def table_row(name: str, tally: Tally) -> str:
    cells = [
        tally.winners_per_hour,
        tally.recall,
        tally.false_share,
        tally.rounds_with_a_false_winner,
    ]
    gains = "-"
    if tally.overstated:
        shrunk = math.fsum(tally.overstated) / len(tally.overstated)
        raw = math.fsum(tally.overstated_raw) / len(tally.overstated_raw)
        gains = f"{raw:+.2f} / {shrunk:+.2f}"
    numbers = [f"{value:.3f} ({error:.3f})" if not math.isnan(value) else "-" for value, error in cells]
    return f"| {name} | {' | '.join(numbers)} | {gains} |"


HEAD = (
    "| {0} | true winners / GPU-h | recall | false share | rounds with a false winner"
    " | overstated by, pp (raw / told) |\n|---|---|---|---|---|---|"
)


def misses(world: World, tally: Tally) -> list[str]:
    """The demands a search misses by more than two standard errors."""
    share, share_error = tally.false_share
    often, often_error = tally.rounds_with_a_false_winner
    rate, rate_error = tally.winners_per_hour
    found = []
    if share - 2 * share_error > MAX_FALSE_SHARE.get(world.name, MAX_FALSE_SHARE_ELSEWHERE):
        found.append(f"{world.name}: a false share of {share:.3f}")
    if often - 2 * often_error > MAX_ROUNDS_WITH_A_FALSE_WINNER:
        found.append(f"{world.name}: {often:.3f} of the rounds with a false winner")
    if world is MAIN and rate + 2 * rate_error < MIN_WINNERS_PER_HOUR:
        found.append(f"{world.name}: {rate:.3f} true winners per GPU-hour")
    return found


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=2000, help="rounds in the main world (2000)")
    arguments.add_argument("--scenario-rounds", type=int, default=1000, help="rounds in each scenario (1000)")
    arguments.add_argument("--seed", type=int, default=0)
    asked = arguments.parse_args()
    begun = time.monotonic()
    print(heading())
    print(HEAD.format("search"))
    missed = []
    for name, tally in simulated(MAIN, asked.rounds, asked.seed, list(SEARCHES)).items():
        print(table_row(name, tally), flush=True)
        missed += misses(MAIN, tally) if name == JUDGED else []
    print(f"\n{HEAD.format(f'{JUDGED}, alpha .10, by world')}")
    for world in SCENARIOS[1:]:
        tally = simulated(world, asked.scenario_rounds, asked.seed, [JUDGED])[JUDGED]
        print(table_row(world.name, tally), flush=True)
        missed += misses(world, tally) if math.fsum(tally.possible) else false_alarms(world, tally)
    print(f"\n{asked.rounds} and {asked.scenario_rounds} rounds, {time.monotonic() - begun:.0f} s")
    for miss in missed:
        print(f"MISSED {miss}")
    return bool(missed)


def false_alarms(world: World, tally: Tally) -> list[str]:
    """Where nothing can be found, every winner is false; only how often that happens is a figure."""
    often = tally.rounds_with_a_winner
    error = math.sqrt(often * (1.0 - often) / len(tally.declared))
    is_missed = often - 2 * error > MAX_ROUNDS_WITH_A_FALSE_WINNER
    return [f"{world.name}: {often:.3f} of the rounds declare a winner"] if is_missed else []


if __name__ == "__main__":
    sys.exit(main())
