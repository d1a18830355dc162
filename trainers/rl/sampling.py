"""What does the policy answer? Completions of many prompts at once, and how probable each token was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.rl.model import Memory, Transformer


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Completions side by side, [completion, token]; the end token is a part of a completion."""

    prompts: Tensor
    tokens: Tensor
    #: of each token where it was drawn, at the temperature of the drawing, nat
    log_probabilities: Tensor
    #: False behind the end
    generated: Tensor
    #: [completion]: whether it ended by itself; otherwise it was cut at the most tokens
    ended: Tensor

    @property
    def lengths(self) -> Tensor:
        """[completion] tokens generated."""
        return self.generated.sum(dim=1)


@torch.no_grad()
def sample(
    model: Transformer,
    prompts: Tensor,
    *,
    end: int,
    max_tokens: int,
    generator: torch.Generator | None,
    temperature: float = 1.0,
) -> Samples:
    """A completion of each of `prompts` [completion, position]; greedy without a generator.

    The drawing depends on the generator's state and the number of prompts alone.
    """
    memory = Memory(model, len(prompts), prompts.shape[1] + max_tokens)
    logits = model(prompts, memory)[:, -1]
    alive = torch.ones(len(prompts), dtype=torch.bool, device=prompts.device)
    tokens, log_probabilities, generated = [], [], []
    for _ in range(max_tokens):
        told = torch.log_softmax(logits / temperature, dim=-1)
        drawn = told.argmax(dim=-1) if generator is None else _drawn(told, generator)
        drawn = torch.where(alive, drawn, end)
        tokens.append(drawn)
        log_probabilities.append(told.gather(1, drawn[:, None])[:, 0])
        generated.append(alive)
        alive = alive & (drawn != end)
        if not alive.any():
            break
        logits = model(drawn[:, None], memory)[:, -1]
    mask = torch.stack(generated, dim=1)
    return Samples(
        prompts=prompts,
        tokens=torch.stack(tokens, dim=1),
        log_probabilities=torch.stack(log_probabilities, dim=1).masked_fill(~mask, 0.0),
        generated=mask,
        ended=~alive,
    )


def _drawn(log_probabilities: Tensor, generator: torch.Generator) -> Tensor:
    """[completion]: by where a uniform number falls among the summed probabilities."""
    uniform = torch.rand(len(log_probabilities), 1, generator=generator, device=log_probabilities.device)
    below = log_probabilities.exp().cumsum(dim=-1) <= uniform
    # The sum of all may be a little less than one.
    return below.sum(dim=-1).clamp(max=log_probabilities.shape[-1] - 1)


def log_probabilities_of(
    logits_of: Callable[[Tensor], Tensor], samples: Samples, temperature: float = 1.0
) -> Tensor:
    """[completion, token] of the tokens of `samples` in one pass, with a gradient; 0 behind the end."""
    whole = torch.cat((samples.prompts, samples.tokens), dim=1)
    begin = samples.prompts.shape[1]
    logits = logits_of(whole[:, :-1])[:, begin - 1 :]
    told = torch.log_softmax(logits / temperature, dim=-1)
    return told.gather(2, samples.tokens[:, :, None])[:, :, 0].masked_fill(~samples.generated, 0.0)
