"""With which weights does training from scratch begin?

The scheme of the RWKV-7 reference code: every kind of parameter has its own start, most of them curves over
the channels, and matrices that write into the residual stream start at zero.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from trainers.future_seed.model import Block, Rwkv7


@torch.no_grad()
def initialise(model: Rwkv7, generator: torch.Generator) -> None:
    """Give every parameter its initial value. Future-Seed's are constants and are left as they are.

    What is drawn depends on the generator and the model's shape alone, so a variant with Future-Seed starts
    from the weights of its baseline.
    """
    width, vocabulary = model.shape.d_model, model.shape.n_vocab
    model.emb.weight.normal_(0.0, 0.02, generator=generator)
    for layer, block in enumerate(model.blocks):
        _initialise_time_mix(block, layer, model.shape.n_layer, generator)
        _initialise_channel_mix(block, layer, model.shape.n_layer, generator)
    # A row of the head has length 0.5 or less, however large the vocabulary: logits begin small.
    nn.init.orthogonal_(
        model.head.weight, gain=0.5 * math.sqrt(max(1.0, vocabulary / width)), generator=generator
    )


def _initialise_time_mix(block: Block, layer: int, n_layer: int, generator: torch.Generator) -> None:
    att = block.att
    width = att.x_r.shape[-1]
    depth = layer / max(1, n_layer - 1)
    to_go = 1 - layer / n_layer
    place = torch.arange(width) / width
    ramp = torch.arange(width) / max(1, width - 1)
    zigzag = _zigzag(width, att.head_size)

    for name, power in (("r", 0.2), ("w", 0.9), ("k", 0.7), ("v", 0.7), ("a", 0.9), ("g", 0.2)):
        _set(att, f"x_{name}", 1 - place ** (power * to_go))
    _set(att, "w0", -5.5 + 6 * ramp ** (1 + depth**0.3) + 2.5 * zigzag)
    _set(att, "a0", -0.19 + 0.3 * zigzag + 0.4 * (ramp - 0.5))
    _set(att, "k_k", 0.71 - 0.1 * (ramp - 0.5))
    att.k_a.fill_(1.02)
    att.r_k.fill_(-0.04)
    if layer > 0:
        _set(att, "v0", 0.73 - 0.4 * (ramp - 0.5))
    for name in ("w", "a", "g") if layer == 0 else ("w", "a", "v", "g"):
        getattr(att, f"{name}1").zero_()
        _orthogonal(getattr(att, f"{name}2"), 0.1, generator)

    bound = 0.5 / math.sqrt(width)
    att.receptance.weight.uniform_(-bound, bound, generator=generator)
    att.key.weight.uniform_(-0.1 * bound, 0.1 * bound, generator=generator)
    att.value.weight.uniform_(-bound, bound, generator=generator)
    att.output.weight.zero_()
    att.ln_x.weight.fill_(((1 + layer) / n_layer) ** 0.7)


def _initialise_channel_mix(block: Block, layer: int, n_layer: int, generator: torch.Generator) -> None:
    width = block.ffn.x_k.shape[-1]
    _set(block.ffn, "x_k", 1 - (torch.arange(width) / width) ** ((1 - layer / n_layer) ** 4))
    bound = 0.5 / math.sqrt(width)
    block.ffn.key.weight.uniform_(-bound, bound, generator=generator)
    block.ffn.value.weight.zero_()


def _zigzag(width: int, head_size: int) -> Tensor:
    """A signed square that runs from -1 to 1 within every head."""
    middle = max(1.0, (head_size - 1) / 2)
    z = ((torch.arange(width) % head_size) - (head_size - 1) / 2) / middle
    return z * z.abs()


def _orthogonal(weight: Tensor, gain: float, generator: torch.Generator) -> None:
    nn.init.orthogonal_(
        weight, gain=gain * max(1.0, math.sqrt(weight.shape[0] / weight.shape[1])), generator=generator
    )


def _set(module: nn.Module, name: str, values: Tensor) -> None:
    parameter = getattr(module, name)
    parameter.copy_(values.view(parameter.shape))
