"""A sparkline shows the shape of a run's evaluations, on any terminal."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.cli.sparkline import ASCII_BARS, BARS, bars_for, run_sparklines, sparkline


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ([], ""),
        ([None, None], ""),
        ([1.0], "▁"),
        ([2.0, 2.0, 2.0], "▁▁▁"),
        ([0.0, 1.0], "▁█"),
        ([0, 1, 2, 3, 4, 5, 6, 7], BARS),
        ([7, None, 0], "█ ▁"),
        ([-1.0, 0.0, 1.0], "▁▅█"),
        ([1e-300, 2e-300], "▁█"),
    ],
)
def test_letters_rise_with_the_numbers(numbers: list[float | None], shown: str) -> None:
    assert sparkline(numbers) == shown


@pytest.mark.parametrize(
    ("encoding", "bars"),
    [("utf-8", BARS), ("ascii", ASCII_BARS), ("latin-1", ASCII_BARS), (None, ASCII_BARS), ("no", ASCII_BARS)],
)
def test_a_terminal_gets_letters_that_it_can_show(encoding: str | None, bars: str) -> None:
    assert bars_for(encoding) == bars


def run(**changes: Any) -> dict[str, Any]:
    return {"metric": "acc", "unit": "pp", "values": [0.4, 0.5], "losses": [2.0, 1.5], **changes}


def test_metric_and_loss_are_shown_with_their_last_values() -> None:
    assert run_sparklines(run(), BARS) == ["  ▁█  acc=50.00%", "  █▁  loss=1.5000"]


def test_a_loss_that_is_the_metric_is_shown_once() -> None:
    told = run(metric="loss", unit="nat", values=[2.0, 1.5])
    assert run_sparklines(told, BARS) == ["  █▁  loss=1.5000"]


@pytest.mark.parametrize("changes", [{"values": [], "losses": []}, {"values": [0.4], "losses": [None]}])
def test_a_single_evaluation_is_no_line(changes: dict[str, Any]) -> None:
    assert run_sparklines(run(**changes), BARS) == []


def test_a_status_of_an_earlier_version_has_no_line() -> None:
    assert run_sparklines({"metric": "acc", "unit": "pp"}, BARS) == []
