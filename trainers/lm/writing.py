"""How does a model go on from a prompt? Token by token, several prompts at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

#: of the tokens that are drawn: two models differ by what they are, not by their luck
WRITING_SEED = 0


@torch.no_grad()
def continuations(
    logits_of: Callable[[Tensor], Tensor],
    prompts: Sequence[Sequence[int]],
    temperature: float,
    *,
    count: int,
    context: int,
    device: torch.device,
) -> list[list[int]]:
    """`count` tokens after each prompt; at temperature 0 the most likely. Of a long prompt the end counts.

    `logits_of` [prompt, position] gives [prompt, position, token]. Equal models write equal texts.
    """
    heads = [list(prompt)[-(context - count) :] for prompt in prompts]
    ends = torch.tensor([len(head) for head in heads])
    tokens = torch.zeros(len(heads), int(ends.max()) + count, dtype=torch.long)
    for row, head in enumerate(heads):
        tokens[row, : len(head)] = torch.tensor(head)
    generator = torch.Generator().manual_seed(WRITING_SEED)
    rows = torch.arange(len(heads))
    for _ in range(count):
        # What stands to the right of a row's end is not seen from there.
        logits = logits_of(tokens[:, : int(ends.max())].to(device)).float().cpu()
        tokens[rows, ends] = _chosen(logits[rows, ends - 1], temperature, generator)
        ends += 1
    return [tokens[row, int(end) - count : int(end)].tolist() for row, end in enumerate(ends)]


def _chosen(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """A token for each row of `logits` [row, token]."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    shares = torch.softmax(logits / temperature, dim=-1)
    return torch.multinomial(shares, 1, generator=generator).squeeze(1)
