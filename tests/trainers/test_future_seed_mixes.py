"""Do the written-out functions around the recurrence say what the formulas say, in values and gradients?"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from trainers.future_seed import model as models  # noqa: E402
from trainers.future_seed.config import Config  # noqa: E402
from trainers.future_seed.training import make_model  # noqa: E402

#: largest difference over the largest entry, of losses and of every gradient, by the precision of products
TOLERANCE = {None: 1e-4, torch.bfloat16: 4e-2}


def shifted(x, before):
    first = torch.zeros_like(x[:, 0]) if before is None else before
    return torch.cat((first.unsqueeze(1), x[:, :-1]), dim=1)


def time_mix(att, x, v_first, shift, wkv, kernel, real=None):
    """The published layer, term by term."""
    heads = (*x.shape[:2], att.n_head, att.head_size)
    mixed = {name: x + (shifted(x, shift) - x) * getattr(att, f"x_{name}") for name in "rwkvag"}
    r, k, v = att.receptance(mixed["r"]), att.key(mixed["k"]), att.value(mixed["v"])
    w = att.w0 + torch.tanh(mixed["w"] @ att.w1) @ att.w2
    log_w = -0.6065306597126334 * torch.sigmoid(w.float())
    if real is not None:
        log_w = log_w * real.unsqueeze(-1)
    a = torch.sigmoid(att.a0 + mixed["a"] @ att.a1 @ att.a2)
    g = torch.sigmoid(mixed["g"] @ att.g1) @ att.g2
    if v_first is not None:
        v = v + (v_first - v) * torch.sigmoid(att.v0 + mixed["v"] @ att.v1 @ att.v2)
    kk = functional.normalize((k * att.k_k).view(heads), dim=-1)
    k = k * (1 + (a - 1) * att.k_a)
    by_head = [t.view(heads) for t in (r, log_w, k, v)]
    y, wkv = models.wkv7(*by_head, -kk, kk * a.view(heads), wkv, kernel=kernel)
    y = att.ln_x(y.reshape(-1, x.shape[-1])).view(x.shape)
    r, _, k, by_head_v = by_head
    y = y + ((r * k * att.r_k).sum(dim=-1, keepdim=True) * by_head_v).view(x.shape)
    return att.output(y * g), v if v_first is None else v_first, wkv


def channel_mix(ffn, x, shift):
    k = ffn.key(x + (shifted(x, shift) - x) * ffn.x_k)
    return ffn.value(torch.relu(k) ** 2)


def loss_and_gradients(model, tokens, precision, real):
    """Of a pass, and of one that goes on from it."""
    with torch.autocast("cpu", precision or torch.bfloat16, enabled=precision is not None):
        first, states = model.read(tokens[:, :9], real=real)
        second, _ = model.read(tokens[:, 9:], states)
        loss = (model.head(torch.cat((first, second), dim=1)).float() ** 2).mean()
    return [loss.detach(), *torch.autograd.grad(loss, list(model.parameters()))]


@pytest.mark.parametrize("precision", TOLERANCE, ids=str)
@pytest.mark.parametrize("padded", [False, True])
def test_the_layers_are_those_of_the_formulas(monkeypatch, precision, padded):
    generator = torch.Generator().manual_seed(0)
    model = make_model(Config(gate="scalar", n_layer=3), n_vocab=11)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3, generator=generator)
    tokens = torch.randint(11, (5, 29), generator=generator)
    real = torch.arange(9) >= torch.arange(5).unsqueeze(1) if padded else None
    found = loss_and_gradients(model, tokens, precision, real)
    monkeypatch.setattr(models.TimeMix, "forward", time_mix)
    monkeypatch.setattr(models.ChannelMix, "forward", channel_mix)
    expected = loss_and_gradients(model, tokens, precision, real)
    errors = [float((x - y).abs().max() / x.abs().max()) for x, y in zip(expected, found, strict=True)]
    assert max(errors) <= TOLERANCE[precision], errors


def test_a_frozen_layer_passes_on_the_gradient_and_gets_none():
    model = make_model(Config(gate="scalar", n_layer=3), n_vocab=11)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3, generator=generator)
    tokens = torch.randint(11, (5, 20), generator=generator)
    (expected,) = torch.autograd.grad(model(tokens)[0].square().mean(), model.future_seed.alpha)
    model.blocks.requires_grad_(False)
    model(tokens)[0].square().mean().backward()
    torch.testing.assert_close(model.future_seed.alpha.grad, expected)
    assert all(parameter.grad is None for parameter in model.blocks.parameters())
