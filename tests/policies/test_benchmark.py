"""The simulated rounds and the replay measure what they say."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from policies import make_policy
from policies._assessment import Ledger
from policies.evidence import BASELINE
from policies.steps import Freeze, Run

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
REPLAY_DATA = os.environ.get("ROUNDHOUSE_REPLAY_DATA")
NAMES = ("world", "searches", "tally", "driven", "named", "simulate", "replay", "rounds_picture")


@pytest.fixture(scope="module")
def benchmark() -> Iterator[Any]:
    """The benchmark's modules, which are scripts in a folder and no package."""
    before = list(sys.path)
    sys.path.insert(0, str(BENCHMARKS / "policies"))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    finally:
        sys.path[:] = before


def test_the_same_seed_gives_the_same_rounds(benchmark: Any) -> None:
    first, second = (list(benchmark.world.rounds(benchmark.world.MAIN, 3, seed=4)) for _ in range(2))
    assert all(np.array_equal(a.medium, b.medium) for a, b in zip(first, second, strict=True))
    other = next(benchmark.world.rounds(benchmark.world.MAIN, 1, seed=5))
    assert not np.array_equal(other.medium, first[0].medium)


def test_the_world_has_the_effects_it_says(benchmark: Any) -> None:
    effects = np.concatenate(
        [seen.effects[1:] for seen in benchmark.world.rounds(benchmark.world.MAIN, 1500, seed=1)]
    )
    for share, effect in ((0.60, 0.0), (0.05, -2.0), (0.05, -10.0), (0.10, 3.0), (0.05, 8.0)):
        assert float((effects == effect).mean()) == pytest.approx(share, abs=0.01)


def test_a_world_with_half_the_winners_has_as_many_variants(benchmark: Any) -> None:
    for world in benchmark.world.SCENARIOS:
        assert 0.85 < sum(share for share, _ in world.effects) <= 0.900001
    halved = {effect: share for share, effect in benchmark.world.SCENARIOS[1].effects}
    assert (halved[3.0], halved[8.0], halved[0.0]) == pytest.approx((0.05, 0.025, 0.575))


def test_runs_have_the_noise_and_the_correlation_they_say(benchmark: Any) -> None:
    world = benchmark.world
    quiet = dataclasses.replace(world.MAIN, noise_spread=0.0, examples=(10**9,), variants=(24,))
    runs = [
        seen.medium - seen.medium.mean(axis=1, keepdims=True) for seen in world.rounds(quiet, 400, seed=2)
    ]
    real = [each[1:][each[1:].std(axis=1) > 0] for each in runs]
    sd = math.sqrt(float(np.mean([each.var(axis=1, ddof=1).mean() for each in real])))
    assert sd == pytest.approx(1.4, rel=0.02)
    products = [float((each[0] * each[1]).sum()) / (world.SLOTS - 1) for each in real]
    assert statistics.fmean(products) / sd**2 == pytest.approx(0.2, abs=0.06)


def test_a_no_op_equals_the_baseline_at_every_stage(benchmark: Any) -> None:
    found = 0
    for seen in benchmark.world.rounds(benchmark.world.MAIN, 50, seed=3):
        for row in np.flatnonzero(seen.is_no_op):
            found += 1
            assert np.array_equal(seen.quick[row], seen.quick[0])
            assert np.array_equal(seen.medium[row], seen.medium[0])
    assert found > 20


def test_the_error_of_a_ratio_is_that_of_a_mean_when_nothing_varies_below(benchmark: Any) -> None:
    above = [0.0, 1.0, 1.0, 0.0, 1.0]
    value, error = benchmark.tally.ratio(above, [1.0] * 5)
    assert value == pytest.approx(0.6)
    assert error == pytest.approx(statistics.pstdev(above) / math.sqrt(5))
    assert math.isnan(benchmark.tally.ratio([0.0], [0.0])[0])


