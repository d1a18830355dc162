"""Is a run reproducible, measured where it should be, and does it learn what it is asked to?"""

from __future__ import annotations

import os
from itertools import islice, pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from trainers._lr_schedule import learning_rate_factor, shared_steps, stable_steps  # noqa: E402
from trainers.contract import BadArgumentsError, Context, DataError  # noqa: E402
from trainers.future_seed import Config, full_step, prepare, train  # noqa: E402
from trainers.future_seed.batches import TrainingBatches  # noqa: E402
from trainers.future_seed.initial import initialise  # noqa: E402
from trainers.future_seed.measure import clustered_standard_error  # noqa: E402
from trainers.future_seed.optimizer import Optimizer  # noqa: E402
from trainers.future_seed.training import Run, evaluation_points, make_model, reproducibly  # noqa: E402


def context(tmp_path, **changes):
    values = {
        "seed": 0,
        "stage": "quick",
        "max_steps": 6,
        "time_budget_sec": 60.0,
        "eval_every": 3,
        "n_eval": 64,
        "bsz": 8,
        "device": "cpu",
        "threads": 1,
        "cache_dir": tmp_path / "cache",
        "run_dir": tmp_path,
    }
    return Context(**{**values, **changes})


def evaluations(tmp_path, *, seed=0, steps=6, **arguments):
    here = context(tmp_path, seed=seed, max_steps=steps)
    return list(train(prepare(Config(**arguments), here), here))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"gate": "head", "norm": True, "clip": 1.0},
        {"gate": "input", "layout": "prompt"},
        {"task": "kvsort", "length": 4, "gate": "scalar"},
        {"side": 9, "masked": 28},
        {"precision": "bfloat16", "gate": "scalar"},
    ],
    ids=str,
)
def test_the_same_seed_gives_the_same_bits(tmp_path, arguments):
    first, second, other = (evaluations(tmp_path, seed=seed, **arguments) for seed in (5, 5, 6))
    assert [(e.step, e.loss, e.acc, e.extra) for e in first] == [
        (e.step, e.loss, e.acc, e.extra) for e in second
    ]
    assert all(np.array_equal(x.scores, y.scores) for x, y in zip(first, second, strict=True))
    assert [e.loss for e in first] != [e.loss for e in other]


def test_a_run_depends_on_nothing_that_was_drawn_before(tmp_path):
    first = evaluations(tmp_path)
    torch.manual_seed(99)
    np.random.seed(99)
    torch.randn(7)
    assert evaluations(tmp_path)[-1].loss == first[-1].loss


@pytest.mark.parametrize(
    ("max_steps", "eval_every", "points"),
    [
        (500, None, [100, 200, 300, 400, 500]),
        (7, None, [1, 2, 3, 4, 5, 6, 7]),
        (3, None, [1, 2, 3]),
        (1, None, [1]),
        (10, 4, [4, 8, 10]),
        (8, 4, [4, 8]),
        (5, 100, [5]),
    ],
)
def test_the_last_evaluation_is_at_the_last_step(max_steps, eval_every, points):
    assert sorted(evaluation_points(max_steps, eval_every)) == points


def test_evaluations_come_at_the_fixed_points_with_a_score_per_example(tmp_path):
    found = evaluations(tmp_path, steps=7)
    assert [evaluation.step for evaluation in found] == [3, 6, 7]
    for evaluation in found:
        assert evaluation.scores.dtype == np.float32
        assert evaluation.scores.shape == (64,)
        assert evaluation.acc == pytest.approx(evaluation.scores.mean())
        assert set(np.round(evaluation.scores * 6, 4)) <= set(range(7))
        assert evaluation.extra["exact_solve"] == (evaluation.scores == 1).mean()
        assert 0 < evaluation.loss < 5
        assert evaluation.n_clusters == 48


def test_the_evaluation_set_has_1024_examples_unless_someone_says_otherwise(tmp_path):
    def size(config, n_eval):
        return len(prepare(config, context(tmp_path, n_eval=n_eval)).exercise.examples.tokens)

    assert size(Config(), None) == 1024
    assert size(Config(n_eval=100), None) == 100
    assert size(Config(n_eval=100), 50) == 50


