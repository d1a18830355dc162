"""What is a model trained to do, and how is it measured? Puzzles, answers and documents alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from trainers.contract import Context
from trainers.future_seed.batches import Batch, TrainingBatches
from trainers.future_seed.config import N_EVAL, Config
from trainers.future_seed.layouts import Layout
from trainers.future_seed.measure import Measurement, ceilings, masked_loss, measure
from trainers.future_seed.model import Rwkv7
from trainers.future_seed.tasks import Examples, Task, evaluation_set, make_task
from trainers.future_seed.text.arguments import READS


class Batches(Protocol):
    """An endless stream of training batches; the same seed gives the same stream, whatever the variant."""

    #: where the stream is: one of the same data and batch size that is put there gives the same rest
    position: Mapping[str, Any]

    def __iter__(self) -> Iterator[Any]: ...

    def __next__(self) -> Any: ...


class Exercise(Protocol):
    """Training batches, their losses, and a frozen evaluation set."""

    #: rows of the embedding that the tokens need
    n_vocab: int

    def batches(self, *, seed: int, bsz: int) -> Batches:
        """Of the training side."""
        ...

    def longest(self, bsz: int) -> Any:
        """The training batch that takes the most memory."""
        ...

    def losses(self, model: Rwkv7, batch: Any, device: torch.device) -> Tensor:
        """[example], nat."""
        ...

    def measure(self, model: Rwkv7, device: torch.device, *, run_dir: Path | None, step: int) -> Measurement:
        """On the evaluation set. What a person may want to look at goes into `run_dir`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Puzzles:
    """A generated task: fill the masked cells."""

    task: Task
    layout: Layout
    #: the frozen evaluation set; `clusters` names the solution that each example was made from
    examples: Examples
    #: the best that any model can reach, by name, where it is known
    ceilings: Mapping[str, float]

    @classmethod
    def of(cls, config: Config, context: Context) -> Puzzles:
        task = make_task(config)
        return cls(
            task=task,
            # The task's values come first in the vocabulary, then the two tokens of the layout.
            layout=Layout(name=config.layout, mask_token=task.n_value, answer_token=task.n_value + 1),
            examples=evaluation_set(task, context.n_eval or config.n_eval or N_EVAL),
            ceilings=ceilings(config, context.cache_dir),
        )

    @property
    def n_vocab(self) -> int:
        return self.task.n_value + 2

    def batches(self, *, seed: int, bsz: int) -> TrainingBatches:
        return TrainingBatches(self.task, seed=seed, bsz=bsz)

    def longest(self, bsz: int) -> Batch:
        """Any: all examples of a task have the same length."""
        return next(self.batches(seed=0, bsz=bsz))

    def losses(self, model: Rwkv7, batch: Batch, device: torch.device) -> Tensor:
        batch = batch.to(device)
        return masked_loss(self.layout.logits(model, batch), batch.tokens, batch.masked)

    def measure(self, model: Rwkv7, device: torch.device, *, run_dir: Path | None, step: int) -> Measurement:
        measured = measure(lambda batch: self.layout.logits(model, batch), self.examples, device)
        return replace(measured, extra={"chance": 1.0 / self.task.n_value, **self.ceilings})


def exercise_of(config: Config, context: Context) -> Exercise:
    """What `config` names, its data made or read."""
    if config.task not in READS:
        return Puzzles.of(config, context)
    if config.task == "retrieval_embedding":
        from trainers.future_seed.text.retrieval import Retrieval

        return Retrieval.of(config, context)
    from trainers.future_seed.text.answers import Answers

    return Answers.of(config, context)