def measured(benchmark: Any, world: Any, count: int, seed: int, policy: str = "screen_confirm") -> Any:
    """The tallies of a policy, by reading."""
    contestant = benchmark.simulate.Contestant(policy=policy)
    return benchmark.simulate.by_policy(
        benchmark.simulate.Cell(world=world, count=count, seed=seed, contestant=contestant)
    )


def driven(benchmark: Any, seen: Any, policy: Any = None) -> Any:
    """One task under the policy, cold."""
    task = benchmark.driven.simulated_task(seen, Ledger())
    observe = functools.partial(benchmark.driven.observed, seen)
    return benchmark.driven.drive(policy or make_policy("screen_confirm", {}), task, observe)


def test_medium_against_the_quick_baseline_is_paid_for_with_false_winners(benchmark: Any) -> None:
    main = benchmark.world.MAIN
    hand = benchmark.simulate.by_hand(benchmark.simulate.Cell(world=main, count=120, seed=6))
    by_hand, fair, best = (
        hand[name]
        for name in (
            "by hand (medium against the quick baseline)",
            "same, fair medium baseline",
            "ASHA-like, best declared",
        )
    )
    confirmed = measured(benchmark, main, 120, 6)[benchmark.driven.CONTINUED]
    assert by_hand.false_share > fair.false_share > (0.3,)
    assert fair.false_share > best.false_share > confirmed.false_share
    assert confirmed.false_share < (0.08,)
    assert by_hand.recall > confirmed.recall > best.recall > (0.25,)


def test_one_drive_is_read_in_every_way(benchmark: Any) -> None:
    told, by = measured(benchmark, benchmark.world.MAIN, 40, 7), benchmark.driven
    winners = told[by.CONTINUED]
    assert told[by.AFRESH].true == winners.true
    assert sum(winners.hours) < sum(told[by.AFRESH].hours)
    assert sum(told[by.UNCAPPED].declared) >= sum(winners.declared) > 10
    assert sum(told[by.SUGGESTIVE_TOO].declared) > sum(winners.declared)


def test_a_world_without_effects_has_few_winners(benchmark: Any) -> None:
    barren = next(world for world in benchmark.world.SCENARIOS if world.name == "no effects at all")
    tally = measured(benchmark, barren, 120, 8)[benchmark.driven.CONTINUED]
    assert tally.rounds_with_a_winner[0] <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 120)
    assert benchmark.simulate.misses(barren, tally) == []


def test_what_misses_a_demand_is_told(benchmark: Any) -> None:
    hand = benchmark.simulate.by_hand(benchmark.simulate.Cell(world=benchmark.world.MAIN, count=120, seed=6))
    slow = benchmark.simulate.misses(benchmark.world.MAIN, hand["5 + 3 seeds, 2 sigma"])
    assert any("true winners per GPU-hour" in each for each in slow)
    sloppy = benchmark.simulate.misses(benchmark.world.MAIN, hand["same, fair medium baseline"])
    assert any("a false share of" in each for each in sloppy)


def test_a_policy_runs_no_seed_twice_and_no_fresh_one_before_the_freeze(benchmark: Any) -> None:
    frozen = 0
    for seen in benchmark.world.rounds(benchmark.world.MAIN, 25, seed=9):
        done = driven(benchmark, seen)
        assert len(set(done.runs)) == len(done.runs)
        assert list(done.verdicts) == [str(row) for row in seen.variants]
        judging = [
            step
            for step in done.steps
            if isinstance(step, Run) and (step.stage, step.slot > 0) == ("medium", True)
        ]
        if judging:
            freeze = next(index for index, step in enumerate(done.steps) if isinstance(step, Freeze))
            assert done.steps.index(judging[0]) > freeze
            screening = {run.slot for run in done.runs if run not in judging}
            assert screening.isdisjoint(run.slot for run in judging)
            frozen += 1
    assert frozen > 10


