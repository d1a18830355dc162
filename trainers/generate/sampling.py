"""How does the model continue a prompt? Token after token, until a text to stop at, its end, or the limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from trainers.generate.base import Base
from trainers.generate.texts import first_stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The parameter set: what an iteration changes."""

    #: 0 takes the likeliest token
    temperature: float
    #: of the likeliest tokens so many as make up this probability
    top_p: float
    #: 1 is none
    repetition_penalty: float
    max_new_tokens: int
    #: texts that end a sample, and are no part of it
    stop: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """What the model wrote."""

    text: str
    #: generated, those of a stop or of the end included
    tokens: int
    #: "stop:<sequence>", "eos" or "length"
    finish_reason: str


@torch.no_grad()
def continuations(
    base: Base, prompts: Sequence[str], parameters: Parameters, uniforms: Tensor, device: str
) -> list[Continuation]:
    """A continuation of each prompt, all at once.

    `uniforms` [prompt, max_new_tokens] in [0, 1) is all the chance there is: two parameter sets with the same
    uniforms differ by their parameters alone.
    """
    tokens, is_read = _padded([base.tokenizer.encode(prompt).ids for prompt in prompts], device)
    seen = torch.zeros(len(prompts), base.model.shape.n_vocab, dtype=torch.bool, device=device)
    seen.scatter_(1, tokens, is_read)
    rows = [_Row(base.tokenizer, base.end_token, parameters) for _ in prompts]
    uniforms, memory = uniforms.to(device), None
    for index in range(parameters.max_new_tokens):
        logits, memory = base.model.read(tokens, is_read, memory)
        chosen = choose(logits, seen, uniforms[:, index], parameters)
        seen.scatter_(1, chosen[:, None], True)
        for row, token in zip(rows, chosen.tolist(), strict=True):
            row.add(token)
        if all(row.finish_reason for row in rows):
            break
        tokens, is_read = chosen[:, None], torch.ones_like(chosen[:, None], dtype=torch.bool)
    return [row.continuation() for row in rows]


def choose(logits: Tensor, seen: Tensor, uniform: Tensor, parameters: Parameters) -> Tensor:
    """The next token of each row: `logits` and `seen` [row, token], `uniform` [row].

    First the penalty on what was seen, prompt included (Keskar et al. 2019, CTRL), then temperature, then
    the smallest set of tokens that makes up `top_p` (Holtzman et al. 2020).
    """
    logits = penalised(logits, seen, parameters.repetition_penalty)
    if parameters.temperature == 0:
        return logits.argmax(dim=-1)
    chances, order = (
        (logits / parameters.temperature).softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
    )
    before = chances.cumsum(dim=-1) - chances
    kept = chances * (before < parameters.top_p)  # the likeliest has nothing before it, and always stays
    until = kept.cumsum(dim=-1)
    place = torch.searchsorted(until, uniform[:, None] * until[:, -1:], right=True)
    place = place.clamp(max=int(logits.shape[-1]) - 1)
    last_kept = (kept > 0).sum(dim=-1, keepdim=True) - 1
    return order.gather(1, torch.minimum(place, last_kept))[:, 0]


def penalised(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Tokens that were seen made less likely: their logit divided where positive, else multiplied."""
    lowered = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(seen, lowered, logits)


class _Row:
    """One continuation as it grows."""

    def __init__(self, tokenizer: Tokenizer, end_token: int, parameters: Parameters) -> None:
        self._tokenizer = tokenizer
        self._end_token = end_token
        self._parameters = parameters
        self._tokens: list[int] = []
        self._text: str | None = None
        self.finish_reason = ""

    def add(self, token: int) -> None:
        """Take the next token; none after the end."""
        if self.finish_reason:
            return
        self._tokens.append(token)
        if token == self._end_token:
            self.finish_reason = "eos"
            return
        if self._parameters.stop:
            # In the text, not in the tokens: a sequence may begin and end inside of tokens.
            text = self._decoded()
            if (found := first_stop(text, self._parameters.stop)) is not None:
                self._text = text[: found.place]
                self.finish_reason = f"stop:{found.sequence}"
                return
        if len(self._tokens) == self._parameters.max_new_tokens:
            self.finish_reason = "length"

    def continuation(self) -> Continuation:
        text = self._decoded() if self._text is None else self._text
        return Continuation(text=text, tokens=len(self._tokens), finish_reason=self.finish_reason)

    def _decoded(self) -> str:
        text: str = self._tokenizer.decode(self._tokens, skip_special_tokens=True)
        return text


def _padded(sequences: Sequence[Sequence[int]], device: str) -> tuple[Tensor, Tensor]:
    """The sequences side by side with their ends aligned, and where they are more than padding."""
    width = max(map(len, sequences))
    tokens = torch.zeros(len(sequences), width, dtype=torch.long)
    for row, sequence in zip(tokens, sequences, strict=True):
        row[width - len(sequence) :] = torch.tensor(sequence)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    is_read = torch.arange(width) >= width - lengths[:, None]
    return tokens.to(device), is_read.to(device)


def batches(count: int, size: int) -> Iterator[range]:
    """Samples 0 to `count` - 1 in ranges of at most `size`."""
    for begin in range(0, count, size):
        yield range(begin, min(count, begin + size))
