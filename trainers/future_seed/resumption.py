"""What must be kept of a run so that another goes on from there as if nothing had happened?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FILE_NAME = "state.pt"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState:
    """All that the steps to come depend on, on the CPU.

    Nothing else is random: the model has no dropout, the first weights are in it, and the evaluation set has
    a seed of its own.
    """

    #: optimizer steps done
    step: int
    model: dict[str, Tensor]
    #: averages, step counts and settings, as the optimizer tells them
    optimizer: dict[str, Any]
    #: of the stream of training examples, after the last one used
    position: Mapping[str, Any]
    #: float32 [step], of the training batches
    losses: Tensor


def on_the_cpu(value: Any) -> Any:
    """A copy of all tensors in `value` that shares no memory with them."""
    match value:
        case Tensor():
            return value.detach().to("cpu", copy=True)
        case dict():
            return {key: on_the_cpu(part) for key, part in value.items()}
        case list() | tuple():
            return type(value)(on_the_cpu(part) for part in value)
        case _:
            return value


def save(state: TrainingState, folder: Path) -> None:
    torch.save(
        {
            "step": state.step,
            "model": state.model,
            "optimizer": state.optimizer,
            # Its numbers have 128 bits, more than torch's safe reader promises to take.
            "position": json.dumps(state.position),
            "losses": state.losses,
        },
        folder / FILE_NAME,
    )


def load(folder: Path) -> TrainingState:
    """The state that `save` wrote. A file that holds code is refused by torch before it runs."""
    found = torch.load(folder / FILE_NAME, map_location="cpu", weights_only=True)
    return TrainingState(
        step=found["step"],
        model=found["model"],
        optimizer=found["optimizer"],
        position=json.loads(found["position"]),
        losses=found["losses"],
    )