def test_a_no_op_is_stopped_neutral_and_nearly_free(benchmark: Any) -> None:
    seen = next(
        each for each in benchmark.world.rounds(benchmark.world.MAIN, 50, seed=3) if each.is_no_op.any()
    )
    done = driven(benchmark, seen)
    for row in map(str, np.flatnonzero(seen.is_no_op)):
        assert done.verdicts[row].name == "NEUTRAL"
        assert [run.stage for run in done.runs if run.config == row] == ["quick"]


def test_every_run_is_paid_for(benchmark: Any) -> None:
    by, world = benchmark.driven, benchmark.world
    for seen in world.rounds(world.MAIN, 10, seed=4):
        done = driven(benchmark, seen)
        no_ops = int(seen.is_no_op.sum())
        quick = sum(run.stage == "quick" for run in done.runs) - no_ops
        medium = [run for run in done.runs if run.stage == "medium"]
        afresh = no_ops * 20.0 + quick * 100.0 + len(medium) * 300.0
        assert by.seconds_of(done, is_continued=False) == afresh
        first = sum(run.slot == 0 for run in medium)
        assert by.seconds_of(done, is_continued=True) == afresh - 100.0 * first


POLICY_FILE = """
from __future__ import annotations
from dataclasses import dataclass
from policies.evidence import Hold, Prune, Verdict
from policies.variant_by_variant import VariantByVariant

@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(VariantByVariant):
    least: float = 0.0

    def slots(self, stage, listed):
        return (0,) if stage == "quick" else tuple(range(listed))

    def after(self, stage, evidence):
        delta = evidence.delta(stage)
        return Hold(reason="good") if delta and delta.mean >= self.least else Prune(reason="bad")

    def verdict(self, evidence):
        delta = evidence.delta("quick")
        is_good = delta is not None and delta.mean >= self.least
        return Verdict(name="WINNER" if is_good else "INCONCLUSIVE", reason="quick alone")
"""


