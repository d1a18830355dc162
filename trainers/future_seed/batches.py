"""Which examples does a run see, in which order, and on which is it measured?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
        """The batch on `device`."""
        if self.tokens.device == device:
            return self
        tokens, masked = onto(device, self.tokens, self.masked)
        return Batch(tokens=tokens, masked=masked)

    def split(self, size: int) -> Iterator[Batch]:
        """The examples in order, at most `size` at a time."""
        for tokens, masked in zip(self.tokens.split(size), self.masked.split(size), strict=True):
            yield Batch(tokens=tokens, masked=masked)


def onto(device: torch.device, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors on `device`; to CUDA from pinned memory, so that nothing waits for the copy."""
    if device.type != "cuda":
        return tuple(tensor.to(device) for tensor in tensors)
    return tuple(tensor.pin_memory().to(device, non_blocking=True) for tensor in tensors)


class SeededStream:
    """What is drawn for the data. The same seed gives the same stream, whatever the variant."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng([seed, DATA_STREAM])

    @property
    def position(self) -> Mapping[str, Any]:
        """Where the stream is: one of the same data and batch size that is put there gives the same rest."""
        return self._generator.bit_generator.state

    @position.setter
    def position(self, position: Mapping[str, Any]) -> None:
        self._generator.bit_generator.state = position


class TrainingBatches(SeededStream):
    """An endless stream of fresh examples."""

    def __init__(self, task: Task, *, seed: int, bsz: int) -> None:
        super().__init__(seed)
        self._task = task
        #: examples in a batch
        self.bsz = bsz

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return as_batch(self._task.draw(self._generator, self.bsz, held_out=False))


def as_batch(examples: Examples) -> Batch:
    return Batch(tokens=torch.from_numpy(examples.tokens), masked=torch.from_numpy(examples.masked))
