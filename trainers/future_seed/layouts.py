"""In which passes does the model read an example, and where does Future-Seed act?

infill   one pass over the masked sequence; a cell's value is read at its own position. Without Future-Seed
         it depends on what stands to the left; with it, on everything.
prompt   one pass over the masked sequence, with Future-Seed; then a causal pass over the complete sequence,
         one position late, from the terminal states of the first: the answer, under teacher forcing. The
         first pass has shown the whole sequence to either model, so Future-Seed has nothing to add.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from trainers.future_seed.batches import Batch
from trainers.future_seed.model import Rwkv7


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How examples become what the model reads."""

    name: Literal["infill", "prompt"]
    #: stands in every masked cell
    mask_token: int
    #: stands in front of an answer
    answer_token: int

    def logits(self, model: Rwkv7, batch: Batch) -> Tensor:
        """[example, position, vocabulary]: at each position, the model's guess of the true token there."""
        question = batch.tokens.masked_fill(batch.masked, self.mask_token)
        logits, states = model(question)
        if self.name == "infill":
            return logits
        begin = torch.full_like(batch.tokens[:, :1], self.answer_token)
        logits, _ = model(torch.cat((begin, batch.tokens[:, :-1]), dim=1), states)
        return logits