def test_a_policy_file_can_be_named_by_its_path(
    benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(POLICY_FILE)
    tally = measured(benchmark, benchmark.world.MAIN, 10, 1, f"{file}:least=3.0")[benchmark.driven.CONTINUED]
    assert 0 < sum(tally.true) < sum(tally.declared)
    for wrong in (f"{file}:most=1", str(tmp_path / "none.py"), "screen_confirms", "threshold:min_delta"):
        with pytest.raises(SystemExit):
            benchmark.simulate.tables_asked(["--policy", wrong])
    told = capsys.readouterr().err
    assert "most: unknown option; known: least" in told
    assert "no such file" in told
    assert "did you mean 'screen_confirm'?" in told
    assert "an option is written NAME=VALUE" in told


def test_a_policy_that_asks_for_what_is_over_is_told_so(benchmark: Any) -> None:
    class Again:
        def next(self, view: Any) -> Run:
            return Run(stage="quick", config=BASELINE, slot=0)

    seen = next(benchmark.world.rounds(benchmark.world.MAIN, 1, seed=1))
    with pytest.raises(benchmark.driven.Misstep, match="is over already"):
        driven(benchmark, seen, Again())


def test_the_quick_table_holds_every_world_and_the_full_one_12_000_rounds(benchmark: Any) -> None:
    quick, full = benchmark.simulate.tables_asked([]), benchmark.simulate.tables_asked(["--full"])
    assert len(quick.worlds) == len({world.name for world in quick.worlds}) == 13
    assert quick.rounds < full.rounds == full.scenario_rounds == 12_000
    one = benchmark.simulate.tables_asked(["--world", "noise x2", "--rounds", "7"])
    assert ([world.name for world in one.worlds], one.rounds) == (["noise x2"], 7)


def test_a_long_table_is_measured_in_parts_that_differ(benchmark: Any) -> None:
    asked = ["--rounds", "4500", "--world", "main", "--policy", "threshold"]
    tables = benchmark.simulate.tables_asked(asked)
    counts = [cell.count for cell in tables.cells if cell.contestant is not None]
    assert counts == [2000, 2000, 500]
    cell = benchmark.simulate.Cell(world=benchmark.world.MAIN, count=20, seed=1)
    parts = [cell, dataclasses.replace(cell, part=1)]
    first, second = map(benchmark.simulate.measure, parts)
    whole = benchmark.simulate.together(parts, [first, second])[benchmark.world.MAIN, None]
    for name, tally in whole.items():
        assert tally.hours == first[name].hours + second[name].hours
        assert first[name].hours != second[name].hours


def test_tables_are_printed_for_the_named_policy(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--rounds", "3", "--scenario-rounds", "2", "--jobs", "1", "--policy", "threshold:min_delta=0.2"]
    tables = benchmark.simulate.tables_asked([*asked, "--world", "main", "--world", "4 variants"])
    missed = tables.print(tables.measured())
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("| threshold:min_delta=0.2, ") for line in lines) == 7
    assert sum(line.startswith("| 4 variants |") for line in lines) == 3
    assert any("true winners per GPU-hour" in each for each in missed)


def test_a_split_of_equal_runs_keeps_the_level(benchmark: Any) -> None:
    draw = np.random.default_rng(1)
    cells = {("a", "b", "c", str(i)): tuple(draw.normal(0, 1.3, 10)) for i in range(60)}
    for has_prior in (True, False):
        share, error = benchmark.replay.levels(cells, 0.20, 10, 0, has_prior=has_prior)
        assert 0.02 < share <= 0.20 + 2 * error


def test_no_policy_finds_a_winner_where_all_runs_are_of_one_code(benchmark: Any) -> None:
    draw = np.random.default_rng(2)
    cells = {("a", "b", "c", str(i)): tuple(draw.normal(0, 1.3, 13)) for i in range(30)}
    share, error = benchmark.replay.declared(cells, 0.20, 5, 0, has_prior=False)
    assert share <= 0.20 + 2 * error
    few = benchmark.replay.winning_share([0.0] * 8, make_policy("screen_confirm", {}), Ledger(), 1, 0)
    assert few is None


def test_the_picture_shows_what_the_tables_say(benchmark: Any) -> None:
    figures = "recall | 0.036 (0.007) | 0.030 (0.005) | +0.85 (0.06) | +0.03 (0.05)"
    tables = [
        f"command: python simulate.py --rounds-per-task {rounds} --jobs 1\n"
        f"| race, no continuation | 0.100 (0.010) | {figures} |\n"
        f"| race, quick continued | {rate} (0.030) | {figures} |\n"
        f"| screen_confirm, quick continued | 0.900 (0.020) | {figures} |\n"
        for rounds, rate in ((1, "0.900"), (8, "1.200"))
    ]
    points = [point for table in tables for point in benchmark.rounds_picture.points_in(table)]
    assert [(point.search, point.rounds_per_task, point.winners_per_hour) for point in points] == [
        ("race", 1, 0.9),
        ("screen_confirm", 1, 0.9),
        ("race", 8, 1.2),
        ("screen_confirm", 8, 0.9),
    ]
    drawn = ElementTree.fromstring(benchmark.rounds_picture.picture(points))
    assert drawn[0].text == (
        "True winners per GPU-hour by rounds per task:"
        " race 0.90 at 1; screen_confirm 0.90 at 1; race 1.20 at 8; screen_confirm 0.90 at 8"
    )
    assert len([each for each in drawn.iter() if each.get("class") == "bar"]) == 4


@pytest.mark.skipif(REPLAY_DATA is None, reason="ROUNDHOUSE_REPLAY_DATA names no folder of replay curves")
@pytest.mark.parametrize("alpha", [0.05, 0.10, 0.20])
def test_real_repeats_split_in_two_keep_the_level(benchmark: Any, alpha: float) -> None:
    assert REPLAY_DATA is not None
    cells = benchmark.replay.read_cells(Path(REPLAY_DATA))
    assert len(cells) == 94
    share, error = benchmark.replay.levels(cells, alpha, 10, 0, has_prior=True)
    assert share <= alpha + 2 * error
