"""With which state does a layer begin, when it may use what the layer below has read to the end?

    s0_i = clip(seed_scale * schedule_i * gate_i * N(S_{i-1}), +-clip)    for layers i >= max(1, layer_start)

S_{i-1} is the terminal state of the layer below, in the same forward pass over the same sequence, so that
layer i is no longer causal: its first position depends on the last.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from trainers.future_seed.config import Config

#: keeps the division by a root mean square finite where a state is zero
RMS_EPSILON = 1e-6


class FutureSeed(nn.Module):
    """The gates of all seeded layers. Holds no parameter of the model it seeds."""

    def __init__(self, config: Config, *, n_layer: int, n_head: int, d_model: int) -> None:
        super().__init__()
        self.config = config
        self.first = max(1, config.layer_start)
        self.n_layer = n_layer
        seeded = n_layer - self.first
        self.alpha = nn.Parameter(torch.full((seeded,), config.alpha_init))
        if config.gate == "head":
            self.alpha_head = nn.Parameter(torch.full((seeded, n_head), config.alpha_head_init))
        if config.gate == "input":
            self.input_weight = nn.Parameter(torch.zeros(seeded, d_model))
            self.input_bias = nn.Parameter(torch.zeros(seeded))

    def forward(self, layer: int, below: Tensor, x_last: Tensor) -> Tensor | None:
        """The initial state of `layer`, [batch, head, D, D], or None where it starts from zero.

        `below` is the terminal state of the layer below, `x_last` [batch, channel] the last position of what
        `layer` is about to read.
        """
        if layer < self.first:
            return None
        config = self.config
        seed = below.detach() if config.detach else below
        if config.norm:
            seed = seed * torch.rsqrt(seed.square().mean(dim=(-2, -1), keepdim=True) + RMS_EPSILON)
        seed = self.gate(layer, x_last) * (config.seed_scale * self.schedule(layer)) * seed
        return seed if config.clip is None else seed.clamp(-config.clip, config.clip)

    def gate(self, layer: int, x_last: Tensor) -> Tensor:
        """The gate of `layer`, in a shape that multiplies [batch, head, D, D]."""
        index = layer - self.first
        alpha = self.alpha[index]
        match self.config.gate:
            case "scalar":
                return torch.sigmoid(alpha)
            case "head":
                return (torch.sigmoid(alpha) * torch.sigmoid(self.alpha_head[index])).view(1, -1, 1, 1)
            case "input":
                moved = x_last.float() @ self.input_weight[index] / math.sqrt(x_last.shape[-1])
                return torch.sigmoid(alpha + moved + self.input_bias[index]).view(-1, 1, 1, 1)

    def schedule(self, layer: int) -> float:
        """The constant factor of `layer`: seed_schedule_min at the first seeded one, _max at the last."""
        config = self.config
        if config.seed_schedule == "none":
            return 1.0
        seeded = self.n_layer - self.first
        position = (layer - self.first) / (seeded - 1) if seeded > 1 else 1.0
        if config.seed_schedule == "cosine":
            position = (1 - math.cos(math.pi * position)) / 2
        return config.seed_schedule_min + (config.seed_schedule_max - config.seed_schedule_min) * position
