"""How small may a LoRA be? The smallest power of two whose rank keeps what its layers have learned.

V(k), the share that rank k keeps of a layer, is the sum of its k largest squared singular values over the sum
of all of them: by Eckart and Young no matrix of rank k keeps more of its Frobenius norm.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

#: mean share over layers that is enough
ENOUGH = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRow:
    """One rank, and what it keeps."""

    rank: int
    #: of V(rank) over the layers
    mean: float
    lowest: float
    #: the layer of which it keeps least
    worst_layer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RankAnalysis:
    """Every power of two up to the rank there is."""

    rows: tuple[RankRow, ...]
    #: the smallest rank whose mean is at least `enough`
    chosen: int
    enough: float
    layers: int
    #: the largest rank that a layer has
    rank: int
    #: layers that hold nothing but zeros, and count for nothing
    untrained: tuple[str, ...]


def rank_analysis(squares: Mapping[str, Sequence[float]], enough: float = ENOUGH) -> RankAnalysis:
    """Of the squared singular values by layer, in any order. Raises ValueError where all are zero."""
    trained = {layer: sorted(values, reverse=True) for layer, values in squares.items() if sum(values) > 0}
    if not trained:
        raise ValueError("no layer was trained: all of their singular values are 0")
    largest = max(len(values) for values in trained.values())
    shares = {layer: list(_shares(values)) for layer, values in trained.items()}
    rows = tuple(_row(rank, shares) for rank in _powers_of_two(largest))
    return RankAnalysis(
        rows=rows,
        chosen=next(row.rank for row in rows if row.mean >= enough or row is rows[-1]),
        enough=enough,
        layers=len(trained),
        rank=largest,
        untrained=tuple(layer for layer in squares if layer not in trained),
    )


def _shares(values: Sequence[float]) -> Iterator[float]:
    total = sum(values)
    yield from (min(1.0, kept / total) for kept in accumulate(values))


def _row(rank: int, shares: Mapping[str, Sequence[float]]) -> RankRow:
    kept = {layer: each[rank - 1] if rank < len(each) else 1.0 for layer, each in shares.items()}
    worst = min(kept, key=kept.__getitem__)
    return RankRow(rank=rank, mean=statistics.fmean(kept.values()), lowest=kept[worst], worst_layer=worst)


def _powers_of_two(largest: int) -> Iterator[int]:
    """1, 2, 4, ... up to the first that is not less than `largest`."""
    rank = 1
    while rank < largest:
        yield rank
        rank *= 2
    yield rank
