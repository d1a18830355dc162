"""How does a sequence move the RWKV-7 state, and what does it read from it?

Per head, with S of shape [value, key]:

    S_t = S_{t-1} diag(w_t) + (S_{t-1} a_t) b_t^T + v_t k_t^T        y_t = S_t r_t

`wkv7` computes it chunk by chunk in the WY form, which turns the loop over time into a few matrix products
and one triangular solve, and is exact: it needs no approximation and no padding. On a CUDA device the
kernels of flash-linear-attention do the same where they are installed and agree with the WY form.

Arguments r, log_w, k, v, a, b have the shape [batch, time, head, D]; the state has [batch, head, D, D].
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Kernel = Literal["wy", "fla"]

#: exp(16 * 0.607) = 1.6e4 is the largest factor that a chunk of 16 puts on b and k; 32 would square it
CHUNK_STEPS = 16

#: error over the largest entry up to which a foreign kernel counts as the same recurrence, by dtype. In
#: float32 that refuses products in TF32, whose 10-bit mantissa costs 1e-3: who asks for float32 gets it.
TOLERANCE_BY_DTYPE = {torch.float32: 1e-4, torch.bfloat16: 3e-2}


def wkv7(
    r: Tensor,
    log_w: Tensor,
    k: Tensor,
    v: Tensor,
    a: Tensor,
    b: Tensor,
    state: Tensor | None = None,
    *,
    kernel: Kernel = "wy",
) -> tuple[Tensor, Tensor]:
    """Outputs [batch, time, head, D] and the terminal state, from `state` (zero if None).

    The state and the terminal state are float32 whatever the other arguments are: they add up over the
    whole sequence. The kernel of flash-linear-attention multiplies in the dtype of `v`.
    """
    dtype = v.dtype if kernel == "fla" else torch.float32
    r, k, v, a, b = (x.to(dtype) for x in (r, k, v, a, b))
    with torch.autocast(r.device.type, enabled=False):
        if kernel == "fla":
            return _fla(r, log_w.float(), k, v, a, b, state)
        return _wy(r, log_w.float(), k, v, a, b, state)


def choose_kernel(device: torch.device, dtype: torch.dtype, head_size: int) -> tuple[Kernel, str]:
    """The fastest kernel that agrees with the WY form on `device`, and why it was chosen.

    The agreement is measured, not assumed: what a foreign kernel computes depends on its version, on the
    compiler and on the chip.
    """
    if device.type != "cuda":
        return "wy", f"the WY form is the kernel for {device.type}"
    if importlib.util.find_spec("fla") is None:
        return "wy", "flash-linear-attention is not installed (pip install 'roundhouse[cuda]')"
    error = _disagreement(device, dtype, head_size)
    if isinstance(error, str):
        return "wy", f"flash-linear-attention cannot run here: {error}"
    tolerance = TOLERANCE_BY_DTYPE.get(dtype, 0.0)
    if not error <= tolerance:
        return "wy", f"flash-linear-attention is off by {error:.1e} in {dtype} (allowed {tolerance:.0e})"
    return "fla", f"flash-linear-attention agrees with the WY form to {error:.1e} in {dtype}"


def _wy(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    heads_first = [x.transpose(1, 2) for x in (r, log_w, k, v, a, b)]
    outputs = []
    for chunk in zip(*(x.split(_chunk_sizes(r.shape[1]), dim=2) for x in heads_first), strict=True):
        y, state = _wy_chunk(*chunk, state)
        outputs.append(y)
    assert state is not None
    y = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=2)
    return y.transpose(1, 2), state


def _chunk_sizes(steps: int) -> list[int]:
    """`steps` cut into the fewest chunks of at most CHUNK_STEPS, of nearly equal size."""
    count = -(-steps // CHUNK_STEPS)
    return [steps // count + (index < steps % count) for index in range(count)]


def _wy_chunk(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """One chunk in the WY form; every argument is [batch, head, time, D].

    With c = cumsum(log w) and W = e^c, the rows A = a e^(c - log w) and R = r W read, the rows B = b / W and
    K = k / W write, and U, the vectors that the rank-one corrections add, solves a unit-triangular system:

        U = (I - stril(A B^T))^-1 (A S0^T + stril(A K^T) V)
        Y = R S0^T + tril(R B^T) U + tril(R K^T) V
        S = (S0 + U^T B + V^T K) diag(W_last)
    """
    c = _cumulative_sum(log_w)
    shrink, grow = torch.exp(c), torch.exp(-c)
    readers = torch.cat((a * torch.exp(c - log_w), r * shrink), dim=2)
    writers = torch.cat((b * grow, k * grow), dim=2)
    y, written = _ReadAndWrite.apply(readers, writers, v, state)
    return y, written * shrink[..., -1:, :]


class _ReadAndWrite(torch.autograd.Function):
    """Y and S0 + U^T B + V^T K from A over R, B over K, V and S0.

    A and R are stacked, and so are B and K, which makes one product of the four in either direction. The
    gradient is written out because autograd spends a third more on the slices.
    """

    @staticmethod
    def forward(
        ctx: Any, readers: Tensor, writers: Tensor, v: Tensor, state: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        steps = v.shape[2]
        # Filled, not multiplied: above the diagonal the factors grow without bound, and inf * 0 is nan.
        reads = (readers @ writers.mT).masked_fill_(_unread(steps, v.device), 0.0)
        right = reads[..., :steps, steps:] @ v
        if state is not None:
            from_state = readers @ state.mT
            right += from_state[..., :steps, :]
        u = torch.linalg.solve_triangular(-reads[..., :steps, :steps], right, upper=False, unitriangular=True)
        values = torch.cat((u, v), dim=2)
        y = reads[..., steps:, :] @ values
        written = values.mT @ writers
        if state is not None:
            y += from_state[..., steps:, :]
            written += state
        ctx.save_for_backward(readers, writers, reads, values, state)
        return y, written

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_y: Tensor, d_written: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        readers, writers, reads, values, state = ctx.saved_tensors
        steps = d_y.shape[2]
        d_values = reads[..., steps:, :].mT @ d_y + writers @ d_written.mT
        d_right = torch.linalg.solve_triangular(
            -reads[..., :steps, :steps].mT, d_values[..., :steps, :], upper=True, unitriangular=True
        )
        d_v = reads[..., :steps, steps:].mT @ d_right + d_values[..., steps:, :]
        d_read = torch.cat((d_right, d_y), dim=2)
        d_reads = (d_read @ values.mT).masked_fill_(_unread(steps, d_y.device), 0.0)
        d_readers = d_reads @ writers
        d_writers = d_reads.mT @ readers + values @ d_written
        if state is None:
            return d_readers, d_writers, d_v, None
        return d_readers + d_read @ state, d_writers, d_v, d_read.mT @ readers + d_written


def _cumulative_sum(log_w: Tensor) -> Tensor:
    if log_w.device.type == "cpu":
        return log_w.cumsum(dim=2)
    # cumsum has no deterministic kernel on CUDA; a product with a triangle of ones has.
    steps = log_w.shape[2]
    return torch.ones(steps, steps, dtype=log_w.dtype, device=log_w.device).tril() @ log_w


@functools.lru_cache(maxsize=64)
def _unread(steps: int, device: torch.device) -> Tensor:
    """[2 * steps, 2 * steps]: True where a row (A over R) must not see a column (B, then K).

    A row of A sees what was written before its step; a row of R also what was written at its step.
    """
    ones = torch.ones(steps, steps, dtype=torch.bool, device=device)
    not_before, after = ones.triu(0), ones.triu(1)
    return torch.cat((not_before.repeat(1, 2), after.repeat(1, 2)), dim=0)


def _fla(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    from fla.ops.rwkv7 import chunk_rwkv7

    with warnings.catch_warnings():
        # It warns of float32 and of short sequences; both are measured by `choose_kernel`.
        warnings.simplefilter("ignore")
        y, terminal = chunk_rwkv7(
            r=r,
            w=log_w,
            k=k,
            v=v,
            a=a,
            b=b,
            scale=1.0,
            # Its states are [key, value].
            initial_state=None if state is None else state.mT.contiguous().float(),
            output_final_state=True,
        )
    return y, terminal.mT


def _disagreement(device: torch.device, dtype: torch.dtype, head_size: int) -> float | str:
    """Largest relative difference of the kernels, in values and gradients, or why there is none."""
    arguments = _trial_arguments(device, head_size)
    weights = [torch.randn_like(arguments[0]), torch.randn_like(arguments[-1])]
    results = []
    for kernel, kind in (("wy", torch.float32), ("fla", dtype)):
        leaves = [x.clone().requires_grad_() for x in arguments]
        try:
            y, terminal = wkv7(*(x.to(kind) for x in leaves[:-1]), leaves[-1], kernel=kernel)
            ((y.float() * weights[0]).sum() + (terminal * weights[1]).sum()).backward()
        except Exception as error:  # a compiler's or a driver's failure has no common type
            return f"{type(error).__name__}: {error}".splitlines()[0]
        results.append([y.detach().float(), terminal.detach(), *(x.grad for x in leaves)])
    return max(
        float((x - y).abs().max() / x.abs().max().clamp_min(1e-12)) for x, y in zip(*results, strict=True)
    )


def _trial_arguments(device: torch.device, head_size: int) -> list[Tensor]:
    """r, log_w, k, v, a, b and a state, distributed as in a model; 37 steps are no multiple of a chunk."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    r, k, v, x, gate = (normal(2, 37, 2, head_size) for _ in range(5))
    kk = torch.nn.functional.normalize(k, dim=-1)
    log_w = -torch.exp(torch.tensor(-0.5)) * torch.sigmoid(x)
    arguments = [
        r,
        log_w,
        k * 0.3,
        v,
        -kk,
        kk * torch.sigmoid(gate),
        normal(2, 2, head_size, head_size) * 0.3,
    ]
    return [argument.to(device) for argument in arguments]
