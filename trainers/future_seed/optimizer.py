"""How fast does each kind of parameter learn?"""

from __future__ import annotations

import torch
from torch import nn

from trainers.future_seed.config import Config
from trainers.future_seed.model import Rwkv7

#: alpha's peak learning rate over lr, where `alpha_lr` is None
ALPHA_LR_FACTOR = 3.0


def make_optimizer(model: Rwkv7, config: Config) -> torch.optim.AdamW:
    """AdamW. Weight decay acts on weight matrices only; a gate whose learning rate is 0 is frozen."""
    decayed, plain = [], []
    for name, parameter in model.named_parameters():
        if not name.startswith("future_seed."):
            is_matrix = name.endswith(".weight") and parameter.ndim == 2
            (decayed if is_matrix else plain).append(parameter)
    groups = [
        {"params": decayed, "peak_lr": config.lr, "weight_decay": config.weight_decay},
        {"params": plain, "peak_lr": config.lr, "weight_decay": 0.0},
    ]
    for parameter, peak in _gates(model, config):
        parameter.requires_grad_(peak > 0)
        if peak > 0:
            groups.append({"params": [parameter], "peak_lr": peak, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)


def _gates(model: Rwkv7, config: Config) -> list[tuple[nn.Parameter, float]]:
    """Future-Seed's parameters with their peak learning rates."""
    if model.future_seed is None:
        return []
    alpha = ALPHA_LR_FACTOR * config.lr if config.alpha_lr is None else config.alpha_lr
    head = alpha if config.alpha_head_lr is None else config.alpha_head_lr
    read = alpha if config.alpha_input_lr is None else config.alpha_input_lr
    peaks = {"alpha": alpha, "alpha_head": head, "input_weight": read, "input_bias": read}
    return [(parameter, peaks[name]) for name, parameter in model.future_seed.named_parameters()]


def set_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Each group gets its peak times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
