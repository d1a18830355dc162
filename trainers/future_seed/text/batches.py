"""Which texts does a run see, in which order, and how do texts of different lengths lie in a tensor?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from trainers.contract import BadArgumentsError
from trainers.future_seed.text.tokens import END

#: keeps the order of the data apart from other uses of a run's seed
DATA_STREAM = 1

#: positions are filled up to a multiple of it: what the recurrence takes at once
MULTIPLE = 16

B_co = TypeVar("B_co", covariant=True)


class Collate(Protocol[B_co]):
    """Makes a batch of examples, named by their numbers."""

    def __call__(self, chosen: Sequence[int]) -> B_co: ...


class DrawnBatches(Generic[B_co]):
    """An endless stream of batches of different examples. The same seed gives the same stream."""

    def __init__(self, collate: Collate[B_co], *, n_examples: int, seed: int, bsz: int) -> None:
        if bsz > n_examples:
            raise BadArgumentsError(f"bsz = {bsz} is more than the {n_examples} training examples: lower it")
        self._collate = collate
        self._n_examples = n_examples
        #: examples in a batch
        self.bsz = bsz
        self._generator = np.random.default_rng([seed, DATA_STREAM])

    def __iter__(self) -> Iterator[B_co]:
        return self

    def __next__(self) -> B_co:
        chosen = self._generator.choice(self._n_examples, size=self.bsz, replace=False, shuffle=False)
        return self._collate(chosen.tolist())

    @property
    def position(self) -> Mapping[str, Any]:
        return self._generator.bit_generator.state

    @position.setter
    def position(self, position: Mapping[str, Any]) -> None:
        self._generator.bit_generator.state = position


def aligned(texts: Sequence[np.ndarray], *, right: bool) -> tuple[Tensor, Tensor]:
    """Tokens int64 [text, position] that end together if `right`, else begin together; and which are real."""
    width = -(-max(len(text) for text in texts) // MULTIPLE) * MULTIPLE if right else max(map(len, texts))
    tokens = torch.full((len(texts), width), END, dtype=torch.int64)
    real = torch.zeros((len(texts), width), dtype=torch.bool)
    for row, text in enumerate(texts):
        place = slice(width - len(text), width) if right else slice(len(text))
        tokens[row, place] = torch.from_numpy(text.astype(np.int64))
        real[row, place] = True
    return tokens, real


def onto(device: torch.device, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors on `device`; to CUDA from pinned memory, so that nothing waits for the copy."""
    if device.type != "cuda":
        return tuple(tensor.to(device) for tensor in tensors)
    return tuple(tensor.pin_memory().to(device, non_blocking=True) for tensor in tensors)
