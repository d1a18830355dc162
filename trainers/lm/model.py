"""What does a small decoder-only Transformer compute? Tokens in, a score for every next token out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

#: of the rotary angles: Su and others 2021, "RoFormer"
ROPE_BASE = 10_000.0

#: of the embedding's first weights, as in GPT-2
EMBEDDING_SD = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The sizes of a model."""

    n_vocab: int
    d_model: int
    n_layer: int
    n_head: int
    #: positions of the longest sequence
    context: int


class Attention(nn.Module):
    """Causal self-attention; queries and keys are turned by their position (RoPE)."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.n_head = shape.n_head
        # Three matrices and not one: Muon makes each orthogonal by itself.
        self.query = nn.Linear(shape.d_model, shape.d_model, bias=False)
        self.key = nn.Linear(shape.d_model, shape.d_model, bias=False)
        self.value = nn.Linear(shape.d_model, shape.d_model, bias=False)
        self.output = nn.Linear(shape.d_model, shape.d_model, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, width = x.shape
        heads = (batch, length, self.n_head, width // self.n_head)
        query, key, value = (
            matrix(x).view(heads).transpose(1, 2) for matrix in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(
            rotated(query, cos, sin), rotated(key, cos, sin), value, is_causal=True
        )
        return self.output(mixed.transpose(1, 2).reshape(batch, length, width))


class FeedForward(nn.Module):
    """Four times as wide inside, with the square of ReLU: So and others 2021, "Primer"."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.inner = nn.Linear(shape.d_model, 4 * shape.d_model, bias=False)
        self.output = nn.Linear(4 * shape.d_model, shape.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(functional.relu(self.inner(x)).square())


class Block(nn.Module):
    """Attention, then the feed-forward layer, each on the normalised stream and added to it."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.d_model)
        self.attention = Attention(shape)
        self.feed_forward_norm = nn.RMSNorm(shape.d_model)
        self.feed_forward = FeedForward(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x), cos, sin)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Transformer(nn.Module):
    """The model. The embedding is also the output matrix."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.n_vocab, shape.d_model)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.n_layer))
        self.norm = nn.RMSNorm(shape.d_model)
        cos, sin = rotations(shape.context, shape.d_model // shape.n_head)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [batch, position, token] of what follows each of `tokens` [batch, position]."""
        length = tokens.shape[1]
        cos, sin = self.cos[:length], self.sin[:length]
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, cos, sin)
        return functional.linear(self.norm(x), self.embedding.weight)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Give every weight its first value, drawn from `generator` alone.

        Normal, and of hidden matrices with the deviation that keeps the size of what passes through them: the
        root of one over their inputs (LeCun and others 1998, "Efficient BackProp").
        """
        self.embedding.weight.normal_(0.0, EMBEDDING_SD, generator=generator)
        for parameter in self.blocks.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0.0, parameter.shape[1] ** -0.5, generator=generator)


def rotations(length: int, width: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the angle of each position and pair of channels, [position, width / 2]."""
    frequencies = ROPE_BASE ** (-torch.arange(0, width, 2) / width)
    angles = torch.outer(torch.arange(length), frequencies)
    return angles.cos(), angles.sin()


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`x` [..., position, channel] with each pair of channels (i, i + half) turned by its angle."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)
