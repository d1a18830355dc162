"""Which windows of the text does a run learn from, in which order?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: keeps the order of the data apart from other uses of a run's seed
DATA_STREAM = 1


class TrainingBatches:
    """Endless windows that begin anywhere. The same seed gives the same ones, in any variant."""

    def __init__(self, tokens: np.ndarray, *, context: int, seed: int, bsz: int) -> None:
        self._tokens = tokens
        self._context = context
        #: windows in a batch
        self.bsz = bsz
        self._generator = np.random.default_rng([seed, DATA_STREAM])

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        """int64 [window, context + 1]."""
        begins = self._generator.integers(len(self._tokens) - self._context, size=self.bsz)
        found = [self._tokens[begin : begin + self._context + 1] for begin in begins]
        return torch.from_numpy(np.stack(found).astype(np.int64))

    @property
    def position(self) -> Mapping[str, Any]:
        """Where the stream is: one of the same text and batch size that is put there gives the same rest."""
        return self._generator.bit_generator.state

    @position.setter
    def position(self, position: Mapping[str, Any]) -> None:
        self._generator.bit_generator.state = position
