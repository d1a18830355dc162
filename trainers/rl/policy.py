"""What is trained by rewards? A model with its words, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """Questions side by side, [prompt, position]; shorter ones are filled up in front."""

    tokens: Tensor
    #: False where it is filled up
    read: Tensor

    def repeated(self, times: int) -> Prompts:
        """Each prompt so many times in a row."""
        return Prompts(
            tokens=self.tokens.repeat_interleave(times, dim=0), read=self.read.repeat_interleave(times, dim=0)
        )

    def chosen(self, places: Tensor) -> Prompts:
        """The prompts at `places`."""
        return Prompts(tokens=self.tokens[places], read=self.read[places])


class Policy(Protocol):
    """A model that answers, and learns."""

    #: the token with which an answer ends
    end: int

    def to(self, device: torch.device) -> None:
        """Move to `device`, once."""

    def prompts(self, questions: Sequence[str]) -> Prompts:
        """The questions as it reads them, on its device."""

    def reader(self, prompts: Prompts, n_more: int) -> Callable[[Tensor], Tensor]:
        """Reads what it is given and remembers it: first the prompts' tokens, then at most `n_more` times a
        token [prompt, 1]. Each time the logits [prompt, vocabulary] of what follows."""

    def logits(self, prompts: Prompts, tokens: Tensor) -> Tensor:
        """[prompt, token, vocabulary], with a gradient: of each of `tokens` behind the prompts."""

    def text(self, tokens: Sequence[int]) -> str:
        """What `tokens` say, the end left out."""

    def words(self, tokens: Sequence[int]) -> list[str]:
        """Each of `tokens` as text."""

    def trained(self) -> Mapping[str, nn.Parameter]:
        """The parameters that rewards train, by name."""

    def save_adapters(self, folder: Path) -> None:
        """Write its adapters into `folder`; nothing where it has none."""
