"""What surrounds the recurrence, and how does the gradient run back through it?

Three pieces of a layer, each as one function with its gradient written out: a small model's step is bound by
the number of its operations, and torch's own gradient takes half as many again.

`x`, `v_first` and the results have the shape [batch, time, channel], or [batch, time, head, D]; `before` is
the position ahead of the first, [batch, channel], or None where that is zero.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: added to the variance in the norm over a head; published checkpoints were trained with it
HEAD_NORM_EPSILON = 64e-5

#: exp(-0.5): log w = -DECAY_LIMIT * sigmoid(x), so that w lies in [0.545, 1)
DECAY_LIMIT = 0.6065306597126334

#: keeps the division by a length finite where a key is zero
LENGTH_EPSILON = 1e-12

Gradients = tuple[Tensor | None, ...]


def _in_precision_of_forward(backward: Callable[..., Gradients]) -> Callable[..., Gradients]:
    """`backward`, multiplying in bfloat16 where the products of `forward` came out as such (`ctx.dtype`)."""

    @once_differentiable
    @functools.wraps(backward)
    def in_precision(ctx: Any, *gradients: Tensor) -> Gradients:
        if ctx.dtype != torch.bfloat16:
            return backward(ctx, *gradients)
        with torch.autocast(gradients[0].device.type, torch.bfloat16):
            return backward(ctx, *gradients)

    return in_precision


class RecurrenceInputs(torch.autograd.Function):
    """r, log w, k, v, a and b of the recurrence, by head, then the bonus and the gate of what it reads.

    The bonus of a position is what it would read of its own key and value, weighted by `r_k`. In layer 0,
    where `v_first` is None, the parameters of the v-mix are left out.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, before: Tensor | None, v_first: Tensor | None, n_head: int, *parameters: Tensor
    ) -> tuple[Tensor, ...]:
        mixes = torch.cat(parameters[:6])
        receptance, key, value, w0, w1, w2, a0, a1, a2, g1, g2, k_k, k_a, r_k, *of_v = parameters[6:]
        batch, steps, width = x.shape
        heads = (-1, n_head, width // n_head)
        difference = _difference(x, before).view(-1, width)
        mixed = torch.addcmul(x.view(-1, width), difference, mixes)
        x_r, x_w, x_k, x_v, x_a, x_g = mixed.unbind(0)

        r, k, v = x_r @ receptance.T, x_k @ key.T, x_v @ value.T
        h_w, h_a, h_g = (x_w @ w1).tanh_(), x_a @ a1, (x_g @ g1).sigmoid_()
        decay = (w0[0] + h_w @ w2).float().sigmoid_()
        a = (a0[0] + h_a @ a2).sigmoid_()
        g = h_g @ g2
        h_v = to_first = to_first_share = None
        if v_first is not None:
            v0, v1, v2 = of_v
            h_v = x_v @ v1
            to_first_share = (v0[0] + h_v @ v2).sigmoid_()
            to_first = v_first.reshape(-1, width) - v
            v = torch.addcmul(v, to_first, to_first_share)

        kk = (k * k_k[0]).view(heads)
        length = (kk * kk).sum(dim=-1, keepdim=True).sqrt_().clamp_min_(LENGTH_EPSILON)
        kk = (kk / length).view(-1, width)
        k_factor = torch.addcmul(1 - k_a[0], a, k_a[0])
        k_out = k * k_factor
        rk = (r * k_out).view(heads)
        weight = (rk * r_k).sum(dim=-1, keepdim=True)
        bonus = weight * v.view(heads)
        ctx.dtype, ctx.has_before = r.dtype, before is not None
        ctx.save_for_backward(
            *(difference, mixes, mixed, h_w, h_a, h_g, h_v, decay, a, to_first, to_first_share),
            *(r, k, v, kk, length, k_factor, k_out, rk, weight, *parameters[6:]),
        )
        by_head = (r, decay * -DECAY_LIMIT, k_out, v, -kk, kk * a)
        return *(y.view(batch, steps, *heads[1:]) for y in by_head), bonus.view(x.shape), g.view(x.shape)

    @staticmethod
    @_in_precision_of_forward
    def backward(ctx: Any, *gradients: Tensor) -> Gradients:
        difference, mixes, mixed, h_w, h_a, h_g, h_v, decay, a, *saved = ctx.saved_tensors
        to_first, to_first_share, r, k, v, kk, length, k_factor, k_out, rk, weight, *saved = saved
        receptance, key, value, _, w1, w2, _, a1, a2, g1, g2, k_k, k_a, r_k, *of_v = saved
        shape = gradients[-1].shape
        width = shape[-1]
        heads = (*length.shape[:2], -1)
        d_r, d_log_w, d_k_out, d_v, d_removed, d_b, d_bonus, d_g = (d.reshape(-1, width) for d in gradients)

        d_v = torch.addcmul(d_v.view(heads), weight, d_bonus.view(heads)).view(-1, width)
        d_weight = (d_bonus * v).view(heads).sum(dim=-1, keepdim=True)
        d_rk = (d_weight * r_k).view(-1, width)
        d_r = torch.addcmul(d_r, d_rk, k_out)
        d_k_out = torch.addcmul(d_k_out, d_rk, r)
        d_w = (d_log_w * -DECAY_LIMIT).mul_(_slope(decay))
        d_k_factor = d_k_out * k
        d_a = torch.addcmul(d_b * kk, d_k_factor, k_a[0]).mul_(_slope(a))
        d_kk = torch.addcmul(-d_removed, d_b, a)
        # Only what is at right angles to kk turns it.
        along = (d_kk * kk).view(heads).sum(dim=-1, keepdim=True)
        d_kk = torch.addcmul(d_kk.view(heads), along, kk.view(heads), value=-1).div_(length).view(-1, width)
        d_k = torch.addcmul(d_k_out * k_factor, d_kk, k_k[0])

        d_h_w = d_w @ w2.T
        d_h_w = torch.addcmul(d_h_w, d_h_w * h_w, h_w, value=-1)
        d_h_a = d_a @ a2.T
        d_h_g = (d_g @ g2.T).mul_(_slope(h_g))
        d_v_first = None
        if of_v:
            _, v1, v2 = of_v
            d_share = (d_v * to_first).mul_(_slope(to_first_share))
            d_v_first = d_v * to_first_share
            d_v = d_v - d_v_first
            d_h_v = d_share @ v2.T
            d_x_v = torch.addmm(d_v @ value, d_h_v, v1.T)
            d_v_first = d_v_first.view(shape)
        else:
            d_x_v = d_v @ value
        d_mixed = torch.stack((d_r @ receptance, d_h_w @ w1.T, d_k @ key, d_x_v, d_h_a @ a1.T, d_h_g @ g1.T))
        d_earlier = (d_mixed * mixes).sum(dim=0).view(shape)
        d_x, d_before = _back_in_time(d_mixed.sum(dim=0).view(shape), d_earlier, ctx.has_before)
        if not any(ctx.needs_input_grad[4:]):
            return d_x, d_before, d_v_first, *((None,) * (len(ctx.needs_input_grad) - 3))

        x_r, x_w, x_k, x_v, x_a, x_g = mixed.unbind(0)
        d_parameters = [
            *(d_mixed * difference).sum(dim=1, keepdim=True).split(1),
            *(d_r.T @ x_r, d_k.T @ x_k, d_v.T @ x_v),
            *(_summed(d_w), x_w.T @ d_h_w, h_w.T @ d_w),
            *(_summed(d_a), x_a.T @ d_h_a, h_a.T @ d_a),
            *(x_g.T @ d_h_g, h_g.T @ d_g),
            *(_summed(d_kk * k), _summed(d_k_factor * (a - 1)), (d_weight * rk).sum(dim=0)),
        ]
        if of_v:
            d_parameters += [_summed(d_share), x_v.T @ d_h_v, h_v.T @ d_share]
        return d_x, d_before, d_v_first, None, *d_parameters


class GatedOutput(torch.autograd.Function):
    """What a layer adds for what the recurrence read: normed by head, with the bonus, gated, mapped."""

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, bonus: Tensor, g: Tensor, weight: Tensor, bias: Tensor, output: Tensor
    ) -> Tensor:
        y = y.float().contiguous()
        normed = y - y.mean(dim=-1, keepdim=True)
        scale = (normed * normed).mean(dim=-1, keepdim=True).add_(HEAD_NORM_EPSILON).rsqrt_()
        normed *= scale
        read = torch.addcmul(bias, normed.view(g.shape), weight) + bonus
        gated = (read * g).flatten(0, 1)
        result = gated @ output.T
        ctx.dtype = result.dtype
        ctx.save_for_backward(g, weight, output, normed, scale, read, gated)
        return result.view(g.shape)

    @staticmethod
    @_in_precision_of_forward
    def backward(ctx: Any, d_result: Tensor) -> Gradients:
        g, weight, output, normed, scale, read, gated = ctx.saved_tensors
        d_result = d_result.flatten(0, 1)
        d_gated = (d_result @ output).view(g.shape)
        d_read = d_gated * g
        d_normed = (d_read * weight).view(normed.shape)
        along = (d_normed * normed).mean(dim=-1, keepdim=True)
        d_y = torch.addcmul(d_normed - d_normed.mean(dim=-1, keepdim=True), normed, along, value=-1) * scale
        if not any(ctx.needs_input_grad[3:]):
            return d_y, d_read, d_gated * read, None, None, None
        d_weight = (d_read * normed.view(g.shape)).sum(dim=(0, 1))
        return d_y, d_read, d_gated * read, d_weight, d_read.sum(dim=(0, 1)), d_result.T @ gated


