"""The simulated rounds and the replay measure what they say."""

from __future__ import annotations

import dataclasses
import importlib
import math
import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from policies._assessment import TaskRuns, evidence, screened
from policies._looks import LookPlan
from policies._screening import ScreenRule, confirm_set, promoted
from policies._verdict import judge
from policies.evidence import Objective, Observation

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
REPLAY_DATA = os.environ.get("ROUNDHOUSE_REPLAY_DATA")
NAMES = ("world", "searches", "screen_confirm", "simulate", "replay")


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
    value, error = benchmark.simulate.ratio(above, [1.0] * 5)
    assert value == pytest.approx(0.6)
    assert error == pytest.approx(statistics.pstdev(above) / math.sqrt(5))
    assert math.isnan(benchmark.simulate.ratio([0.0], [0.0])[0])


def test_medium_against_the_quick_baseline_is_paid_for_with_false_winners(benchmark: Any) -> None:
    names = [
        "by hand (medium against the quick baseline)",
        "same, fair medium baseline",
        "screen_confirm, quick continued",
    ]
    told = benchmark.simulate.simulated(benchmark.world.MAIN, 150, 6, names)
    by_hand, fair, confirmed = (told[name].false_share[0] for name in names)
    assert by_hand > fair > 0.3 > 0.06 > confirmed
    assert told[names[0]].recall > told[names[2]].recall > (0.35,)


def test_continuation_saves_time_and_changes_no_verdict(benchmark: Any) -> None:
    names = ["screen_confirm, no continuation", "screen_confirm, quick continued"]
    told = benchmark.simulate.simulated(benchmark.world.MAIN, 40, 7, names)
    afresh, continued = (told[name] for name in names)
    assert afresh.true == continued.true
    assert sum(continued.hours) < sum(afresh.hours)


def test_a_world_without_effects_has_few_winners(benchmark: Any) -> None:
    barren = next(world for world in benchmark.world.SCENARIOS if world.name == "no effects at all")
    tally = benchmark.simulate.simulated(barren, 300, 8, [benchmark.simulate.JUDGED])[
        benchmark.simulate.JUDGED
    ]
    assert tally.rounds_with_a_winner <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 300)


def as_runs(seen: Any) -> TaskRuns:
    """A simulated round as a planner holds it, with every run made."""

    def runs(row: int) -> tuple[Observation, ...]:
        config = "baseline" if row == 0 or seen.is_no_op[row] else str(row)
        return tuple(
            Observation(
                stage=stage,
                config=config,
                seed=slot,
                slot=slot,
                status="ok",
                protocol=stage,
                value=float(values[row, slot]) / 100,
                loss=1.0 + slot / 10,
                scores_digest=f"{config} {stage} {slot}",
            )
            for stage, values, slots in (("quick", seen.quick, 2), ("medium", seen.medium, 6))
            for slot in range(slots)
        )

    variants = {str(row): runs(row) for row in seen.variants}
    return TaskRuns(objective=Objective(), baseline=runs(0), variants=variants, examples=seen.examples)


def test_the_benchmark_declares_what_a_planner_would(benchmark: Any) -> None:
    search = benchmark.screen_confirm.ScreenConfirm(ledger=None, is_capped=True)
    found = 0
    for seen in benchmark.world.rounds(benchmark.world.MAIN, 25, seed=9):
        task = as_runs(seen)
        survivors = [each for each in screened(task) if ScreenRule().why_weak(each) is None]
        chosen = promoted(survivors, len(task.variants))
        plan = LookPlan(candidates=confirm_set([e for e in survivors if e.name in chosen]), looks=3)
        judged = {name: judge(evidence(task, name, plan)) for name in task.variants}
        winners = {int(name): said.shrunk_gain for name, said in judged.items() if said.name == "WINNER"}
        assert winners == pytest.approx(search(seen).winners)
        found += len(winners)
    assert found > 5


def test_a_split_of_equal_runs_keeps_the_level(benchmark: Any) -> None:
    draw = np.random.default_rng(1)
    cells = {("a", "b", "c", str(i)): tuple(draw.normal(0, 1.3, 10)) for i in range(60)}
    for has_prior in (True, False):
        share, error = benchmark.replay.levels(cells, 0.20, 10, 0, has_prior=has_prior)
        assert 0.02 < share <= 0.20 + 2 * error


@pytest.mark.skipif(REPLAY_DATA is None, reason="ROUNDHOUSE_REPLAY_DATA names no folder of replay curves")
@pytest.mark.parametrize("alpha", [0.05, 0.10, 0.20])
def test_real_repeats_split_in_two_keep_the_level(benchmark: Any, alpha: float) -> None:
    assert REPLAY_DATA is not None
    cells = benchmark.replay.read_cells(Path(REPLAY_DATA))
    assert len(cells) == 94
    share, error = benchmark.replay.levels(cells, alpha, 10, 0, has_prior=True)
    assert share <= alpha + 2 * error
