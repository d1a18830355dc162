"""Repeated runs say how noisy one of them is, and how far apart nothing at all may lie."""

from __future__ import annotations

import math

import pytest
from fakes.world import make_round, ok, play, task

from scheduler.report.floor_text import Floor, floor_lines, floor_table, floors_of


def floor(*values: float, unit: str = "pp") -> Floor:
    metric = "acc" if unit == "pp" else "loss"
    return Floor(task="sums", stage="medium", metric=metric, unit=unit, values=dict(enumerate(values)))


def told(*values: float, unit: str = "pp") -> str:
    return "\n".join(floor_lines(floor(*values, unit=unit)))


def test_sd_cv_interval_and_the_delta_of_nothing_are_told() -> None:
    said = told(0.50, 0.51, 0.52, 0.49, 0.53)
    # sd of 1..5 is 1.5811; t(4) = 2.7764
    assert "5 runs of the baseline, acc 51.00% on average, 49.00% to 53.00%" in said
    assert "sd of one run: 1.58 pp (CV 3.1 %); 5 runs know the sd itself within x0.6 to x2.9" in said
    half = 2.7764 * 1.5811 * math.sqrt(1 + 1 / 5)
    assert f"one new run, 95 times in 100: {51 - half:.2f}% to {51 + half:.2f}%" in said
    assert f"within +-{2.7764 * 1.5811 * math.sqrt(2):.2f} pp with 1 seed a side" in said
    assert f"within +-{2.7764 * 1.5811 * math.sqrt(2 / 3):.2f} pp with 3 seeds a side" in said


def test_disjoint_groups_of_equal_runs_tell_the_largest_difference_seen() -> None:
    said = told(0.50, 0.51, 0.52, 0.49, 0.53)
    assert "up to 4.00 pp between 1 run and 1 other, up to 3.00 pp between 2 runs and 2 others" in said


def test_another_unit_is_told_as_it_is() -> None:
    said = told(2.51, 2.52, 2.53, unit="nat")
    assert "loss 2.5200 on average" in said
    assert "sd of one run: 0.01 nat (CV 0.4 %)" in said


def test_a_seed_that_changes_nothing_is_said_to_change_nothing() -> None:
    assert "the seed changes nothing that is measured" in told(0.96875, 0.96875, 0.96875)


def test_one_run_tells_no_noise() -> None:
    assert "one run tells no noise" in told(0.5)


def test_the_table_lists_every_stored_baseline() -> None:
    world = play(
        lambda intended: ok(0.5 + 0.01 * intended.seed),
        make_round(task("a", variants=(), seeds=(0, 1)), task("b", variants=())),
    )
    header, *rows = floor_table(floors_of(world.state.baselines.families))
    assert header.split()[:3] == ["task", "stage", "runs"]
    assert [row.split()[:3] for row in rows] == [
        ["a", "medium", "2"],
        ["a", "quick", "2"],
        ["b", "medium", "1"],
        ["b", "quick", "1"],
    ]
    assert "acc=50.50%" in rows[0]
    assert "0.71 pp" in rows[0]
    assert rows[2].split()[4:] == ["-", "-"]


@pytest.mark.parametrize("unit", ["pp", "nat"])
def test_few_lines_are_enough(unit: str) -> None:
    assert len(told(0.1, 0.2, 0.3, unit=unit).splitlines()) == 5
