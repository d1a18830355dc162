"""Which complete Sudoku grids are there, which are kept for evaluation, and how are their cells masked?"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Literal

import numpy as np

from trainers.future_seed.tasks.examples import Examples

Mask = Literal["random", "prefix", "suffix"]

#: of the 288 grids of side 4, those that training never shows
HELD_OUT_GRIDS = 48

#: grids of side 9 from which all others are made by symmetries: these train, those evaluate
TRAIN_BASES, EVAL_BASES = 48, 16


class Sudoku:
    """Fill the masked cells of a complete grid, read row by row.

    Side 4: the 288 grids, 48 of which only evaluate. Side 9: random symmetries (digits, rows and columns
    within bands, bands, transposition) of random grids; no symmetry leads from a training grid to one that
    evaluates. The task asks for the grid that was masked: with many masked cells others may fit the clues.
    """

    def __init__(self, *, side: int, masked: int, mask: Mask) -> None:
        self.side = side
        self.n_value = side
        self.n_position = side * side
        self.n_masked = masked
        self.mask = mask

    def draw(self, generator: np.random.Generator, count: int, *, held_out: bool) -> Examples:
        if self.side == 4:
            training, evaluation = split_grids_of_side_4()
            grids = evaluation if held_out else training
            clusters = _even_indices(generator, count, len(grids)) if held_out else None
            if clusters is None:
                clusters = generator.integers(len(grids), size=count)
            tokens = grids[clusters]
        else:
            training, evaluation = bases_of_side_9()
            tokens = symmetric_grids(evaluation if held_out else training, generator, count)
            clusters = np.arange(count)
        return Examples(tokens=tokens, masked=self._masks(generator, count), clusters=clusters)

    def _masks(self, generator: np.random.Generator, count: int) -> np.ndarray:
        if self.mask == "random":
            order = generator.random((count, self.n_position)).argsort(axis=1)
        else:
            order = np.broadcast_to(np.arange(self.n_position), (count, self.n_position))
        if self.mask == "suffix":
            return order >= self.n_position - self.n_masked
        return order < self.n_masked


@functools.cache
def all_grids_of_side_4() -> np.ndarray:
    """All 288 complete grids, [288, 16] with values 0..3, in lexicographic order."""
    return np.array(list(_completions(4, None)), dtype=np.int64)


@functools.cache
def split_grids_of_side_4() -> tuple[np.ndarray, np.ndarray]:
    """The grids that train and those that only evaluate. Fixed: no seed moves a grid to the other side."""
    order = np.random.default_rng(20_240_401).permutation(len(all_grids_of_side_4()))
    grids = all_grids_of_side_4()[order]
    return grids[HELD_OUT_GRIDS:], grids[:HELD_OUT_GRIDS]


@functools.cache
def bases_of_side_9() -> tuple[np.ndarray, np.ndarray]:
    """Random complete grids of side 9, [base, 81] with values 0..8: those that train, those that evaluate."""
    generator = np.random.default_rng(20_240_402)
    grids = [next(_completions(9, generator)) for _ in range(TRAIN_BASES + EVAL_BASES)]
    bases = np.array(grids, dtype=np.int64)
    return bases[:TRAIN_BASES], bases[TRAIN_BASES:]


def symmetric_grids(bases: np.ndarray, generator: np.random.Generator, count: int) -> np.ndarray:
    """`count` grids of side 9, [count, 81]: random symmetries of random bases."""
    grids = bases[generator.integers(len(bases), size=count)].reshape(count, 9, 9)
    rows, columns = _line_orders(generator, count), _line_orders(generator, count)
    grids = np.take_along_axis(grids, rows[:, :, None], axis=1)
    grids = np.take_along_axis(grids, columns[:, None, :], axis=2)
    turned = generator.integers(2, size=count).astype(bool)
    grids = np.where(turned[:, None, None], grids.transpose(0, 2, 1), grids).reshape(count, 81)
    digits = generator.random((count, 9)).argsort(axis=1)
    return np.take_along_axis(digits, grids, axis=1)


def _line_orders(generator: np.random.Generator, count: int) -> np.ndarray:
    """Random orders of nine lines that keep bands together, [count, 9]."""
    bands = generator.random((count, 3, 1)).argsort(axis=1)
    within = generator.random((count, 3, 3)).argsort(axis=2)
    return (3 * bands + within).reshape(count, 9)


def _even_indices(generator: np.random.Generator, count: int, size: int) -> np.ndarray:
    """`count` indices below `size`, each as often as any other (to within one), in random order."""
    return generator.permutation(np.arange(count) % size)


def _completions(side: int, generator: np.random.Generator | None) -> Iterator[tuple[int, ...]]:
    """All complete grids, in lexicographic order or, with a generator, starting anywhere."""
    box = int(side**0.5)
    cells = [divmod(cell, side) for cell in range(side * side)]
    boxes = [(row // box) * box + column // box for row, column in cells]
    grid: list[int] = []
    free = (1 << side) - 1
    rows, columns, blocks = [free] * side, [free] * side, [free] * side

    def extend() -> Iterator[tuple[int, ...]]:
        if len(grid) == len(cells):
            yield tuple(grid)
            return
        (row, column), block = cells[len(grid)], boxes[len(grid)]
        allowed = rows[row] & columns[column] & blocks[block]
        digits = range(side) if generator is None else generator.permutation(side).tolist()
        for digit in digits:
            bit = 1 << digit
            if allowed & bit:
                grid.append(digit)
                rows[row] ^= bit
                columns[column] ^= bit
                blocks[block] ^= bit
                yield from extend()
                grid.pop()
                rows[row] ^= bit
                columns[column] ^= bit
                blocks[block] ^= bit

    return extend()
