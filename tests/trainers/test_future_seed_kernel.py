"""Is the WY form the recurrence, in values and gradients, at every length?"""

from __future__ import annotations

import sys
import types

import pytest

torch = pytest.importorskip("torch")

from trainers.future_seed import kernel  # noqa: E402
from trainers.future_seed.kernel import choose_kernel, wkv7  # noqa: E402

#: largest error over the largest entry, in float32 against the loop in float64
TOLERANCE = 1e-6


def loop(r, log_w, k, v, a, b, state):
    """The recurrence, step by step."""
    outputs = []
    for t in range(r.shape[1]):
        read = state @ a[:, t].unsqueeze(-1)
        state = state * log_w[:, t].exp().unsqueeze(-2)
        state = state + read * b[:, t].unsqueeze(-2) + v[:, t].unsqueeze(-1) * k[:, t].unsqueeze(-2)
        outputs.append((state @ r[:, t].unsqueeze(-1)).squeeze(-1))
    return torch.stack(outputs, dim=1), state


def arguments(steps, *, decay="mixed", head_size=16, seed=0):
    """r, log_w, k, v, a, b and an initial state, as a model makes them."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    r, k, v, x, gate = (normal(3, steps, 2, head_size) for _ in range(5))
    if decay == "strongest":
        x = torch.full_like(x, 20.0)
    kk = torch.nn.functional.normalize(normal(3, steps, 2, head_size), dim=-1)
    log_w = -0.6065306597126334 * torch.sigmoid(x)
    return [r, log_w, k, v, -kk, kk * torch.sigmoid(gate), normal(3, 2, head_size, head_size)]


def values_and_gradients(function, leaves, weights):
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    y, state = function(*leaves)
    ((y * weights[0]).sum() + (state * weights[1]).sum()).backward()
    return [y.detach(), state.detach(), *(leaf.grad for leaf in leaves)]


def relative_errors(leaves, *, function=wkv7):
    weights = [torch.randn_like(leaves[0]), torch.randn_like(leaves[-1])]
    exact = values_and_gradients(loop, [x.double() for x in leaves], [x.double() for x in weights])
    found = values_and_gradients(function, leaves, weights)
    return [float((x - y.double()).abs().max() / x.abs().max()) for x, y in zip(exact, found, strict=True)]


@pytest.mark.parametrize("decay", ["mixed", "strongest"])
@pytest.mark.parametrize("steps", [1, 5, 16, 17, 37, 81])
def test_the_wy_form_is_the_recurrence_with_its_gradients(steps, decay):
    torch.manual_seed(1)
    errors = relative_errors(arguments(steps, decay=decay))
    assert max(errors) <= TOLERANCE, errors


def test_the_heads_of_published_models_are_computed_as_exactly():
    torch.manual_seed(1)
    assert max(relative_errors(arguments(40, head_size=64))) <= TOLERANCE


def test_without_a_state_the_recurrence_starts_from_zero():
    *leaves, state = arguments(20)
    from_none = wkv7(*leaves)
    from_zero = wkv7(*leaves, torch.zeros_like(state))
    for x, y in zip(from_none, from_zero, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-6, atol=1e-6)


def test_two_passes_are_one_pass_cut_in_two():
    *leaves, state = arguments(30)
    whole, terminal = wkv7(*leaves, state)
    first, between = wkv7(*(x[:, :13] for x in leaves), state)
    second, end = wkv7(*(x[:, 13:] for x in leaves), between)
    torch.testing.assert_close(torch.cat((first, second), dim=1), whole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(end, terminal, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 16, 17, 81, 1000])
def test_a_sequence_is_cut_into_chunks_without_padding(steps):
    sizes = kernel._chunk_sizes(steps)
    assert sum(sizes) == steps
    assert max(sizes) <= kernel.CHUNK_STEPS
    assert max(sizes) - min(sizes) <= 1


def test_on_the_cpu_the_kernel_is_the_wy_form():
    assert choose_kernel(torch.device("cpu"), torch.float32, 16)[0] == "wy"


def foreign_kernel(*, faulty=False):
    """The interface of flash-linear-attention, computed by the loop: states are [key, value], w is log w."""

    def chunk_rwkv7(r, w, k, v, a, b, scale=1.0, initial_state=None, output_final_state=False):
        assert output_final_state
        state = (
            torch.zeros(*r.shape[:1], *r.shape[2:], r.shape[-1]) if initial_state is None else initial_state
        )
        y, terminal = loop(r, 2 * w if faulty else w, k, v, a, b, state.mT)
        return scale * y, terminal.mT

    package = types.ModuleType("fla.ops.rwkv7")
    package.chunk_rwkv7 = chunk_rwkv7
    return package


def test_a_foreign_kernel_is_given_what_its_interface_asks_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "fla.ops.rwkv7", foreign_kernel())
    torch.manual_seed(1)
    errors = relative_errors(arguments(20), function=lambda *leaves: wkv7(*leaves, kernel="fla"))
    assert max(errors) <= TOLERANCE


@pytest.mark.parametrize(("faulty", "agrees"), [(False, True), (True, False)])
def test_a_foreign_kernel_is_measured_before_it_is_used(monkeypatch, faulty, agrees):
    monkeypatch.setitem(sys.modules, "fla.ops.rwkv7", foreign_kernel(faulty=faulty))
    error = kernel._disagreement(torch.device("cpu"), torch.float32, 16)
    assert (error <= kernel.TOLERANCE_BY_DTYPE[torch.float32]) == agrees


def test_a_foreign_kernel_that_cannot_run_is_passed_over_with_its_reason(monkeypatch):
    package = foreign_kernel()
    package.chunk_rwkv7 = None
    monkeypatch.setitem(sys.modules, "fla.ops.rwkv7", package)
    assert "TypeError" in kernel._disagreement(torch.device("cpu"), torch.float32, 16)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("steps", [16, 37, 81])
def test_on_cuda_the_wy_form_is_the_recurrence(steps):
    torch.manual_seed(1)
    errors = relative_errors([x.cuda() for x in arguments(steps)])
    assert max(errors) <= 2 * TOLERANCE, errors


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("steps", [16, 37, 81])
def test_on_cuda_the_kernel_of_flash_linear_attention_is_the_recurrence(steps):
    pytest.importorskip("fla", reason="needs flash-linear-attention")
    torch.manual_seed(1)

    def with_fla(*leaves):
        *inputs, state = leaves
        y, terminal = wkv7(*(x.bfloat16() for x in inputs), state, kernel="fla")
        return y.float(), terminal

    errors = relative_errors([x.cuda() for x in arguments(steps, head_size=64)], function=with_fla)
    assert max(errors) <= kernel.TOLERANCE_BY_DTYPE[torch.bfloat16], errors


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_cuda_the_choice_of_the_kernel_says_why(dtype):
    chosen, why = choose_kernel(torch.device("cuda:0"), dtype, 64)
    assert chosen in ("wy", "fla")
    assert "flash-linear-attention" in why
