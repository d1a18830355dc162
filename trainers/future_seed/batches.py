"""Which examples does a run see, in which order, and on which is it measured?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainers.future_seed.tasks import Examples, Task

#: keeps the order of the data apart from other uses of a run's seed
DATA_STREAM = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Examples as tensors, [example, position]."""

    #: int64, the true tokens
    tokens: Tensor
    #: bool, the cells to be filled
    masked: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(tokens=self.tokens.to(device), masked=self.masked.to(device))

    def split(self, size: int) -> Iterator[Batch]:
        """The examples in order, at most `size` at a time."""
        for tokens, masked in zip(self.tokens.split(size), self.masked.split(size), strict=True):
            yield Batch(tokens=tokens, masked=masked)


def training_batches(task: Task, *, seed: int, bsz: int) -> Iterator[Batch]:
    """An endless stream of fresh examples. The same seed gives the same stream, whatever the variant."""
    generator = np.random.default_rng([seed, DATA_STREAM])
    while True:
        yield as_batch(task.draw(generator, bsz, held_out=False))


def as_batch(examples: Examples) -> Batch:
    return Batch(tokens=torch.from_numpy(examples.tokens), masked=torch.from_numpy(examples.masked))
