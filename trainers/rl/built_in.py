"""How does the small Transformer of the built-in task answer? In the words of its vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from trainers.rl.addition import END, decode, encode
from trainers.rl.model import Memory, Transformer
from trainers.rl.policy import Prompts


class BuiltIn:
    """All of its parameters are trained. Its prompts have one length."""

    end = END

    def __init__(self, model: Transformer) -> None:
        self.model = model

    def to(self, device: torch.device) -> None:
        self.model.to(device)

    def prompts(self, questions: Sequence[str]) -> Prompts:
        tokens = torch.tensor(
            [encode(question) for question in questions], device=self.model.embedding.weight.device
        )
        return Prompts(tokens=tokens, read=torch.ones_like(tokens, dtype=torch.bool))

    def reader(self, prompts: Prompts, n_more: int) -> Callable[[Tensor], Tensor]:
        n_prompt, n_position = prompts.tokens.shape
        memory = Memory(self.model, n_prompt, n_position + n_more)
        return lambda tokens: self.model(tokens, memory)[:, -1]

    def logits(self, prompts: Prompts, tokens: Tensor) -> Tensor:
        whole = torch.cat((prompts.tokens, tokens[:, :-1]), dim=1)
        return self.model(whole)[:, prompts.tokens.shape[1] - 1 :]

    def text(self, tokens: Sequence[int]) -> str:
        return decode(token for token in tokens if token != END)

    def words(self, tokens: Sequence[int]) -> list[str]:
        return [decode([token]) for token in tokens]

    def trained(self) -> Mapping[str, nn.Parameter]:
        return dict(self.model.named_parameters())

    def save_adapters(self, folder: Path) -> None:
        """It has none."""
