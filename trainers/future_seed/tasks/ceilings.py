"""How well can any model fill 4x4 grids, with all clues or with those to the left only? By enumeration."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from dataclasses import dataclass

import numpy as np

from trainers.future_seed.tasks.sudoku import Mask, all_grids_of_side_4

_CELLS = 16
_ALL = (1 << _CELLS) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """The highest expected accuracy over masked cells, 0..1."""

    #: of a causal model, which fills a cell knowing the clues before it
    left: float
    #: of a model that knows every clue
    all: float


@functools.cache
def ceilings_of_side_4(masked: int, mask: Mask) -> Ceilings:
    """Exact over all 288 grids, equally likely, and all masks of `masked` cells, equally likely.

    The best guess for a cell is its most frequent value among the grids that agree with the known clues.
    The 48 held-out grids count like the others: a model that knew which grids are held out could do better.
    """
    if mask == "random":
        masks = [sum(1 << cell for cell in cells) for cells in itertools.combinations(range(_CELLS), masked)]
    else:
        cells = range(masked) if mask == "prefix" else range(_CELLS - masked, _CELLS)
        masks = [sum(1 << cell for cell in cells)]
    cases_all: Counter[tuple[int, int]] = Counter()
    cases_left: Counter[tuple[int, int]] = Counter()
    for hidden in masks:
        for cell in range(_CELLS):
            if hidden >> cell & 1:
                cases_all[hidden, cell] += 1
                cases_left[(hidden | _ALL << cell) & _ALL, cell] += 1
    return Ceilings(left=_mean_accuracy(cases_left), all=_mean_accuracy(cases_all))


def _mean_accuracy(cases: Counter[tuple[int, int]]) -> float:
    """Mean over (hidden cells as bits, cell to guess), weighted by how often each case arises."""
    hidden_sets = sorted({hidden for hidden, _ in cases})
    best = {hidden: _best_guesses(hidden) for hidden in hidden_sets}
    total = sum(count * best[hidden][cell] for (hidden, cell), count in cases.items())
    return float(total / cases.total())


def _best_guesses(hidden: int) -> np.ndarray:
    """[cell]: probability that the best guess for a cell is right when the cells of `hidden` are unknown."""
    agreeing = (_agreements() | hidden) == _ALL
    frequencies = agreeing.astype(np.float32) @ _values_one_hot() / agreeing.sum(axis=1, keepdims=True)
    return frequencies.reshape(-1, _CELLS, 4).max(axis=2).mean(axis=0)


@functools.cache
def _agreements() -> np.ndarray:
    """[12, 288]: in which cells two grids agree, as bits.

    Twelve grids, those whose first row is ascending, stand for all: the others are theirs with the digits
    renamed, which changes no frequency.
    """
    grids = all_grids_of_side_4()
    typical = grids[(grids[:, :4] == np.arange(4)).all(axis=1)]
    equal = typical[:, None, :] == grids[None, :, :]
    return (equal * (1 << np.arange(_CELLS))).sum(axis=2)


@functools.cache
def _values_one_hot() -> np.ndarray:
    """[288, 16 * 4], float32."""
    return np.eye(4, dtype=np.float32)[all_grids_of_side_4()].reshape(len(all_grids_of_side_4()), -1)
