"""Is the smallest sufficient rank found, from singular values alone?"""

from __future__ import annotations

import pytest

from scheduler.report.lora_ranks import rank_analysis


def test_the_share_that_a_rank_keeps_is_that_of_the_largest_squares() -> None:
    found = rank_analysis({"a": [1.0, 6.0, 1.0, 2.0], "b": [1.0, 0.0, 0.0, 0.0]})
    assert [(row.rank, row.mean, row.lowest, row.worst_layer) for row in found.rows] == [
        (1, pytest.approx(0.8), pytest.approx(0.6), "a"),
        (2, pytest.approx(0.9), pytest.approx(0.8), "a"),
        (4, pytest.approx(1.0), pytest.approx(1.0), "a"),
    ]
    assert (found.chosen, found.layers, found.rank) == (4, 2, 4)


@pytest.mark.parametrize(("enough", "chosen"), [(0.5, 1), (0.8, 1), (0.85, 2), (0.95, 4), (1.0, 4)])
def test_the_smallest_rank_with_enough_on_average_is_chosen(enough: float, chosen: int) -> None:
    assert rank_analysis({"a": [6.0, 2.0, 1.0, 1.0], "b": [1.0]}, enough).chosen == chosen


def test_ranks_are_powers_of_two_also_where_the_adapter_has_another() -> None:
    assert [row.rank for row in rank_analysis({"a": [1.0] * 12}).rows] == [1, 2, 4, 8, 16]
    assert [row.rank for row in rank_analysis({"a": [3.0]}).rows] == [1]


def test_layers_that_were_never_trained_are_left_out_and_told() -> None:
    found = rank_analysis({"a": [1.0, 0.0], "still": [0.0, 0.0]})
    assert (found.untrained, found.layers, found.chosen) == (("still",), 1, 1)
    with pytest.raises(ValueError, match="no layer was trained"):
        rank_analysis({"still": [0.0]})
