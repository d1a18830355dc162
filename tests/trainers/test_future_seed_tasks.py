"""Are the generated examples what their task says, and do training and evaluation share none?"""

from __future__ import annotations

import numpy as np
import pytest

from trainers.future_seed import examples
from trainers.future_seed.config import Config
from trainers.future_seed.tasks import evaluation_set, make_task
from trainers.future_seed.tasks.ceilings import ceilings_of_side_4
from trainers.future_seed.tasks.sequences import is_held_out
from trainers.future_seed.tasks.sudoku import all_grids_of_side_4, split_grids_of_side_4

SEQUENCE_TASKS = ["rightcopy", "constr", "kvsort", "permfill", "retrieval", "nameindex", "middlematch"]
TASKS = ["sudoku", *SEQUENCE_TASKS]


def draw(count=64, *, held_out=False, seed=0, **arguments):
    config = Config(**arguments)
    task = make_task(config)
    return config, task, task.draw(np.random.default_rng(seed), count, held_out=held_out)


def is_complete(grids, side):
    box = int(side**0.5)
    digits = np.arange(side)
    squares = grids.reshape(-1, side, side)
    boxes = squares.reshape(-1, box, box, box, box).transpose(0, 1, 3, 2, 4).reshape(-1, side, side)
    return all((np.sort(lines, axis=2) == digits).all() for lines in (squares, squares.mT, boxes))


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("held_out", [False, True])
def test_every_example_has_the_shape_that_its_task_announces(name, held_out):
    config, task, examples = draw(task=name, held_out=held_out)
    assert examples.tokens.shape == examples.masked.shape == (64, task.n_position)
    assert task.n_position == config.n_token
    assert (examples.masked.sum(axis=1) == task.n_masked).all()
    assert examples.tokens.min() >= 0
    assert examples.tokens.max() < task.n_value


@pytest.mark.parametrize("name", TASKS)
def test_the_same_generator_draws_the_same_examples(name):
    first, second, other = (draw(task=name, seed=seed)[2] for seed in (3, 3, 4))
    assert (first.tokens == second.tokens).all()
    assert (first.masked == second.masked).all()
    assert (first.tokens != other.tokens).any()


@pytest.mark.parametrize("name", TASKS)
def test_the_evaluation_set_is_the_same_in_every_run(name):
    task = make_task(Config(task=name))
    first, second = evaluation_set(task, 100), evaluation_set(task, 100)
    assert (first.tokens == second.tokens).all()
    assert (first.masked == second.masked).all()


@pytest.mark.parametrize("name", TASKS)
def test_the_size_of_the_evaluation_set_is_told_before_it_is_drawn(name):
    config = Config(task=name)
    drawn = evaluation_set(make_task(config), 300)
    assert examples(config, 300) == (300, len(np.unique(drawn.clusters)))


def test_held_out_grids_of_side_4_are_48_clusters_however_many_masks_are_drawn():
    assert examples(Config(), None) == (1024, 48)
    assert examples(Config(n_eval=24), None) == (24, 24)


@pytest.mark.parametrize("side", [4, 9])
def test_sudoku_grids_are_complete(side):
    for held_out in (False, True):
        assert is_complete(draw(side=side, held_out=held_out)[2].tokens, side)


def test_there_are_288_grids_of_side_4():
    grids = all_grids_of_side_4()
    assert len(np.unique(grids, axis=0)) == len(grids) == 288
    assert is_complete(grids, 4)


def test_training_never_shows_a_held_out_grid_of_side_4():
    training, evaluation = ({tuple(grid) for grid in grids.tolist()} for grids in split_grids_of_side_4())
    assert (len(training), len(evaluation)) == (240, 48)
    assert not training & evaluation
    assert {tuple(grid) for grid in draw(5000)[2].tokens.tolist()} == training
    assert {tuple(grid) for grid in draw(1000, held_out=True)[2].tokens.tolist()} == evaluation


def test_the_evaluation_set_of_side_4_shows_each_held_out_grid_equally_often():
    examples = evaluation_set(make_task(Config()), 1024)
    counts = np.bincount(examples.clusters)
    assert len(counts) == 48
    assert counts.max() - counts.min() <= 1
    for cluster in range(48):
        assert len(np.unique(examples.tokens[examples.clusters == cluster], axis=0)) == 1


def test_no_grid_of_side_9_is_drawn_for_training_and_for_evaluation():
    training = {grid.tobytes() for grid in draw(2000, side=9)[2].tokens}
    evaluation = {grid.tobytes() for grid in draw(2000, side=9, held_out=True)[2].tokens}
    assert len(training) == len(evaluation) == 2000
    assert not training & evaluation