def test_the_evaluation_set_does_not_depend_on_the_seed_or_the_variant(tmp_path):
    first = prepare(Config(), context(tmp_path, seed=0)).exercise.examples
    second = prepare(Config(gate="scalar"), context(tmp_path, seed=1)).exercise.examples
    assert (first.tokens == second.tokens).all()
    assert (first.masked == second.masked).all()


def test_training_writes_nothing_but_its_cache(tmp_path):
    evaluations(tmp_path, gate="scalar")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_training_leaves_the_flags_of_torch_as_they_were(tmp_path):
    flags = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory
    here = context(tmp_path)
    running = train(prepare(Config(), here), here)
    next(running)
    running.close()
    assert flags == (
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )


def test_a_run_without_a_number_of_steps_is_refused(tmp_path):
    here = context(tmp_path, max_steps=None)
    with pytest.raises(BadArgumentsError, match="needs a number of steps"):
        next(train(prepare(Config(), here), here))


def test_a_task_without_enough_different_examples_is_a_data_failure(tmp_path):
    with pytest.raises(DataError, match="raise `length` or `symbols`"):
        prepare(Config(task="permfill", length=2, masked=2), context(tmp_path))


def test_a_full_step_trains_and_evaluates_once(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(Run, "step", lambda self, batch, factor: calls.append(batch.tokens.shape))
    monkeypatch.setattr(Run, "evaluation", lambda self, step: calls.append("evaluation"))
    full_step(Config(side=9, masked=28), context(tmp_path, bsz=5))
    assert calls == [(5, 81), "evaluation"]


def trained(tmp_path, steps=3, **arguments):
    here = context(tmp_path, max_steps=steps)
    prepared = prepare(Config(**arguments), here)
    list(train(prepared, here))
    return prepared.model.future_seed


def test_a_frozen_alpha_does_not_move(tmp_path):
    assert trained(tmp_path, gate="scalar", alpha_lr=0.0).alpha.tolist() == [-2.0] * 3


@pytest.mark.parametrize("detach", [False, True])
def test_a_trainable_alpha_moves_detached_or_not(tmp_path, detach):
    """Output matrices start at zero, so the gate gets its first gradient in the second step."""
    alpha = trained(tmp_path, steps=3, gate="scalar", detach=detach).alpha
    assert (alpha != -2.0).all()


@pytest.mark.parametrize(("gate", "name"), [("head", "alpha_head"), ("input", "input_weight")])
def test_the_other_parameters_of_a_gate_learn_beside_a_frozen_alpha(tmp_path, gate, name):
    rate = {f"alpha_{gate}_lr": 0.01}
    seeds = trained(tmp_path, gate=gate, alpha_lr=0.0, **rate)
    assert seeds.alpha.tolist() == [-2.0] * 3
    assert getattr(seeds, name).abs().max() > 0


def peaks(**arguments):
    config = Config(**arguments)
    optimizer = Optimizer(make_model(config, n_vocab=6), config)
    return [(group["peak_lr"], group["weight_decay"]) for group in optimizer.adamw.param_groups]


def test_alpha_learns_three_times_as_fast_unless_told_otherwise():
    assert peaks() == [(8e-3, 0.01), (8e-3, 0.0)]
    assert peaks(gate="scalar")[2:] == [(pytest.approx(2.4e-2), 0.0)]
    assert peaks(gate="scalar", alpha_lr=5e-4)[2:] == [(5e-4, 0.0)]
    assert peaks(gate="head", alpha_lr=0.0, alpha_head_lr=5e-4)[2:] == [(5e-4, 0.0)]
    assert peaks(gate="head", alpha_lr=1e-3)[2:] == [(1e-3, 0.0), (1e-3, 0.0)]


def test_a_step_is_that_of_adamw_parameter_by_parameter():
    """Against what is written by hand: gradients left in place, clipped and stepped one by one."""
    config = Config(gate="head", clip_grad=0.05)
    ours, plain = (make_model(config, n_vocab=6) for _ in range(2))
    initialise(plain, torch.Generator().manual_seed(0))
    # Nothing may be zero, or a parameter has no gradient and a mistake about it goes unseen.
    for parameter in plain.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    ours.load_state_dict(plain.state_dict())
    optimizer = Optimizer(ours, config)
    groups = {
        name: (config.lr, 0.01 if "weight" in name and x.ndim == 2 else 0.0) for name, x in named(plain)
    }
    groups |= {name: (3 * config.lr, 0.0) for name in groups if name.startswith("future_seed.")}
    by_hand = torch.optim.AdamW(
        [
            {"params": [x], "lr": 0.5 * groups[name][0], "weight_decay": groups[name][1]}
            for name, x in named(plain)
        ],
        betas=config.betas,
    )
    tokens = torch.randint(6, (4, 16), generator=torch.Generator().manual_seed(2))
    for _ in range(3):
        optimizer.step(ours(tokens)[0].square().mean(), 0.5)
        by_hand.zero_grad()
        plain(tokens)[0].square().mean().backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), config.clip_grad)
        by_hand.step()
    for (name, x), (_, y) in zip(named(ours), named(plain), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-5, msg=name)


