"""Is the model RWKV-7, what does Future-Seed add to it, and from where does a position get its knowledge?"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from trainers.contract import DataError  # noqa: E402
from trainers.future_seed.batches import Batch  # noqa: E402
from trainers.future_seed.checkpoint import load_into, read_checkpoint, shape_of  # noqa: E402
from trainers.future_seed.config import Config  # noqa: E402
from trainers.future_seed.layouts import Layout  # noqa: E402
from trainers.future_seed.model import ModelShape, Rwkv7  # noqa: E402
from trainers.future_seed.seeding import FutureSeed  # noqa: E402
from trainers.future_seed.training import make_model  # noqa: E402

N_VOCAB = 11
SEEDED = [
    {"gate": "scalar"},
    {"gate": "head"},
    {"gate": "input"},
    {"gate": "scalar", "layer_start": 3},
    {"gate": "scalar", "norm": True, "clip": 1.0, "detach": True, "seed_schedule": "cosine"},
]


def random_model(*, seed=0, **arguments):
    """A model with every weight drawn at random, so that nothing starts at zero and hides a path."""
    config = Config(alpha_init=0.0, **arguments) if arguments else Config()
    model = make_model(config, n_vocab=N_VOCAB)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("future_seed."):
                parameter.normal_(0.0, 0.5 if parameter.ndim == 2 else 1.0, generator=generator)
    return model


def random_tokens(*shape, seed=0):
    return torch.randint(N_VOCAB - 2, shape, generator=torch.Generator().manual_seed(seed))


def moved_positions(function, tokens, changed):
    """[position]: whether the logits there move when the token at `changed` becomes another one."""
    other = tokens.clone()
    other[:, changed] = (other[:, changed] + 1) % (N_VOCAB - 2)
    with torch.no_grad():
        difference = (function(tokens) - function(other)).abs().amax(dim=(0, 2))
    return (difference > 1e-6).tolist()


def test_without_future_seed_no_logit_moves_when_a_later_token_changes():
    model = random_model()
    moved = moved_positions(lambda tokens: model(tokens)[0], random_tokens(2, 20), 12)
    assert not any(moved[:12])
    assert all(moved[12:])


@pytest.mark.parametrize("arguments", SEEDED, ids=str)
def test_with_future_seed_every_logit_moves_when_a_later_token_changes(arguments):
    model = random_model(**arguments)
    moved = moved_positions(lambda tokens: model(tokens)[0], random_tokens(2, 20), 12)
    assert all(moved)


def layout(name):
    return Layout(name=name, mask_token=N_VOCAB - 2, answer_token=N_VOCAB - 1)


def answers(model, masked):
    def logits(tokens):
        return layout("prompt").logits(model, Batch(tokens=tokens, masked=masked))

    return logits


@pytest.mark.parametrize("arguments", [{}, *SEEDED], ids=str)
def test_in_the_answer_a_masked_cell_is_known_only_after_its_turn(arguments):
    """Cell 5 is masked, so the prompt does not show it: only the answer pass does, one position late."""
    masked = torch.zeros(2, 12, dtype=torch.bool)
    masked[:, [5, 8]] = True
    moved = moved_positions(answers(random_model(**arguments), masked), random_tokens(2, 12), 5)
    assert not any(moved[:6])
    assert all(moved[6:])


@pytest.mark.parametrize("arguments", [{}, *SEEDED], ids=str)
def test_in_the_answer_every_clue_is_known_from_the_start(arguments):
    masked = torch.zeros(2, 12, dtype=torch.bool)
    masked[:, 5] = True
    assert all(moved_positions(answers(random_model(**arguments), masked), random_tokens(2, 12), 11))


def test_without_future_seed_prompt_and_answer_are_one_causal_pass():
    model, tokens = random_model(), random_tokens(2, 12)
    masked = torch.zeros(2, 12, dtype=torch.bool)
    masked[:, 3:6] = True
    begin = torch.full((2, 1), N_VOCAB - 1)
    whole = torch.cat((tokens.masked_fill(masked, N_VOCAB - 2), begin, tokens[:, :-1]), dim=1)
    with torch.no_grad():
        expected = model(whole)[0][:, 12:]
        found = answers(model, masked)(tokens)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_pass_that_continues_is_not_seeded():
    """The answer pass of a model with Future-Seed is that of the same model without, from the same states."""
    seeded, plain = random_model(gate="scalar"), random_model()
    plain.load_state_dict(seeded.state_dict(), strict=False)
    tokens = random_tokens(2, 10)
    with torch.no_grad():
        _, states = seeded(tokens)
        torch.testing.assert_close(seeded(tokens, states)[0], plain(tokens, states)[0])


def test_future_seed_starts_from_the_weights_of_its_baseline():
    from trainers.future_seed.initial import initialise

    models = [make_model(Config(gate=gate), n_vocab=N_VOCAB) for gate in ("none", "head")]
    for model in models:
        initialise(model, torch.Generator().manual_seed(3))
    other = models[1].state_dict()
    for name, tensor in models[0].state_dict().items():
        assert torch.equal(tensor, other[name]), name
        assert torch.isfinite(tensor).all(), name


def seeds(n_layer=4, **arguments):
    config = Config(n_layer=n_layer, **arguments)
    return FutureSeed(config, n_layer=n_layer, n_head=config.n_head, d_model=config.d_model)


def below(scale=3.0):
    return scale * torch.randn(2, 2, 16, 16, generator=torch.Generator().manual_seed(0))


X_LAST = torch.randn(2, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("alpha", "gate"), [(-2.0, 0.1192), (0.0, 0.5), (-8.0, 0.000335)])
def test_the_gate_is_the_logistic_of_alpha(alpha, gate):
    seed = seeds(gate="scalar", alpha_init=alpha)(1, below(), X_LAST)
    torch.testing.assert_close(seed, gate * below(), rtol=2e-3, atol=0)


def test_the_gate_of_a_head_is_a_product_of_two():
    module = seeds(gate="head", alpha_init=-2.0, alpha_head_init=0.0)
    with torch.no_grad():
        module.alpha_head[0, 1] = -20.0
    seed = module(1, below(), X_LAST)
    torch.testing.assert_close(seed[:, 0], 0.1192 * 0.5 * below()[:, 0], rtol=1e-3, atol=0)
    assert seed[:, 1].abs().max() < 1e-6


def test_the_gate_of_an_input_depends_on_its_last_position():
    module = seeds(gate="input", alpha_init=-2.0)
    with torch.no_grad():
        module.input_weight[0].fill_(0.3)
        module.input_bias[0] = 0.7
    expected = torch.sigmoid(-2.0 + 0.3 * X_LAST.sum(dim=1) / 32**0.5 + 0.7)
    torch.testing.assert_close(module(1, below(), X_LAST), expected.view(2, 1, 1, 1) * below())


@pytest.mark.parametrize(("layer_start", "seeded"), [(0, [1, 2, 3]), (1, [1, 2, 3]), (2, [2, 3]), (3, [3])])
def test_layers_are_seeded_from_layer_start_on_but_never_the_lowest(layer_start, seeded):
    module = seeds(gate="scalar", layer_start=layer_start)
    assert [layer for layer in range(4) if module(layer, below(), X_LAST) is not None] == seeded


def test_norm_makes_the_size_of_the_seed_independent_of_the_state():
    module = seeds(gate="scalar", norm=True, alpha_init=0.0)
    seed = module(1, below(100.0), X_LAST)
    torch.testing.assert_close(seed.square().mean(dim=(-2, -1)).sqrt(), torch.full((2, 2), 0.5))
    assert torch.equal(module(1, torch.zeros(2, 2, 16, 16), X_LAST), torch.zeros(2, 2, 16, 16))


def test_clip_limits_every_entry_of_the_seed():
    seed = seeds(gate="scalar", alpha_init=0.0, clip=0.25)(1, below(), X_LAST)
    assert seed.abs().max() == 0.25
    assert (seed.abs() < 0.25).any()


def test_seed_scale_multiplies_the_seed():
    single, double = (seeds(gate="scalar", seed_scale=scale)(1, below(), X_LAST) for scale in (1.0, 2.0))
    torch.testing.assert_close(double, 2 * single)


@pytest.mark.parametrize(
    ("schedule", "factors"), [("none", [1, 1, 1]), ("linear", [0.4, 0.7, 1]), ("cosine", [0.4, 0.7, 1])]
)
def test_the_schedule_runs_from_the_first_seeded_layer_to_the_last(schedule, factors):
    module = seeds(gate="scalar", seed_schedule=schedule, seed_schedule_min=0.4, seed_schedule_max=1.0)
    assert [module.schedule(layer) for layer in (1, 2, 3)] == pytest.approx(factors)


def test_linear_and_cosine_schedules_differ_between_the_ends():
    linear, cosine = (
        [
            seeds(6, gate="scalar", seed_schedule=name, seed_schedule_min=0.4).schedule(layer)
            for layer in range(1, 6)
        ]
        for name in ("linear", "cosine")
    )
    assert linear == pytest.approx([0.4, 0.55, 0.7, 0.85, 1.0])
    assert cosine[1] < linear[1]
    assert cosine[3] > linear[3]


def test_a_schedule_over_a_single_layer_is_its_maximum():
    module = seeds(gate="scalar", layer_start=3, seed_schedule="linear", seed_schedule_max=0.8)
    assert module.schedule(3) == 0.8


def test_detach_stops_the_gradient_into_the_state_and_still_trains_the_gate():
    for detach in (False, True):
        module = seeds(gate="scalar", detach=detach)
        state = below().requires_grad_()
        module(1, state, X_LAST).sum().backward()
        assert (state.grad is None) == detach
        assert module.alpha.grad[0] != 0


SHAPE = ModelShape(
    n_vocab=29, d_model=128, n_layer=3, head_size=64, d_ffn=448, rank_w=16, rank_a=24, rank_v=8, rank_g=32
)

LOGITS_OF_RWKV = """
import os, sys
os.environ.update(RWKV_V7_ON="1", RWKV_JIT_ON="1", RWKV_CUDA_ON="0")
import torch
torch.set_num_threads(1)
from rwkv.model import RWKV
model = RWKV(model=sys.argv[1], strategy="cpu fp32")
tokens = torch.load(sys.argv[2], weights_only=True)
logits, _ = model.forward(tokens.tolist(), None, full_output=True)
torch.save(logits, sys.argv[3])
"""


def published(model, path):
    """A file as they are published: with the v-mix of layer 0, which nothing reads."""
    tensors = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    tensors |= {f"blocks.0.att.v{i}": tensors[f"blocks.1.att.v{i}"] for i in range(3)}
    torch.save(tensors, path)


def random_checkpoint(path):
    model = Rwkv7(SHAPE)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            spread = 1.0 / parameter.shape[-1] ** 0.5 if parameter.ndim == 2 else 0.5
            parameter.normal_(0.3, spread, generator=generator)
    published(model, path)


def test_logits_agree_with_the_package_rwkv_on_the_same_checkpoint(tmp_path):
    pytest.importorskip("rwkv")
    checkpoint, tokens_path, logits_path = (tmp_path / name for name in ("random.pth", "tokens", "logits"))
    random_checkpoint(checkpoint)
    tokens = torch.randint(SHAPE.n_vocab, (50,), generator=torch.Generator().manual_seed(1))
    torch.save(tokens, tokens_path)
    # In a child: the package sets flags of torch for the whole process when it is imported.
    command = [sys.executable, "-c", LOGITS_OF_RWKV, checkpoint.with_suffix(""), tokens_path, logits_path]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    expected = torch.load(logits_path, weights_only=True)

    tensors = read_checkpoint(checkpoint)
    assert shape_of(tensors) == SHAPE
    model = Rwkv7(shape_of(tensors))
    load_into(model, tensors)
    with torch.no_grad():
        found = model(tokens.unsqueeze(0))[0][0]
    assert expected.shape == found.shape
    assert float((found - expected).abs().max() / expected.abs().max()) <= 1e-4


def test_a_checkpoint_loads_into_a_model_with_future_seed(tmp_path):
    random_checkpoint(tmp_path / "random.pth")
    tensors = read_checkpoint(tmp_path / "random.pth")
    config = Config(gate="scalar", d_model=128, n_layer=3, head_size=64)
    model = Rwkv7(SHAPE, FutureSeed(config, n_layer=3, n_head=2, d_model=128))
    load_into(model, tensors)
    assert torch.equal(model.blocks[2].att.r_k, tensors["blocks.2.att.r_k"])
    assert model.future_seed.alpha.tolist() == [-2.0, -2.0]


def test_a_file_that_is_no_checkpoint_is_a_data_failure(tmp_path):
    with pytest.raises(DataError, match="there is no checkpoint"):
        read_checkpoint(tmp_path / "missing.pth")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(DataError, match="no RWKV-7 checkpoint"):
        read_checkpoint(tmp_path / "other.pth")


def test_a_checkpoint_of_another_shape_is_a_data_failure(tmp_path):
    random_checkpoint(tmp_path / "random.pth")
    tensors = read_checkpoint(tmp_path / "random.pth")
    del tensors["blocks.1.att.w0"]
    with pytest.raises(DataError, match=r"blocks\.1\.att\.w0"):
        load_into(Rwkv7(SHAPE), tensors)
