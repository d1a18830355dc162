"""Which other generated tasks can only be solved by what stands to the right of the masked cells?"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from trainers.contract import DataError
from trainers.future_seed.tasks.examples import Examples

#: one example in so many belongs to the evaluation side, by a hash of its tokens
HELD_OUT_SHARE = 8

_TOO_FEW = "the task has so few examples that none is on the {side} side: raise `length` or `symbols`"


class SequenceTask(ABC):
    """A task whose examples are drawn at random and told apart by a hash: one side trains, one evaluates."""

    n_value: int
    n_position: int
    n_masked: int

    @abstractmethod
    def sequences(self, generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """`count` complete sequences of tokens, and their masks."""

    def draw(self, generator: np.random.Generator, count: int, *, held_out: bool) -> Examples:
        kept: list[tuple[np.ndarray, np.ndarray]] = []
        missing = count
        while missing:
            # Enough that the loop rarely turns twice, and that none at all means that there are none.
            drawn = self.sequences(generator, 256 + missing * (HELD_OUT_SHARE if held_out else 1))
            on_this_side = is_held_out(drawn[0]) == held_out
            if not on_this_side.any():
                raise DataError(_TOO_FEW.format(side="evaluation" if held_out else "training"))
            tokens, masked = (x[on_this_side][:missing] for x in drawn)
            kept.append((tokens, masked))
            missing -= len(tokens)
        tokens, masked = (np.concatenate(parts) for parts in zip(*kept, strict=True))
        return Examples(tokens=tokens, masked=masked, clusters=_clusters(tokens))

    def _masked_at(self, cells: slice, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sequences, with the same cells masked in each."""
        masked = np.zeros(tokens.shape, dtype=bool)
        masked[:, cells] = True
        return tokens, masked


