"""What does the base model itself think of a response? Its log-probabilities of "A" and "B"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from trainers.generate.base import Base, token_of
from trainers.generate.formats import ACCEPT, REJECT, critic_prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """Log-probabilities, nat, of the two answers. It is a critic's, and no truth."""

    accept: float
    reject: float


@torch.no_grad()
def opinions(base: Base, cases: Sequence[tuple[str, str]], device: str) -> list[Opinion]:
    """The critic's opinion on each (instruction, response)."""
    tokens = [
        torch.tensor(base.tokenizer.encode(critic_prompt(instruction, response)).ids)
        for instruction, response in cases
    ]
    lengths = torch.tensor([len(each) for each in tokens])
    logits = base.model(pad_sequence(tokens, batch_first=True).to(device), last=(lengths - 1).to(device))
    answers = [token_of(base.tokenizer, ACCEPT), token_of(base.tokenizer, REJECT)]
    found: Tensor = logits.log_softmax(dim=-1)[:, answers].double().cpu()
    return [Opinion(accept=accept, reject=reject) for accept, reject in found.tolist()]
