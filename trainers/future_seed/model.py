"""What is RWKV-7, named as in its published checkpoints, and where does Future-Seed enter?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainers.future_seed.kernel import Kernel, wkv7
from trainers.future_seed.mixes import HEAD_NORM_EPSILON, GatedOutput, RecurrenceInputs, SquaredReluMix
from trainers.future_seed.seeding import FutureSeed


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The sizes of a model; all of them can be read from a checkpoint."""

    n_vocab: int
    d_model: int
    n_layer: int
    head_size: int
    d_ffn: int
    rank_w: int
    rank_a: int
    rank_v: int
    rank_g: int

    @property
    def n_head(self) -> int:
        return self.d_model // self.head_size


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerState:
    """What a layer carries from one pass to the next over the same text."""

    #: [batch, head, D, D], terminal state of the recurrence
    wkv: Tensor
    #: [batch, channel], the last position that the time mix has read
    att_shift: Tensor
    #: [batch, channel], the last position that the channel mix has read
    ffn_shift: Tensor


class Rwkv7(nn.Module):
    """The language model. `future_seed` is None for the published model, which is causal."""

    def __init__(self, shape: ModelShape, future_seed: FutureSeed | None = None) -> None:
        super().__init__()
        self.shape = shape
        self.emb = nn.Embedding(shape.n_vocab, shape.d_model)
        self.blocks = nn.ModuleList(Block(shape, layer) for layer in range(shape.n_layer))
        self.ln_out = nn.LayerNorm(shape.d_model)
        self.head = nn.Linear(shape.d_model, shape.n_vocab, bias=False)
        self.future_seed = future_seed
        #: onto embeddings; only where texts are found, not written
        self.embedding: nn.Linear | None = None
        self.kernel: Kernel = "wy"

    def forward(
        self, tokens: Tensor, states: list[LayerState] | None = None
    ) -> tuple[Tensor, list[LayerState]]:
        """Logits [batch, time, vocabulary] and the terminal states, from `states` where they are given.

        Layers are seeded only in a pass that starts without states: a pass that continues is causal.
        """
        x, terminal = self.read(tokens, states)
        return self.head(x), terminal

    def read(
        self, tokens: Tensor, states: list[LayerState] | None = None, real: Tensor | None = None
    ) -> tuple[Tensor, list[LayerState]]:
        """As `forward`, but what `head` makes the logits of: [batch, time, channel].

        `real` [batch, time] is False at positions before the beginning of a shorter sequence. They leave no
        trace: the rest is read as if it stood alone.
        """
        x = self.blocks[0].ln0(self.emb(tokens))
        v_first: Tensor | None = None
        terminal: list[LayerState] = []
        for layer, block in enumerate(self.blocks):
            before = None if states is None else states[layer]
            wkv = None if before is None else before.wkv
            if states is None and self.future_seed is not None and terminal:
                wkv = self.future_seed(layer, terminal[-1].wkv, x[:, -1])
            x, v_first, after = block(x, v_first, before, wkv, self.kernel, real)
            terminal.append(after)
        return self.ln_out(x), terminal


class Block(nn.Module):
    """Time mix and channel mix, each around the residual stream."""

    def __init__(self, shape: ModelShape, layer: int) -> None:
        super().__init__()
        if layer == 0:
            self.ln0 = nn.LayerNorm(shape.d_model)
        self.ln1 = nn.LayerNorm(shape.d_model)
        self.ln2 = nn.LayerNorm(shape.d_model)
        self.att = TimeMix(shape, layer)
        self.ffn = ChannelMix(shape)

    def forward(
        self,
        x: Tensor,
        v_first: Tensor | None,
        before: LayerState | None,
        wkv: Tensor | None,
        kernel: Kernel,
        real: Tensor | None,
    ) -> tuple[Tensor, Tensor, LayerState]:
        normed = _zero_unless(real, self.ln1(x))
        shifts = (None, None) if before is None else (before.att_shift, before.ffn_shift)
        y, v_first, wkv = self.att(normed, v_first, shifts[0], wkv, kernel, real)
        x = x + y
        normed_ffn = _zero_unless(real, self.ln2(x))
        x = x + self.ffn(normed_ffn, shifts[1])
        after = LayerState(wkv=wkv, att_shift=normed[:, -1], ffn_shift=normed_ffn[:, -1])
        return x, v_first, after


#: of the position before into what is mapped to r, to the decay, k, v, a and the gate
MIXES = ("x_r", "x_w", "x_k", "x_v", "x_a", "x_g")


class TimeMix(nn.Module):
    """The recurrence and what surrounds it: token shift, adapters, norm per head, bonus, output gate."""

    def __init__(self, shape: ModelShape, layer: int) -> None:
        super().__init__()
        self.n_head, self.head_size = shape.n_head, shape.head_size
        channels = shape.d_model
        for name in (*MIXES, "w0", "a0", "k_k", "k_a"):
            setattr(self, name, nn.Parameter(torch.empty(1, 1, channels)))
        ranks = {"w": shape.rank_w, "a": shape.rank_a, "g": shape.rank_g}
        # Layer 0 has no v of an earlier layer to mix in.
        if layer > 0:
            self.v0 = nn.Parameter(torch.empty(1, 1, channels))
            ranks["v"] = shape.rank_v
        for name, rank in ranks.items():
            setattr(self, f"{name}1", nn.Parameter(torch.empty(channels, rank)))
            setattr(self, f"{name}2", nn.Parameter(torch.empty(rank, channels)))
        self.r_k = nn.Parameter(torch.empty(self.n_head, self.head_size))
        self.receptance = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels, bias=False)
        self.output = nn.Linear(channels, channels, bias=False)
        self.ln_x = nn.GroupNorm(self.n_head, channels, eps=HEAD_NORM_EPSILON)

    def forward(
        self,
        x: Tensor,
        v_first: Tensor | None,
        shift: Tensor | None,
        wkv: Tensor | None,
        kernel: Kernel,
        real: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        r, log_w, k, v, a, b, bonus, g = RecurrenceInputs.apply(
            *(x, shift, v_first, self.n_head),
            *(getattr(self, name) for name in MIXES),
            *(self.receptance.weight, self.key.weight, self.value.weight),
            *(self.w0, self.w1, self.w2, self.a0, self.a1, self.a2, self.g1, self.g2),
            *(self.k_k, self.k_a, self.r_k),
            *(() if v_first is None else (self.v0, self.v1, self.v2)),
        )
        if real is not None:
            # Where `x` is zero, so are k and v: without decay nothing of a seed is lost there either.
            log_w = log_w.masked_fill(~real[:, :, None, None], 0.0)
        y, wkv = wkv7(r, log_w, k, v, a, b, wkv, kernel=kernel)
        y = GatedOutput.apply(y, bonus, g, self.ln_x.weight, self.ln_x.bias, self.output.weight)
        return y, v.flatten(2) if v_first is None else v_first, wkv


class ChannelMix(nn.Module):
    """Token shift, then two matrices around a squared ReLU."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.x_k = nn.Parameter(torch.empty(1, 1, shape.d_model))
        self.key = nn.Linear(shape.d_model, shape.d_ffn, bias=False)
        self.value = nn.Linear(shape.d_ffn, shape.d_model, bias=False)

    def forward(self, x: Tensor, shift: Tensor | None) -> Tensor:
        return SquaredReluMix.apply(x, shift, self.x_k, self.key.weight, self.value.weight)


def _zero_unless(real: Tensor | None, x: Tensor) -> Tensor:
    """`x` [batch, time, channel], zero where `real` is False."""
    return x if real is None else x.masked_fill(~real.unsqueeze(-1), 0.0)
