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
    sizes = _chunk_sizes(r.shape[1])
    if len(sizes) == 1:
        return _Chunk.apply(r, log_w, k, v, a, b, state)
    outputs = []
    for chunk in zip(*(x.split(sizes, dim=1) for x in (r, log_w, k, v, a, b)), strict=True):
        y, state = _Chunk.apply(*chunk, state)
        outputs.append(y)
    assert state is not None
    return torch.cat(outputs, dim=1), state


def _chunk_sizes(steps: int) -> list[int]:
    """`steps` cut into the fewest chunks of at most CHUNK_STEPS, of nearly equal size."""
    count = -(-steps // CHUNK_STEPS)
    return [steps // count + (index < steps % count) for index in range(count)]


class _Chunk(torch.autograd.Function):
    """One chunk in the WY form.

    With c = cumsum(log w) and W = e^c, the rows A = a e^(c - log w) and R = r W read, the rows B = b / W and
    K = k / W write, and U, the vectors that the rank-one corrections add, solves a unit-triangular system:

        U = (I - stril(A B^T))^-1 (A S0^T + stril(A K^T) V)
        Y = R S0^T + tril(R B^T) U + tril(R K^T) V
        S = (S0 + U^T B + V^T K) diag(W_last)

    A and R are stacked in time, and so are B and K, and U and V, which makes one product of four in either
    direction. The gradient is written out because autograd would take as long again.
    """

    @staticmethod
    def forward(ctx: Any, *arguments: Tensor) -> tuple[Tensor, Tensor]:
        r, log_w, k, v, a, b, state = arguments
        steps, heads = r.shape[1], (r.shape[0], r.shape[2])
        # From before the first step, where it is 1, to after the last.
        shrink = torch.exp(_sums_before(log_w))
        grow = shrink[:, 1:].reciprocal()
        readers = _by_head(a * shrink[:, :-1], r * shrink[:, 1:])
        writers = _by_head(b * grow, k * grow)
        # Multiplied, not filled, in a sixth of the time: in so short a chunk no factor makes an inf.
        reads = torch.bmm(readers, writers.mT).mul_(_read(steps, r.device))
        values = _by_head(torch.empty_like(v), v)
        u, v = values[:, :steps], values[:, steps:]
        right = torch.bmm(reads[:, :steps, steps:], v)
        if state is not None:
            from_state = torch.bmm(readers, state.flatten(0, 1).mT)
            right += from_state[:, :steps]
        system = -reads[:, :steps, :steps]
        u.copy_(_solved(system, right))
        y = torch.bmm(reads[:, steps:], values)
        terminal = torch.bmm(values.mT, writers)
        if state is not None:
            y += from_state[:, steps:]
            terminal += state.flatten(0, 1)
        last = shrink[:, -1].flatten(0, 1).unsqueeze(1)
        terminal *= last
        ctx.save_for_backward(
            r, k, a, b, state, shrink, grow, readers, writers, reads, values, system, last, terminal
        )
        # Most often nobody asks what the terminal state is good for.
        ctx.set_materialize_grads(False)
        return y.unflatten(0, heads).transpose(1, 2), terminal.unflatten(0, heads)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_y: Tensor | None, d_terminal: Tensor | None) -> tuple[Tensor | None, ...]:
        r, k, a, b, state, shrink, grow, readers, writers, reads, values, system, last, terminal = (
            ctx.saved_tensors
        )
        steps, heads = r.shape[1], (r.shape[0], r.shape[2])
        d_y = torch.zeros_like(r) if d_y is None else d_y
        d_read = _by_head(torch.empty_like(d_y), d_y)
        d_right, d_y = d_read[:, :steps], d_read[:, steps:]
        d_values = torch.bmm(reads[:, steps:].mT, d_y)
        if d_terminal is not None:
            d_terminal = d_terminal.flatten(0, 1)
            d_written = d_terminal * last
            d_values.baddbmm_(writers, d_written.mT)
        d_right.copy_(_solved(system, d_values[:, :steps], transposed=True))
        d_v = torch.bmm(reads[:, :steps, steps:].mT, d_right).add_(d_values[:, steps:])
        d_reads = torch.bmm(d_read, values.mT).mul_(_read(steps, d_y.device))
        d_readers = torch.bmm(d_reads, writers)
        d_writers = torch.bmm(d_reads.mT, readers)
        if d_terminal is not None:
            d_writers.baddbmm_(values, d_written)
        d_state = None
        if state is not None:
            d_readers.baddbmm_(d_read, state.flatten(0, 1))
            d_state = torch.bmm(d_read.mT, readers)
            if d_terminal is not None:
                d_state += d_written
            d_state = d_state.unflatten(0, heads)
        d_a, d_r = _by_time(d_readers, heads)
        d_b, d_k = _by_time(d_writers, heads)
        d_a *= shrink[:, :-1]
        d_r *= shrink[:, 1:]
        d_b *= grow
        d_k *= grow
        d_c = (r * d_r).addcmul_(b, d_b, value=-1).addcmul_(k, d_k, value=-1)
        d_c[:, :-1].addcmul_(a[:, 1:], d_a[:, 1:])
        if d_terminal is not None:
            d_c[:, -1].add_((d_terminal * terminal).sum(dim=1).unflatten(0, heads))
        sums = _sums_before(d_c)
        d_log_w = sums[:, -1:] - sums[:, :-1]
        return d_r, d_log_w, d_k, d_v.unflatten(0, heads).transpose(1, 2), d_a, d_b, d_state


def _solved(system: Tensor, right: Tensor, *, transposed: bool = False) -> Tensor:
    """The solution of `system`, lower unit-triangular, or of its transpose.

    Asked for as the solution of the transposed equation, from the right: its rows lie in memory as they are
    wanted, and that takes half the time.
    """
    return torch.linalg.solve_triangular(
        system if transposed else system.mT, right.mT, upper=not transposed, left=False, unitriangular=True
    ).mT


def _by_head(first: Tensor, second: Tensor) -> Tensor:
    """[batch * head, 2 * time, D]: both, [batch, time, head, D], one after the other."""
    return torch.cat((first.transpose(1, 2), second.transpose(1, 2)), dim=2).flatten(0, 1)


def _by_time(stacked: Tensor, heads: tuple[int, int]) -> tuple[Tensor, ...]:
    """The two that `_by_head` stacked."""
    parts = stacked.view(*heads, 2, stacked.shape[1] // 2, -1)
    return parts.permute(2, 0, 3, 1, 4).contiguous().unbind(0)


def _sums_before(x: Tensor) -> Tensor:
    """Of `x` [batch, time, head, D], what stands before each step and before the end: one step more."""
    batch, steps, *heads = x.shape
    if x.device.type == "cpu":
        sums = x.new_zeros(batch, steps + 1, *heads)
        torch.cumsum(x, dim=1, out=sums[:, 1:])
        return sums
    # cumsum has no deterministic kernel on CUDA; a product with a triangle of ones has.
    before = torch.ones(steps + 1, steps, dtype=x.dtype, device=x.device).tril(-1)
    return (before @ x.flatten(2)).unflatten(2, heads)


@functools.lru_cache(maxsize=64)
def _read(steps: int, device: torch.device) -> Tensor:
    """[2 * steps, 2 * steps]: 1 where a row (A over R) sees a column (B, then K), else 0.

    A row of A sees what was written before its step; a row of R also what was written at its step.
    """
    ones = torch.ones(steps, steps, device=device)
    return torch.cat((ones.tril(-1).repeat(1, 2), ones.tril().repeat(1, 2)), dim=0)


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