def named(model):
    return list(model.named_parameters())


def test_the_model_reads_what_the_optimizer_writes():
    config = Config(gate="scalar", alpha_lr=0.0)
    model = make_model(config, n_vocab=6)
    optimizer = Optimizer(model, config)
    optimizer.to(torch.device("cpu"))
    with torch.no_grad():
        for group in optimizer.adamw.param_groups:
            for flat in group["params"]:
                flat.fill_(7.0)
    for name, parameter in named(model):
        assert (parameter == (-2.0 if name == "future_seed.alpha" else 7.0)).all(), name


def test_the_learning_rate_warms_up_and_falls_to_a_tenth_at_the_last_step():
    config = Config()
    factors = [learning_rate_factor(config, step, 120) for step in range(1, 121)]
    assert factors[0] == pytest.approx(1 / 20)
    assert factors[19] == 1.0
    assert factors[69] == pytest.approx(0.55)
    assert factors[119] == pytest.approx(0.1)
    assert all(x > y for x, y in pairwise(factors[19:]))


def test_a_constant_learning_rate_does_not_depend_on_the_budget():
    config = Config(lr_schedule="constant")
    short = [learning_rate_factor(config, step, 30) for step in range(1, 31)]
    long = [learning_rate_factor(config, step, 300) for step in range(1, 31)]
    assert short == long
    assert long[-1] == 1.0


def test_wsd_is_constant_and_then_falls_to_a_tenth_at_the_last_step():
    config = Config(lr_schedule="wsd", decay_share=0.25)
    factors = [learning_rate_factor(config, step, 120) for step in range(1, 121)]
    assert factors[:20] == [learning_rate_factor(Config(), step, 120) for step in range(1, 21)]
    assert set(factors[19:90]) == {1.0}
    assert all(x > y for x, y in pairwise(factors[89:]))
    assert factors[104] == pytest.approx(0.55)
    assert factors[119] == pytest.approx(0.1)


@pytest.mark.parametrize("schedule", ["constant", "wsd"])
@pytest.mark.parametrize(("budget", "longer"), [(1, 2), (5, 5), (30, 31), (150, 600), (600, 150)])
def test_shared_steps_have_the_same_learning_rate_whatever_the_budget(schedule, budget, longer):
    config = Config(lr_schedule=schedule)
    shared = shared_steps(config, budget, longer)
    assert shared <= min(budget, longer)
    for step in range(1, shared + 1):
        assert learning_rate_factor(config, step, budget) == learning_rate_factor(config, step, longer)


def test_how_many_steps_are_shared_depends_on_the_schedule():
    assert shared_steps(Config(), 150, 600) == 0
    assert shared_steps(Config(lr_schedule="constant"), 150, 600) == 150
    assert shared_steps(Config(lr_schedule="wsd"), 150, 600) == 120
    assert shared_steps(Config(lr_schedule="wsd", decay_share=0.1), 150, 600) == 135


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.99])
def test_a_larger_budget_never_decays_earlier(share):
    config = Config(lr_schedule="wsd", decay_share=share)
    assert all(stable_steps(config, n) <= stable_steps(config, n + 1) < n + 1 for n in range(1, 400))


def test_without_a_warm_up_the_first_step_has_the_full_rate():
    assert learning_rate_factor(Config(warmup=0, lr_schedule="constant"), 1, 10) == 1.0