class SquaredReluMix(torch.autograd.Function):
    """The channel mix: token shift, then two matrices around a squared ReLU."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, before: Tensor | None, x_k: Tensor, key: Tensor, value: Tensor
    ) -> Tensor:
        difference = _difference(x, before)
        mixed = torch.addcmul(x, difference, x_k).flatten(0, 1)
        positive = (mixed @ key.T).relu_()
        squared = positive * positive
        result = squared @ value.T
        ctx.dtype, ctx.has_before = result.dtype, before is not None
        ctx.save_for_backward(x_k, key, value, difference, mixed, positive, squared)
        return result.view(x.shape)

    @staticmethod
    @_in_precision_of_forward
    def backward(ctx: Any, d_result: Tensor) -> Gradients:
        x_k, key, value, difference, mixed, positive, squared = ctx.saved_tensors
        d_result = d_result.flatten(0, 1)
        d_k = (d_result @ value).mul_(positive).mul_(2.0)
        d_mixed = (d_k @ key).view(difference.shape)
        d_x, d_before = _back_in_time(d_mixed, d_mixed * x_k, ctx.has_before)
        if not any(ctx.needs_input_grad[2:]):
            return d_x, d_before, None, None, None
        d_x_k = (d_mixed * difference).sum(dim=(0, 1), keepdim=True)
        return d_x, d_before, d_x_k, d_k.T @ mixed, d_result.T @ squared


def _difference(x: Tensor, before: Tensor | None) -> Tensor:
    """What stood one position earlier, less `x`."""
    difference = -x
    difference[:, 1:].add_(x[:, :-1])
    if before is not None:
        difference[:, 0].add_(before)
    return difference


def _back_in_time(d_mixed: Tensor, d_earlier: Tensor, has_before: bool) -> tuple[Tensor, Tensor | None]:
    """Gradients of `x` and `before` from those of all that was mixed and of the share of the earlier one."""
    d_x = d_mixed - d_earlier
    d_x[:, :-1].add_(d_earlier[:, 1:])
    return d_x, d_earlier[:, 0] if has_before else None


def _slope(sigmoid: Tensor) -> Tensor:
    """The sigmoid's derivative where it is `sigmoid`."""
    return torch.addcmul(sigmoid, sigmoid, sigmoid, value=-1)


def _summed(d: Tensor) -> Tensor:
    """Of all positions, [1, 1, channel]."""
    return d.sum(dim=0).view(1, 1, -1)