class RightCopy(SequenceTask):
    """`M M M | s1 s2 s3`: the masked cells on the left repeat the symbols on the right."""

    def __init__(self, *, length: int, symbols: int) -> None:
        self.length, self.symbols = length, symbols
        self.n_value = symbols + 1
        self.n_position = 2 * length + 1
        self.n_masked = length

    def sequences(self, generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        copied = generator.integers(self.symbols, size=(count, self.length))
        tokens = np.concatenate((copied, _column(count, self.symbols), copied), axis=1)
        return self._masked_at(slice(self.length), tokens)


class Constraint(SequenceTask):
    """`p1 .. pn | M M M M | d1 d2`: the masked cells are pn and then d1, d2, d1, d2, ... in turn.

    The first masked cell stands to the left, all others depend on the two symbols at the very end.
    """

    def __init__(self, *, length: int, symbols: int) -> None:
        self.length, self.symbols = length, symbols
        self.n_value = symbols + 1
        self.n_position = 2 * length + 4
        self.n_masked = length

    def sequences(self, generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        before = generator.integers(self.symbols, size=(count, self.length))
        pair = generator.integers(self.symbols, size=(count, 2))
        middle = np.concatenate((before[:, -1:], pair[:, np.arange(self.length - 1) % 2]), axis=1)
        bar = _column(count, self.symbols)
        tokens = np.concatenate((before, bar, middle, bar, pair), axis=1)
        return self._masked_at(slice(self.length + 1, 2 * self.length + 1), tokens)


class KeyValueSort(SequenceTask):
    """`M M M M | k3 v3 k1 v1`: the masked cells are the pairs on the right, in the order of their keys."""

    def __init__(self, *, length: int, symbols: int) -> None:
        self.length, self.symbols = length, symbols
        self.n_value = 2 * symbols + 1
        self.n_position = 4 * length + 1
        self.n_masked = 2 * length

    def sequences(self, generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        keys, values = _keys_and_values(generator, count, self.length, self.symbols)
        order = keys.argsort(axis=1)
        sorted_pairs = _pairs(np.take_along_axis(keys, order, 1), np.take_along_axis(values, order, 1))
        tokens = np.concatenate(
            (sorted_pairs, _column(count, 2 * self.symbols), _pairs(keys, values)), axis=1
        )
        return self._masked_at(slice(2 * self.length), tokens)


class PermutationFill(SequenceTask):
    """`3 M 1 M 5 2`: a permutation, whose missing values stand in ascending order in the masked cells.

    Every clue counts for every masked cell, since only all of them tell which values are missing.
    """

    def __init__(self, *, length: int, masked: int) -> None:
        self.n_value = length
        self.n_position = length
        self.n_masked = masked

    def sequences(self, generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        tokens = _different(generator, count, self.n_value, self.n_value)
        masked = _different(generator, count, self.n_position, self.n_position) < self.n_masked
        missing = tokens[masked].reshape(count, self.n_masked)
        tokens[masked] = np.sort(missing, axis=1).reshape(-1)
        return tokens, masked


class Retrieval(SequenceTask):
    """`k2 M | k1 v1 k2 v2 k3 v3`: the masked cell is the value that follows the queried key on the right."""

    def __init__(self, *, length: int, symbols: int) -> None:
        self.length, self.symbols = length, symbols
        self.n_value = 2 * symbols + 1
        self.n_position = 2 * length + 3
        self.n_masked = 1

    def sequences(self, generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        keys, values = _keys_and_values(generator, count, self.length, self.symbols)
        asked = generator.integers(self.length, size=(count, 1))
        query = [np.take_along_axis(x, asked, axis=1) for x in (keys, values)]
        tokens = np.concatenate((*query, _column(count, 2 * self.symbols), _pairs(keys, values)), axis=1)
        return self._masked_at(slice(1, 2), tokens)


class NameIndex(SequenceTask):
    """`i M | n0 n1 n2 n3`: the masked cell is the name at place i of the list on the right."""

    def __init__(self, *, length: int, symbols: int) -> None:
        self.length, self.symbols = length, symbols
        self.n_value = symbols + length + 1
        self.n_position = length + 3
        self.n_masked = 1

    def sequences(self, generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        names = _different(generator, count, self.symbols, self.length)
        place = generator.integers(self.length, size=(count, 1))
        named = np.take_along_axis(names, place, axis=1)
        bar = _column(count, self.symbols + self.length)
        tokens = np.concatenate((self.symbols + place, named, bar, names), axis=1)
        return self._masked_at(slice(1, 2), tokens)


class MiddleMatch(SequenceTask):
    """`a M b | .. a m b ..`: the masked cell is the name between a and b in the list on the right."""

    def __init__(self, *, length: int, symbols: int) -> None:
        self.length, self.symbols = length, symbols
        self.n_value = symbols + 1
        self.n_position = length + 4
        self.n_masked = 1

    def sequences(self, generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        names = _different(generator, count, self.symbols, self.length)
        place = generator.integers(1, self.length - 1, size=(count, 1))
        around = np.take_along_axis(names, place + np.array([-1, 0, 1]), axis=1)
        tokens = np.concatenate((around, _column(count, self.symbols), names), axis=1)
        return self._masked_at(slice(1, 2), tokens)


def is_held_out(tokens: np.ndarray) -> np.ndarray:
    """[sequence]: whether a sequence belongs to the evaluation side. Depends on its tokens alone."""
    return _hashes(tokens) % np.uint64(HELD_OUT_SHARE) == 0


def _hashes(tokens: np.ndarray) -> np.ndarray:
    """[sequence] of uint64; multiplication and addition wrap around, as they should in a hash."""
    hashes = np.full(len(tokens), 0xCBF29CE484222325, dtype=np.uint64)
    for column in tokens.T:
        hashes = (hashes ^ column.astype(np.uint64)) * np.uint64(0x100000001B3)
        hashes ^= hashes >> np.uint64(29)
    return hashes


def _clusters(tokens: np.ndarray) -> np.ndarray:
    return np.unique(_hashes(tokens), return_inverse=True)[1].reshape(-1)


def _different(generator: np.random.Generator, count: int, values: int, length: int) -> np.ndarray:
    """[count, length]: different values below `values`, in random order."""
    return generator.random((count, values)).argsort(axis=1)[:, :length]


def _keys_and_values(
    generator: np.random.Generator, count: int, length: int, symbols: int
) -> tuple[np.ndarray, np.ndarray]:
    """Different keys below `symbols`, and values that use the `symbols` tokens after them."""
    keys = _different(generator, count, symbols, length)
    return keys, symbols + generator.integers(symbols, size=(count, length))


def _pairs(keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.stack((keys, values), axis=2).reshape(len(keys), -1)


def _column(count: int, token: int) -> np.ndarray:
    return np.full((count, 1), token)
