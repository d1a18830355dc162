"""What does a policy buy? True winners per GPU-hour and the false ones among them, over simulated rounds."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parents[1]))

from driven import (
    CONTINUED,
    READINGS,
    SUGGESTIVE_TOO,
    UNCAPPED,
    GrowingLedger,
    Misstep,
    PolicySearch,
    Reading,
)
from named import policy_named
from searches import SEARCHES
from subject import heading
from tally import Tally, mean
from world import MAIN, SCENARIOS, SimulatedRound, World, rounds

#: of the default policy, quick continued
MAX_FALSE_SHARE = {MAIN.name: 0.03}
MAX_FALSE_SHARE_ELSEWHERE = 0.06
MAX_ROUNDS_WITH_A_FALSE_WINNER = 0.05
MIN_WINNERS_PER_HOUR = 0.78
QUICK_ROUNDS, QUICK_SCENARIO_ROUNDS = 2000, 1000
FULL_ROUNDS = 12_000
#: rounds that one process goes through in a row; the next as many begin with an empty ledger
PART_ROUNDS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A policy as the main table shows it."""

    #: as `policy_named` reads it
    policy: str
    has_ledger: bool = True
    readings: tuple[Reading, ...] = (CONTINUED,)
    #: those of the tables by world
    readings_by_world: tuple[Reading, ...] = (CONTINUED, UNCAPPED)

    @property
    def label(self) -> str:
        return self.policy if self.has_ledger else f"{self.policy} without a ledger"


