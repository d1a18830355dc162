"""What does the policy answer? Completions of many prompts at once, and how probable each token was."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.rl.policy import Policy, Prompts


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Completions side by side, [completion, token]; the end token is a part of a completion."""

    prompts: Prompts
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

    def chosen(self, places: Tensor) -> Samples:
        """The completions at `places`."""
        return Samples(
            prompts=self.prompts.chosen(places),
            tokens=self.tokens[places],
            log_probabilities=self.log_probabilities[places],
            generated=self.generated[places],
            ended=self.ended[places],
        )


@torch.no_grad()
def sample(
    policy: Policy,
    prompts: Prompts,
    *,
    max_tokens: int,
    generator: torch.Generator | None,
    temperature: float = 1.0,
) -> Samples:
    """A completion of each prompt; greedy without a generator.

    The drawing depends on the generator's state and the number of prompts alone.
    """
    read = policy.reader(prompts, max_tokens)
    logits = read(prompts.tokens)
    alive = torch.ones(len(prompts.tokens), dtype=torch.bool, device=prompts.tokens.device)
    tokens, log_probabilities, generated = [], [], []
    for _ in range(max_tokens):
        told = torch.log_softmax(logits / temperature, dim=-1)
        drawn = told.argmax(dim=-1) if generator is None else _drawn(told, generator)
        drawn = torch.where(alive, drawn, policy.end)
        tokens.append(drawn)
        log_probabilities.append(told.gather(1, drawn[:, None])[:, 0])
        generated.append(alive)
        alive = alive & (drawn != policy.end)
        if not alive.any():
            break
        logits = read(drawn[:, None])
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


def log_probabilities_of(policy: Policy, samples: Samples, temperature: float = 1.0) -> Tensor:
    """[completion, token] of the tokens of `samples` in one pass, with a gradient; 0 behind the end."""
    told = torch.log_softmax(policy.logits(samples.prompts, samples.tokens) / temperature, dim=-1)
    return told.gather(2, samples.tokens[:, :, None])[:, :, 0].masked_fill(~samples.generated, 0.0)
