"""How does each kind of parameter learn? Hidden matrices by Muon or AdamW, all else by AdamW."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trainers.lm.config import Config
from trainers.lm.model import Transformer


class Optimizer:
    """One step down the gradient, clipped over all parameters."""

    def __init__(self, model: Transformer, config: Config) -> None:
        self._clip_grad = config.clip_grad
        self.parameters = list(model.parameters())
        hidden, embedding, gains = _kinds(model)
        adamw = [
            {"params": [embedding], "weight_decay": config.weight_decay},
            {"params": gains, "weight_decay": 0.0},
        ]
        self._optimizers: list[torch.optim.Optimizer] = []
        if config.optimizer == "muon":
            self._optimizers.append(
                torch.optim.Muon(
                    hidden,
                    lr=config.muon_lr,
                    momentum=config.muon_momentum,
                    weight_decay=config.muon_weight_decay,
                )
            )
        else:
            adamw.append({"params": hidden, "weight_decay": config.weight_decay})
        self._optimizers.append(torch.optim.AdamW(adamw, lr=config.lr, betas=config.betas, fused=True))
        self._peaks = [group["lr"] for group in self._groups]

    @property
    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]

    def step(self, loss: Tensor, factor: float) -> None:
        """A step down the gradient of `loss` at `factor` times the peak learning rates."""
        for parameter, gradient in zip(
            self.parameters, torch.autograd.grad(loss, self.parameters), strict=True
        ):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(self.parameters, self._clip_grad)
        for group, peak in zip(self._groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        for optimizer in self._optimizers:
            optimizer.step()

    def state(self) -> list[dict[str, Any]]:
        """Averages, step counts and settings."""
        return [optimizer.state_dict() for optimizer in self._optimizers]

    def load(self, state: list[dict[str, Any]]) -> None:
        """Go on from `state`, in whose tensors it will train: give it a copy."""
        for optimizer, own in zip(self._optimizers, state, strict=True):
            optimizer.load_state_dict(own)


def _kinds(model: Transformer) -> tuple[list[nn.Parameter], nn.Parameter, list[nn.Parameter]]:
    """The hidden matrices, the embedding (which is the output, too), and the gains of the norms."""
    embedding = model.embedding.weight
    rest = [parameter for parameter in model.parameters() if parameter is not embedding]
    return [p for p in rest if p.ndim == 2], embedding, [p for p in rest if p.ndim != 2]