DEFAULT = Contestant(policy="screen_confirm", readings=READINGS)
CONTESTANTS = (
    DEFAULT,
    Contestant(policy="screen_confirm:alpha=0.2"),
    Contestant(policy="screen_confirm", has_ledger=False),
    Contestant(policy="screen_confirm:calibrated_looks=true"),
    Contestant(policy="threshold:min_delta=0.3", readings=(SUGGESTIVE_TOO,)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One contestant over a part of the rounds of one world; without a contestant, the searches by hand."""

    world: World
    count: int
    seed: int
    part: int = 0
    contestant: Contestant | None = None
    listed_seeds: int = 1
    rounds_per_task: int = 1

    def rounds(self) -> Iterator[SimulatedRound]:
        return rounds(self.world, self.count, self.seed, self.part, per_task=self.rounds_per_task)


def by_hand(cell: Cell) -> dict[str, Tally]:
    """Every search by hand over the same rounds."""
    tallies = {name: Tally() for name in SEARCHES}
    for seen in cell.rounds():
        for name, tally in tallies.items():
            tally.add(seen, SEARCHES[name](seen))
    return tallies


def by_policy(cell: Cell) -> dict[Reading, Tally]:
    """The contestant over the same rounds, one after the other, by each way to read its verdicts."""
    assert cell.contestant is not None
    search = PolicySearch(
        policy=policy_named(cell.contestant.policy),
        ledger=GrowingLedger() if cell.contestant.has_ledger else None,
        listed_seeds=cell.listed_seeds,
    )
    tallies = {reading: Tally() for reading in READINGS}
    for number, seen in enumerate(cell.rounds()):
        try:
            said = search(seen)
        except Misstep as error:
            where = f"{cell.contestant.policy}, round {number} of part {cell.part}, world {cell.world.name!r}"
            raise Misstep(f"{where}: {error}") from error
        for reading, tally in tallies.items():
            tally.add(seen, said[reading])
    return tallies


#: tallies by world and contestant, and then by the search's name or the reading
Measured = dict[tuple[World, Contestant | None], dict[str | Reading, Tally]]


def measure(cell: Cell) -> dict[str | Reading, Tally]:
    return {**by_hand(cell)} if cell.contestant is None else {**by_policy(cell)}


def together(cells: Iterable[Cell], tallies: Iterable[dict[str | Reading, Tally]]) -> Measured:
    """The parts of each world and contestant as one."""
    measured: Measured = {}
    for cell, of_part in zip(cells, tallies, strict=True):
        whole = measured.setdefault((cell.world, cell.contestant), {})
        for key, tally in of_part.items():
            whole[key] = whole[key] + tally if key in whole else tally
    return measured


HEAD = (
    "| {0} | true winners / GPU-h | recall | false share | rounds with a false winner"
    " | measured gain - truth, pp | told gain - truth, pp |\n|---|---|---|---|---|---|---|"
)


def table_row(name: str, tally: Tally) -> str:
    """A line of the table, standard errors in brackets."""
    figures = [
        tally.winners_per_hour,
        tally.recall,
        tally.false_share,
        tally.rounds_with_a_false_winner,
    ]
    gains = [mean(tally.overstated_raw), mean(tally.overstated)]
    numbers = [_shown(*figure, ".3f") for figure in figures] + [_shown(*gain, "+.2f") for gain in gains]
    return f"| {name} | {' | '.join(numbers)} |"


def _shown(value: float, error: float, form: str) -> str:
    return "-" if math.isnan(value) else f"{value:{form}} ({error:{form.lstrip('+')}})"


def misses(world: World, tally: Tally) -> list[str]:
    """The demands a policy misses by more than two standard errors."""
    if not math.fsum(tally.possible):
        # where nothing can be found every winner is false; only how often there is one is a figure
        often, error = tally.rounds_with_a_winner
        is_missed = often - 2 * error > MAX_ROUNDS_WITH_A_FALSE_WINNER
        return [f"{world.name}: {often:.3f} of the rounds declare a winner"] if is_missed else []
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The tables of one command; cells are measured side by side, and shown in order."""

    contestants: tuple[Contestant, ...]
    #: those that are shown world by world, and whose misses count
    judged: tuple[Contestant, ...]
    worlds: tuple[World, ...]
    rounds: int
    scenario_rounds: int
    seed: int
    listed_seeds: int
    rounds_per_task: int
    jobs: int

    @property
    def cells(self) -> list[Cell]:
        """Everything to measure. The world of most variants takes longest and must not be begun last."""
        longest_first = sorted(self.worlds, key=lambda world: -max(world.variants))
        return [
            cell
            for world in longest_first
            for contestant in ((None, *self.contestants) if world is MAIN else self.judged)
            for cell in self._parts(world, contestant)
        ]

    def _parts(self, world: World, contestant: Contestant | None) -> Iterator[Cell]:
        total = self.rounds if world is MAIN else self.scenario_rounds
        for part, begin in enumerate(range(0, total, PART_ROUNDS)):
            yield Cell(
                world=world,
                count=min(PART_ROUNDS, total - begin),
                seed=self.seed,
                part=part,
                contestant=contestant,
                listed_seeds=self.listed_seeds,
                rounds_per_task=self.rounds_per_task,
            )

    def measured(self) -> Measured:
        """All rounds of each world and contestant, by label or reading."""
        cells, measured = self.cells, []
        with ProcessPoolExecutor(max_workers=self.jobs) as pool:
            for tallies in pool.map(measure, cells):
                measured.append(tallies)
                print(f"\r{len(measured)} of {len(cells)} measured", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        return together(cells, measured)

    def print(self, measured: Measured) -> list[str]:
        """Prints them. Returns what misses a demand."""
        missed = []
        if MAIN in self.worlds:
            missed += self._print_main(measured)
        for contestant in self.judged:
            missed += self._print_worlds(
                contestant,
                {world: measured[world, contestant] for world in self.worlds if world is not MAIN},
            )
        return missed

    def _print_main(self, measured: Measured) -> list[str]:
        print(HEAD.format("search"))
        for name, tally in measured[MAIN, None].items():
            print(table_row(str(name), tally))
        for contestant in self.contestants:
            for reading in contestant.readings:
                print(table_row(f"{contestant.label}, {reading}", measured[MAIN, contestant][reading]))
        return [miss for each in self.judged for miss in misses(MAIN, measured[MAIN, each][CONTINUED])]

    def _print_worlds(
        self, contestant: Contestant, measured: Mapping[World, Mapping[str | Reading, Tally]]
    ) -> list[str]:
        for reading in contestant.readings_by_world if measured else ():
            print(f"\n{HEAD.format(f'{contestant.label}, {reading}, by world')}")
            for world, tallies in measured.items():
                print(table_row(world.name, tallies[reading]))
        return [miss for world, tallies in measured.items() for miss in misses(world, tallies[CONTINUED])]


def tables_asked(arguments: list[str] | None = None) -> Tables:
    """The tables that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="NAME[:OPTION=VALUE,...]",
        help="measure this policy; NAME may be the path of a policy file; repeatable",
    )
    parser.add_argument(
        "--world",
        action="append",
        default=[],
        choices=[world.name for world in SCENARIOS],
        help="only this world; repeatable",
    )
    parser.add_argument("--full", action="store_true", help=f"{FULL_ROUNDS} rounds a cell")
    parser.add_argument("--rounds", type=int, help=f"rounds in the main world ({QUICK_ROUNDS})")
    parser.add_argument(
        "--scenario-rounds", type=int, help=f"rounds in each scenario ({QUICK_SCENARIO_ROUNDS})"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--listed-seeds", type=int, default=1, help="seeds that a task lists, for policies that run all (1)"
    )
    parser.add_argument(
        "--rounds-per-task", type=int, default=1, help="rounds that a task is searched in a row (1)"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (one a core)")
    asked = parser.parse_args(arguments)
    try:
        for each in asked.policy:
            policy_named(each)
    except ValueError as error:
        parser.error(str(error))
    by_world = (CONTINUED, UNCAPPED, SUGGESTIVE_TOO)
    named = tuple(
        Contestant(policy=each, readings=READINGS, readings_by_world=by_world) for each in asked.policy
    )
    return Tables(
        contestants=named or CONTESTANTS,
        judged=named or (DEFAULT,),
        worlds=tuple(world for world in SCENARIOS if not asked.world or world.name in asked.world),
        rounds=asked.rounds or (FULL_ROUNDS if asked.full else QUICK_ROUNDS),
        scenario_rounds=asked.scenario_rounds or (FULL_ROUNDS if asked.full else QUICK_SCENARIO_ROUNDS),
        seed=asked.seed,
        listed_seeds=asked.listed_seeds,
        rounds_per_task=asked.rounds_per_task,
        jobs=asked.jobs,
    )


def main() -> int:
    begun = time.monotonic()
    tables = tables_asked()
    print(heading())
    missed = tables.print(tables.measured())
    print(f"\n{tables.rounds} and {tables.scenario_rounds} rounds, {time.monotonic() - begun:.0f} s")
    for miss in missed:
        print(f"MISSED {miss}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
