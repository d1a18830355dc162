"""Runs are compared example by example, and examples of one document are one cluster."""

from __future__ import annotations

import math
import statistics

import pytest

from policies._examples import paired_by_example


def test_the_error_of_unclustered_examples_is_that_of_a_mean() -> None:
    variant, baseline = [1.0, 1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0, 1.0]
    differences = [1.0, 0.0, 0.0, 1.0, -1.0]
    paired = paired_by_example(variant, baseline)
    assert paired.delta == pytest.approx(0.2)
    assert paired.se == pytest.approx(statistics.stdev(differences) / math.sqrt(5))
    assert paired.discordance == pytest.approx(0.6)


def test_masks_of_one_grid_are_one_cluster() -> None:
    grids = [1.0, 0.0, 1.0, 1.0]
    once = paired_by_example(grids, [0.0] * 4)
    masks = paired_by_example(
        [g for g in grids for _ in range(50)], [0.0] * 200, [i // 50 for i in range(200)]
    )
    assert masks.clusters == 4
    assert masks.se == pytest.approx(once.se)


def test_one_document_tells_nothing_of_another() -> None:
    assert paired_by_example([1.0, 0.0], [0.0, 0.0], ["a", "a"]).se is None


def test_an_error_free_pair_is_a_difference_of_zero() -> None:
    paired = paired_by_example([0.25, 1.0], [0.25, 1.0])
    assert (paired.delta, paired.se, paired.discordance) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("variant", "baseline"), [([1.0], [1.0, 0.0]), ([], [])])
def test_different_sets_are_not_paired(variant: list[float], baseline: list[float]) -> None:
    with pytest.raises(ValueError, match="score both runs on one set"):
        paired_by_example(variant, baseline)
