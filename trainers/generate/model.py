"""Which model writes the samples? A small decoder-only Transformer that remembers what it has read."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

_ROPE_BASE = 10_000.0
#: of the dot products of normed queries and keys
SCALE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """How large a Transformer is."""

    n_vocab: int
    #: channels; a multiple of twice `n_head`
    d_model: int = 96
    n_layer: int = 3
    n_head: int = 4


class LayerMemory:
    """Keys and values of every position that one layer has read: [batch, head, position, channel]."""

    def __init__(self) -> None:
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def extended(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values, now that these have been read too."""
        if self._keys is not None and self._values is not None:
            keys = torch.cat((self._keys, keys), dim=2)
            values = torch.cat((self._values, values), dim=2)
        self._keys, self._values = keys, values
        return keys, values


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What has been read so far."""

    layers: tuple[LayerMemory, ...]
    #: [batch, position]: False where a row is only padded
    is_read: Tensor


class Attention(nn.Module):
    """Causal self-attention with rotary positions (Su et al. 2021, RoFormer)."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.n_head = shape.n_head
        self.query = nn.Linear(shape.d_model, shape.d_model, bias=False)
        self.key = nn.Linear(shape.d_model, shape.d_model, bias=False)
        self.value = nn.Linear(shape.d_model, shape.d_model, bias=False)
        self.out = nn.Linear(shape.d_model, shape.d_model, bias=False)

    def forward(self, x: Tensor, turns: Tensor, mask: Tensor | None, memory: LayerMemory | None) -> Tensor:
        """`x` [batch, new, channel]; `turns` of the new positions; `mask` [batch, 1, new, all] or causal."""
        batch, new, width = x.shape
        query, key, value = (
            layer(x).view(batch, new, self.n_head, -1).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        query, key = _turned(_normed(query), turns), _turned(_normed(key), turns)
        if memory is not None:
            key, value = memory.extended(key, value)
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=mask is None, scale=SCALE
        )
        return self.out(mixed.transpose(1, 2).reshape(batch, new, width))


class Block(nn.Module):
    """Attention, then a squared-ReLU layer (So et al. 2021, Primer), each on normed input."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.attention = Attention(shape)
        self.up = nn.Linear(shape.d_model, 4 * shape.d_model, bias=False)
        self.down = nn.Linear(4 * shape.d_model, shape.d_model, bias=False)

    def forward(self, x: Tensor, turns: Tensor, mask: Tensor | None, memory: LayerMemory | None) -> Tensor:
        x = x + self.attention(_normed(x), turns, mask, memory)
        return x + self.down(functional.relu(self.up(_normed(x))).square())


class Transformer(nn.Module):
    """Logits of the next token; the embedding is also the output matrix."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.n_vocab, shape.d_model)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.n_layer))

    def initialise(self, generator: torch.Generator) -> None:
        """Give every weight its start; what writes into the residual stream starts at zero."""
        with torch.no_grad():
            self.embedding.weight.normal_(0.0, 0.02, generator=generator)
            for block in self.blocks:
                attention = block.attention
                for layer in (attention.query, attention.key, attention.value, block.up):
                    layer.weight.normal_(0.0, self.shape.d_model**-0.5, generator=generator)
                for layer in (attention.out, block.down):
                    layer.weight.zero_()

    def forward(self, tokens: Tensor, last: Tensor | None = None) -> Tensor:
        """Logits [batch, position, vocabulary] of whole sequences, padded on the right if at all.

        With `last` [batch] only those after that position of each: [batch, vocabulary].
        """
        places = torch.arange(tokens.shape[1], device=tokens.device)
        hidden = self._hidden(tokens, places, None, None)
        if last is not None:
            hidden = hidden[torch.arange(len(last), device=tokens.device), last]
        return self._logits(hidden)

    def read(self, tokens: Tensor, is_read: Tensor, memory: Memory | None) -> tuple[Tensor, Memory]:
        """Logits [batch, vocabulary] after `tokens` [batch, new], which follow on what `memory` holds.

        `is_read` [batch, new] is False on padding, which stands on the left. Gives the memory to go on with.
        """
        if memory is None:
            memory = Memory(layers=tuple(LayerMemory() for _ in self.blocks), is_read=is_read)
        else:
            memory = replace(memory, is_read=torch.cat((memory.is_read, is_read), dim=1))
        total, new = memory.is_read.shape[1], tokens.shape[1]
        places = torch.arange(total - new, total, device=tokens.device)
        causal = torch.arange(total, device=tokens.device) <= places[:, None]
        own = torch.arange(total, device=tokens.device) == places[:, None]
        # Padding sees itself: attention to nothing at all is not a number.
        mask = (causal & memory.is_read[:, None, :] | own)[:, None]
        return self._logits(self._hidden(tokens, places, mask, memory)[:, -1]), memory

    def _hidden(self, tokens: Tensor, places: Tensor, mask: Tensor | None, memory: Memory | None) -> Tensor:
        turns = _turns(places, self.shape.d_model // self.shape.n_head)
        x = _normed(self.embedding(tokens))
        layers = memory.layers if memory is not None else (None,) * len(self.blocks)
        for block, layer in zip(self.blocks, layers, strict=True):
            x = block(x, turns, mask, layer)
        return _normed(x)

    def _logits(self, hidden: Tensor) -> Tensor:
        return functional.linear(hidden, self.embedding.weight)


def _normed(x: Tensor) -> Tensor:
    return functional.rms_norm(x, (x.shape[-1],))


def _turns(places: Tensor, channels: int) -> Tensor:
    """Angles [position, channels / 2]."""
    speeds = _ROPE_BASE ** (-torch.arange(0, channels, 2, device=places.device) / channels)
    return places[:, None] * speeds


def _turned(x: Tensor, turns: Tensor) -> Tensor:
    """`x` [batch, head, position, channel], its halves turned against each other."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = turns.cos(), turns.sin()
    return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)
