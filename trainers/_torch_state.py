"""How do a trainer's tensors get into a file so that they come back as they were? For `save` and `load`."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

FILE_NAME = "state.pt"

#: numbers in a tensor that is written on its own. Hundreds of smaller ones take torch three times as long to
#: write and to read one by one as side by side
LARGE = 2**18


def on_the_cpu(value: Any) -> Any:
    """A copy of `value` whose tensors share no memory with those of `value`."""
    return _rebuilt(value, lambda tensor: tensor.detach().to("cpu", copy=True))


def save_state(folder: Path, *, step: int, position: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
    """Write the state after `step`. `position` is what JSON can hold, `parts` what torch reads safely."""
    import torch

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
        "step": step,
        # The numbers of a random generator have 128 bits, more than torch's safe reader promises to take.
        "position": json.dumps(position),
        "parts": _rebuilt(dict(parts), packed),
        "blocks": {name: torch.cat(tensors) for name, tensors in blocks.items()},
    }
    torch.save(whole, folder / FILE_NAME)


def load_state(folder: Path) -> dict[str, Any]:
    """`step`, `position` and every part that `save_state` wrote.

    A file that holds code is refused by torch before it runs.
    """
    import torch

    whole = torch.load(folder / FILE_NAME, map_location="cpu", weights_only=True)
    parts = _unpacked(whole["parts"], whole["blocks"])
    return {"step": whole["step"], "position": json.loads(whole["position"]), **parts}


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
    from torch import Tensor

    match value:
        case Tensor():
            return replace(value)
        case dict():
            return {key: _rebuilt(part, replace) for key, part in value.items()}
        case list() | tuple():
            return type(value)(_rebuilt(part, replace) for part in value)
        case _:
            return value
