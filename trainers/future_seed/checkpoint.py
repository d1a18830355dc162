"""Which model does a published RWKV-7 checkpoint hold?"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from trainers.contract import DataError
from trainers.future_seed.model import ModelShape, Rwkv7

#: some files carry the v-mix of layer 0, which has no earlier layer to mix in
_UNUSED = re.compile(r"blocks\.0\.att\.v[012]")


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.pth` file by name, mapped, not copied: nothing is read before it is used.

    Only tensors are accepted; a file that holds code is refused by torch before it runs.
    """
    if not path.is_file():
        raise DataError(
            f"there is no checkpoint at {path}: put a published RWKV-7 .pth file there, then submit the "
            "round under another id"
        )
    tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if not isinstance(tensors, dict) or "blocks.0.att.r_k" not in tensors:
        raise DataError(f"{path} is no RWKV-7 checkpoint: it holds no tensor named blocks.0.att.r_k")
    return {name: tensor for name, tensor in tensors.items() if not _UNUSED.fullmatch(name)}


def shape_of(tensors: dict[str, Tensor]) -> ModelShape:
    """The sizes of the model in a checkpoint."""
    n_vocab, d_model = tensors["emb.weight"].shape
    ranks = {
        f"rank_{name}": tensors[f"blocks.{layer}.att.{name}1"].shape[1]
        # A model of one layer has no v-mix, and then its rank is of no consequence.
        for name, layer in (("w", 0), ("a", 0), ("v", 1), ("g", 0))
        if f"blocks.{layer}.att.{name}1" in tensors
    }
    return ModelShape(
        n_vocab=n_vocab,
        d_model=d_model,
        n_layer=1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks.")),
        head_size=tensors["blocks.0.att.r_k"].shape[1],
        d_ffn=tensors["blocks.0.ffn.key.weight"].shape[0],
        **{"rank_v": 1, **ranks},
    )


def load_into(model: Rwkv7, tensors: dict[str, Tensor]) -> None:
    """Give `model` the weights of a checkpoint. What no file holds, the gates and the embedding, stays."""
    result = model.load_state_dict(tensors, strict=False)
    missing = [name for name in result.missing_keys if not name.startswith(("future_seed.", "embedding."))]
    if missing or result.unexpected_keys:
        raise DataError(
            f"the checkpoint does not fit the model: missing {missing or 'nothing'}, "
            f"unexpected {result.unexpected_keys or 'nothing'}"
        )