@pytest.mark.parametrize("name", SEQUENCE_TASKS)
def test_training_never_shows_a_held_out_sequence(name):
    assert not is_held_out(draw(500, task=name)[2].tokens).any()
    assert is_held_out(draw(500, task=name, held_out=True)[2].tokens).all()


@pytest.mark.parametrize(
    ("mask", "cells"), [("prefix", range(6)), ("suffix", range(10, 16))], ids=["prefix", "suffix"]
)
def test_a_prefix_or_a_suffix_of_the_grid_is_masked(mask, cells):
    masked = draw(mask=mask)[2].masked
    assert masked[:, list(cells)].all()


def test_random_masks_cover_every_cell_alike():
    shares = draw(4000)[2].masked.mean(axis=0)
    assert np.abs(shares - 6 / 16).max() < 0.04


def test_rightcopy_repeats_the_right():
    tokens = draw(task="rightcopy", length=5)[2].tokens
    assert (tokens[:, :5] == tokens[:, 6:]).all()


def test_constr_continues_the_left_and_alternates_the_pair_at_the_end():
    tokens = draw(task="constr", length=6)[2].tokens
    middle = tokens[:, 7:13]
    assert (middle[:, 0] == tokens[:, 5]).all()
    assert (middle[:, 1::2] == tokens[:, [-2]]).all()
    assert (middle[:, 2::2] == tokens[:, [-1]]).all()


def test_kvsort_sorts_the_pairs_on_the_right_by_key():
    tokens = draw(task="kvsort", length=5)[2].tokens
    left = tokens[:, :10].reshape(-1, 5, 2)
    right = tokens[:, 11:].reshape(-1, 5, 2)
    assert (np.diff(left[:, :, 0], axis=1) > 0).all()
    for sorted_pairs, pairs in zip(left, right, strict=True):
        assert sorted_pairs.tolist() == sorted(pairs.tolist())


def test_permfill_is_a_permutation_whose_missing_values_ascend():
    _, task, examples = draw(task="permfill", length=7, masked=3)
    assert (np.sort(examples.tokens, axis=1) == np.arange(7)).all()
    missing = examples.tokens[examples.masked].reshape(-1, task.n_masked)
    assert (np.diff(missing, axis=1) > 0).all()


def test_retrieval_asks_for_the_value_of_a_key():
    tokens = draw(task="retrieval", length=5)[2].tokens
    for row in tokens.tolist():
        assert row[1] == dict(zip(row[3::2], row[4::2], strict=True))[row[0]]


def test_nameindex_asks_for_the_name_at_a_place():
    for row in draw(task="nameindex", length=5, symbols=16)[2].tokens.tolist():
        assert row[1] == row[3:][row[0] - 16]


def test_middlematch_asks_for_the_name_between_two():
    for row in draw(task="middlematch", length=6)[2].tokens.tolist():
        names = row[4:]
        place = names.index(row[1])
        assert names[place - 1 : place + 2] == row[:3]


def test_the_ceilings_of_six_random_cells_are_those_of_the_enumeration():
    bounds = ceilings_of_side_4(6, "random")
    assert bounds.left == pytest.approx(0.683, abs=1e-3)
    assert bounds.all == pytest.approx(0.985, abs=1e-3)


@pytest.mark.parametrize("mask", ["prefix", "suffix"])
def test_the_ceilings_agree_with_a_count_of_the_grids(mask):
    """The same figures by hand, for four cells, from the 288 grids and nothing else."""
    grids = all_grids_of_side_4()
    hidden = list(range(4)) if mask == "prefix" else list(range(12, 16))
    bounds = ceilings_of_side_4(4, mask)
    for expected, knows_right in ((bounds.left, False), (bounds.all, True)):
        right = 0
        for cell in hidden:
            known = [c for c in range(16) if c not in hidden and (knows_right or c < cell)]
            for key in np.unique(grids[:, known], axis=0):
                values = grids[(grids[:, known] == key).all(axis=1), cell]
                right += np.bincount(values).max()
        assert expected == pytest.approx(right / (288 * 4))
    if mask == "prefix":
        assert bounds.left == pytest.approx(1 / 4)


def test_more_masked_cells_lower_both_ceilings():
    few, many = ceilings_of_side_4(2, "random"), ceilings_of_side_4(5, "random")
    assert few.left > many.left
    assert few.all > many.all
    assert ceilings_of_side_4(1, "random").all == pytest.approx(1.0)
