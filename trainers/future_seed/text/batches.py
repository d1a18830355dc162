"""Which texts does a run see, in which order, and how do texts of different lengths lie in a tensor?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from trainers.contract import BadArgumentsError
from trainers.future_seed.batches import SeededStream
from trainers.future_seed.text.tokens import END

#: positions are filled up to a multiple of it: what the recurrence takes at once
MULTIPLE = 16

B = TypeVar("B")


class DrawnBatches(SeededStream, Generic[B]):
    """An endless stream of batches of different examples; `collate` makes one of their numbers."""

    def __init__(self, collate: Callable[[list[int]], B], *, n_examples: int, seed: int, bsz: int) -> None:
        if bsz > n_examples:
            raise BadArgumentsError(f"bsz = {bsz} is more than the {n_examples} training examples: lower it")
        super().__init__(seed)
        self._collate = collate
        self._n_examples = n_examples
        #: examples in a batch
        self.bsz = bsz

    def __iter__(self) -> Iterator[B]:
        return self

    def __next__(self) -> B:
        chosen = self._generator.choice(self._n_examples, size=self.bsz, replace=False, shuffle=False)
        return self._collate(chosen.tolist())


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
