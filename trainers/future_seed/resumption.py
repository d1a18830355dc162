"""What must be kept of a run so that another goes on from there as if nothing had happened?"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FILE_NAME = "state.pt"

#: numbers in a tensor that is written on its own. Hundreds of smaller ones take torch three times as long to
#: write and to read one by one as side by side
LARGE = 2**18


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
    """A copy of `value` whose tensors share no memory with those of `value`."""
    return _rebuilt(value, lambda tensor: tensor.detach().to("cpu", copy=True))


def save(state: TrainingState, folder: Path) -> None:
    parts = {"model": state.model, "optimizer": state.optimizer, "losses": state.losses}
    blocks: dict[str, list[Tensor]] = {}
    used: Counter[str] = Counter()

    def packed(tensor: Tensor) -> Any:
        if tensor.numel() > LARGE:
            return tensor
        name = str(tensor.dtype)
        begin = used[name]
        used[name] += tensor.numel()
        blocks.setdefault(name, []).append(tensor.reshape(-1))
        return {"packed": (name, begin, tuple(tensor.shape))}

    whole = {
        "step": state.step,
        # Its numbers have 128 bits, more than torch's safe reader promises to take.
        "position": json.dumps(state.position),
        "parts": _rebuilt(parts, packed),
        "blocks": {name: torch.cat(tensors) for name, tensors in blocks.items()},
    }
    torch.save(whole, folder / FILE_NAME)


def load(folder: Path) -> TrainingState:
    """The state that `save` wrote. A file that holds code is refused by torch before it runs."""
    whole = torch.load(folder / FILE_NAME, map_location="cpu", weights_only=True)
    parts = _unpacked(whole["parts"], whole["blocks"])
    return TrainingState(step=whole["step"], position=json.loads(whole["position"]), **parts)


def _unpacked(value: Any, blocks: Mapping[str, Tensor]) -> Any:
    match value:
        case {"packed": (name, begin, shape)}:
            return blocks[name][begin : begin + math.prod(shape)].view(shape)
        case dict():
            return {key: _unpacked(part, blocks) for key, part in value.items()}
        case list() | tuple():
            return type(value)(_unpacked(part, blocks) for part in value)
        case _:
            return value


def _rebuilt(value: Any, replace: Callable[[Tensor], Any]) -> Any:
    """`value` with `replace` done to every tensor in it."""
    match value:
        case Tensor():
            return replace(value)
        case dict():
            return {key: _rebuilt(part, replace) for key, part in value.items()}
        case list() | tuple():
            return type(value)(_rebuilt(part, replace) for part in value)
        case _:
            return value
