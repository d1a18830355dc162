"""What does the built-in policy compute? A small decoder-only Transformer that remembers what it has read.

RMSNorm, rotary positions, normalised queries and keys, squared ReLU, tied embeddings; without biases.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

#: of the rotary positions
ROTARY_BASE = 10_000.0


class Memory:
    """Keys and values of what was read so far, for a fixed number of sequences of equal length."""

    def __init__(self, model: Transformer, n_sequence: int, n_position: int) -> None:
        weight = model.embedding.weight
        shape = (model.n_layer, n_sequence, model.n_head, n_position, model.head_size)
        self.keys = torch.zeros(shape, dtype=weight.dtype, device=weight.device)
        self.values = torch.zeros_like(self.keys)
        #: positions read
        self.length = 0

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values of `layer`, with these new ones at the end."""
        end = self.length + keys.shape[2]
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, d_model: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)
        self.query_norm = nn.RMSNorm(d_model // n_head)
        self.key_norm = nn.RMSNorm(d_model // n_head)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor], memory: Memory | None, layer: int) -> Tensor:
        n_sequence, n_position, d_model = x.shape
        split = self.qkv(x).view(n_sequence, n_position, 3, self.n_head, -1).permute(2, 0, 3, 1, 4)
        query, key, value = split[0], split[1], split[2]
        query = turned(self.query_norm(query), turns)
        key = turned(self.key_norm(key), turns)
        if memory is not None:
            key, value = memory.extend(layer, key, value)
        # A single new position sees all that is remembered.
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=n_position > 1)
        return self.out(seen.transpose(1, 2).reshape(n_sequence, n_position, d_model))


class Block(nn.Module):
    """Attention, then a network by position, each added to what came in."""

    def __init__(self, d_model: int, n_head: int) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(d_model)
        self.attention = Attention(d_model, n_head)
        self.network_norm = nn.RMSNorm(d_model)
        self.up = nn.Linear(d_model, 4 * d_model, bias=False)
        self.down = nn.Linear(4 * d_model, d_model, bias=False)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor], memory: Memory | None, layer: int) -> Tensor:
        x = x + self.attention(self.attention_norm(x), turns, memory, layer)
        return x + self.down(functional.relu(self.up(self.network_norm(x))).square())


class Transformer(nn.Module):
    """Logits of the next token. A new one has random weights from torch's generator."""

    def __init__(self, *, n_vocab: int, d_model: int, n_layer: int, n_head: int) -> None:
        super().__init__()
        self.n_layer, self.n_head, self.head_size = n_layer, n_head, d_model // n_head
        self.embedding = nn.Embedding(n_vocab, d_model)
        self.blocks = nn.ModuleList(Block(d_model, n_head) for _ in range(n_layer))
        self.norm = nn.RMSNorm(d_model)

    def initialise(self, generator: torch.Generator) -> None:
        """Weights from `generator` alone; what writes into the residual stream begins at zero."""
        for name, parameter in self.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                nn.init.zeros_(parameter)
            elif name.startswith("embedding"):
                nn.init.normal_(parameter, std=0.1, generator=generator)
            elif parameter.ndim == 2:
                nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5, generator=generator)

    def forward(self, tokens: Tensor, memory: Memory | None = None) -> Tensor:
        """[sequence, position, vocabulary] of `tokens` [sequence, position], behind what `memory` has."""
        begin = 0 if memory is None else memory.length
        if begin and tokens.shape[1] > 1:
            raise ValueError("only the first reading of a memory may have several positions")
        turns = rotary(begin, begin + tokens.shape[1], self.head_size, self.embedding.weight.device)
        x = self.embedding(tokens)
        for layer, block in enumerate(self.blocks):
            x = block(x, turns, memory, layer)
        if memory is not None:
            memory.length += tokens.shape[1]
        return functional.linear(self.norm(x), self.embedding.weight)


def rotary(begin: int, end: int, head_size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine [position, head_size/2] by which positions from `begin` on are turned."""
    frequency = ROTARY_BASE ** -(torch.arange(0, head_size, 2, device=device) / head_size)
    angle = torch.arange(begin, end, device=device)[:, None] * frequency
    return angle.cos(), angle.sin()


def turned(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """`x` [..., position, head_size] with each pair of halves turned by its position's angle."""
    cosine, sine = turns
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, first * sine + second * cosine), dim=-1)