def test_the_standard_error_counts_clusters_not_examples():
    generator = np.random.default_rng(0)
    one_each = generator.random(400)
    alone = clustered_standard_error(one_each, np.arange(400))
    assert alone == pytest.approx(one_each.std(ddof=1) / 20)
    repeated = clustered_standard_error(np.repeat(one_each, 5), np.repeat(np.arange(400), 5))
    assert repeated == pytest.approx(alone)
    assert np.isnan(clustered_standard_error(one_each, np.zeros(400, dtype=int)))


def test_the_ceilings_are_reported_where_they_apply(tmp_path):
    ceilings = prepare(Config(), context(tmp_path)).exercise.ceilings
    assert ceilings == {
        "ceiling_left": pytest.approx(0.6837, abs=1e-4),
        "ceiling_all": pytest.approx(0.98535, abs=1e-4),
    }
    assert prepare(Config(), context(tmp_path)).exercise.ceilings == ceilings
    assert not prepare(Config(layout="prompt"), context(tmp_path)).exercise.ceilings
    assert not prepare(Config(side=9, masked=28), context(tmp_path)).exercise.ceilings


def test_an_untrained_model_guesses_however_large_its_vocabulary():
    tokens = torch.randint(4096, (2, 16), generator=torch.Generator().manual_seed(1))
    for n_vocab in (8, 257, 4096):
        model = make_model(Config(n_layer=2), n_vocab=n_vocab)
        initialise(model, torch.Generator().manual_seed(0))
        logits, _ = model(tokens % n_vocab)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten() % n_vocab)
        assert loss.item() == pytest.approx(np.log(n_vocab), rel=0.2)


def test_only_future_seed_learns_what_stands_to_the_right(tmp_path):
    """In `retrieval` the pairs follow the question: without Future-Seed nothing beats chance, 1/4 here."""
    here = context(tmp_path, max_steps=100, eval_every=100, bsz=32, n_eval=256)
    arguments = {"task": "retrieval", "length": 3, "symbols": 4, "n_layer": 2, "alpha_init": 0.0}
    acc = {}
    for gate in ("none", "scalar"):
        *_, last = train(prepare(Config(gate=gate, **arguments), here), here)
        acc[gate] = last.acc
    assert acc["none"] < 0.4
    assert acc["scalar"] > 0.9


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_cuda_a_run_learns_what_it_learns_on_the_cpu(tmp_path, precision):
    final = {}
    for device in ("cpu", "cuda:0"):
        here = context(tmp_path, device=device, max_steps=60, eval_every=60, bsz=32, n_eval=256)
        *_, final[device] = train(prepare(Config(gate="scalar", precision=precision), here), here)
    assert final["cuda:0"].loss == pytest.approx(final["cpu"].loss, abs=0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_the_model_reads_what_the_optimizer_writes(tmp_path):
    here = context(tmp_path, device="cuda:0")
    run = Run(prepare(Config(gate="scalar"), here), here)
    with torch.no_grad():
        for group in run.optimizer.adamw.param_groups:
            for flat in group["params"]:
                flat.fill_(7.0)
    for name, parameter in named(run.model):
        assert parameter.device.type == "cuda", name
        assert (parameter == 7.0).all(), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_a_batch_arrives_as_it_left(tmp_path):
    here = context(tmp_path)
    batches = list(islice(TrainingBatches(prepare(Config(), here).exercise.task, seed=0, bsz=64), 200))
    arrived = [batch.to(torch.device("cuda:0")) for batch in batches]
    for batch, other in zip(batches, arrived, strict=True):
        assert torch.equal(batch.tokens, other.tokens.cpu())
        assert torch.equal(batch.masked, other.masked.cpu())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_the_same_seed_gives_the_same_bits_in_the_wy_form(tmp_path):
    losses = []
    for _ in range(2):
        here = context(tmp_path, device="cuda:0")
        with reproducibly(here):
            run = Run(prepare(Config(gate="scalar"), here), here)
            run.model.kernel = "wy"
            for batch in evaluation_batches(run, here):
                run.step(batch, 1.0)
            losses.append(run.evaluation(3).loss)
    assert losses[0] == losses[1]


def evaluation_batches(run, here):
    return islice(TrainingBatches(run.exercise.task, seed=here.seed, bsz=here.bsz), 3)


def test_the_process_environment_is_left_alone_on_the_cpu(tmp_path, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    evaluations(tmp_path)
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
