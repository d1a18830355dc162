"""How fast does each kind of parameter learn, and how does a step change all of them in a few calls?

Parameters that learn alike lie side by side in one tensor, of which the model's are views. One by one, a
hundred small ones would take the optimizer and the clipping longer than some of the layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainers.future_seed.config import Config
from trainers.future_seed.model import Rwkv7

#: alpha's peak learning rate over lr, where `alpha_lr` is None
ALPHA_LR_FACTOR = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Parameters of equal learning rate and weight decay."""

    parameters: list[nn.Parameter]
    #: their values, one after the other: theirs are views of it
    flat: nn.Parameter

    @classmethod
    def of(cls, parameters: list[nn.Parameter]) -> Block:
        flat = torch.cat([parameter.detach().reshape(-1) for parameter in parameters])
        block = cls(parameters=parameters, flat=nn.Parameter(flat))
        block.to(flat.device)
        return block

    def to(self, device: torch.device) -> None:
        self.flat.data = self.flat.data.to(device)
        sizes = [parameter.numel() for parameter in self.parameters]
        for parameter, values in zip(self.parameters, self.flat.detach().split(sizes), strict=True):
            parameter.data = values.view(parameter.shape)


class Optimizer:
    """AdamW. Weight decay acts on weight matrices only; a gate whose learning rate is 0 is frozen."""

    def __init__(self, model: Rwkv7, config: Config) -> None:
        self._clip_grad = config.clip_grad
        self.blocks: list[Block] = []
        groups = []
        for parameters, peak_lr, weight_decay in _kinds(model, config):
            for parameter in parameters:
                parameter.requires_grad_(peak_lr > 0)
            if peak_lr > 0:
                block = Block.of(parameters)
                self.blocks.append(block)
                groups.append({"params": [block.flat], "peak_lr": peak_lr, "weight_decay": weight_decay})
        #: those that learn
        self.parameters = [parameter for block in self.blocks for parameter in block.parameters]
        self.adamw = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)

    def to(self, device: torch.device) -> None:
        """Move the parameters. Before the first step."""
        for block in self.blocks:
            block.to(device)

    def step(self, loss: Tensor, factor: float) -> None:
        """A step down the gradient of `loss`, clipped, at `factor` times the peak learning rates."""
        gradient = torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, self.parameters)])
        length = torch.linalg.vector_norm(gradient)
        gradient *= (self._clip_grad / (length + 1e-6)).clamp_max(1.0)
        parts = gradient.split([block.flat.numel() for block in self.blocks])
        for block, part in zip(self.blocks, parts, strict=True):
            block.flat.grad = part
        for group in self.adamw.param_groups:
            group["lr"] = group["peak_lr"] * factor
        self.adamw.step()


def _kinds(model: Rwkv7, config: Config) -> list[tuple[list[nn.Parameter], float, float]]:
    """Parameters that learn alike, with their peak learning rate and weight decay."""
    decayed, plain, frozen = [], [], []
    for name, parameter in model.named_parameters():
        if name.startswith("future_seed."):
            continue
        if model.embedding is not None and parameter is not model.embedding.weight:
            frozen.append(parameter)  # only the head learns, and the gates
        elif name.endswith(".weight") and parameter.ndim == 2:
            decayed.append(parameter)
        else:
            plain.append(parameter)
    gates = [([parameter], peak, 0.0) for parameter, peak in _gates(model, config)]
    model_kinds = [(decayed, config.lr, config.weight_decay), (plain, config.lr, 0.0), (frozen, 0.0, 0.0)]
    return [*(kind for kind in model_kinds if kind[0]), *gates]


def _gates(model: Rwkv7, config: Config) -> list[tuple[nn.Parameter, float]]:
    """Future-Seed's parameters with their peak learning rates."""
    if model.future_seed is None:
        return []
    alpha = ALPHA_LR_FACTOR * config.lr if config.alpha_lr is None else config.alpha_lr
    head = alpha if config.alpha_head_lr is None else config.alpha_head_lr
    read = alpha if config.alpha_input_lr is None else config.alpha_input_lr
    peaks = {"alpha": alpha, "alpha_head": head, "input_weight": read, "input_bias": read}
    return [(parameter, peaks[name]) for name, parameter in model.future_seed.named_parameters()]
