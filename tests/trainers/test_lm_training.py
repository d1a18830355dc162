"""Is a run reproducible, measured where it should be, and does it go on as if it had never stopped?"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from fakes.daemon import Worker

torch = pytest.importorskip("torch")

from trainers.contract import BadArgumentsError, Context  # noqa: E402
from trainers.lm import Config, full_step, load, prepare, resume, save, shared_steps, train  # noqa: E402
from trainers.lm.batches import TrainingBatches  # noqa: E402
from trainers.lm.model import ModelShape, Transformer  # noqa: E402
from trainers.lm.writing import continuations  # noqa: E402

TINY = {
    "characters": 70_000,
    "held_out": 0.2,
    "n_vocab": 300,
    "context": 32,
    "prompt_tokens": 8,
    "d_model": 16,
    "n_layer": 1,
    "n_head": 2,
    "warmup": 4,
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def here(cache, tmp_path):
    return Context(
        seed=3,
        stage="quick",
        max_steps=12,
        time_budget_sec=60.0,
        eval_every=4,
        n_eval=8,
        bsz=2,
        device="cpu",
        threads=1,
        cache_dir=cache,
        run_dir=tmp_path,
    )


def told(evaluations):
    return [(e.step, e.loss, e.acc, e.extra, e.scores.tobytes()) for e in evaluations]


def trained(config, context, state=None):
    """What a run told, and its state at `keep_step`, or at its end."""
    kept = []
    prepared = prepare(config, context)
    if state is not None:
        prepared = resume(prepared, state)
    context = replace(context, keep_step=context.keep_step or context.max_steps, keep=kept.append)
    return told(train(prepared, context)), kept[0]


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_the_same_seed_gives_the_same_bits_whatever_was_drawn_before(here, optimizer):
    config = Config(**TINY, optimizer=optimizer)
    first, _ = trained(config, here)
    torch.manual_seed(99)
    np.random.seed(99)
    assert trained(config, here)[0] == first
    assert trained(config, replace(here, seed=4))[0] != first


def test_evaluations_begin_at_step_0_and_end_at_the_last(here):
    found = list(train(prepare(Config(**TINY), here), replace(here, max_steps=10)))
    assert [e.step for e in found] == [0, 4, 8, 10]
    for e in found:
        assert e.scores.dtype == np.float32
        assert e.scores.shape == (8,)
        assert e.acc == pytest.approx(e.scores.mean())
        assert e.extra["tokens_seen"] == e.step * 2 * 32
        assert e.n_clusters > 4
    assert "train_loss" not in found[0].extra
    best = [e.extra["loss_best"] for e in found[1:]]
    assert best == sorted(best, reverse=True)
    assert best[-1] < min(e.extra["train_loss"] for e in found[1:-1])


def test_the_best_loss_is_that_of_three_batches_in_a_row(here):
    found = list(train(prepare(Config(**TINY), here), replace(here, max_steps=8, eval_every=1)))
    losses = [e.extra["train_loss"] for e in found[1:]]
    for e in found[3:]:
        in_a_row = [sum(losses[n : n + 3]) / 3 for n in range(e.step - 2)]
        assert e.extra["loss_best"] == pytest.approx(min(in_a_row))


def test_before_the_first_step_seeds_differ_and_nothing_is_intelligible(here):
    config = Config(**{**TINY, "context": 128, "prompt_tokens": 64})
    found = [next(train(prepare(config, c), c)) for c in (here, replace(here, seed=4))]
    assert found[0].loss != found[1].loss
    for e in found:
        assert e.loss == pytest.approx(np.log(300), rel=0.1)
        assert e.extra["intelligible"] == e.extra["intelligible_greedy"] == 0.0


def test_either_seed_can_be_fixed(here):
    other = replace(here, seed=4)

    def first_two(context, **arguments):
        run = train(prepare(Config(**TINY, **arguments), context), context)
        return next(run).loss, next(run).loss

    same_start = first_two(here, init_seed=1), first_two(other, init_seed=1)
    assert same_start[0][0] == same_start[1][0]
    assert same_start[0][1] != same_start[1][1]
    same_data = [
        TrainingBatches(np.arange(1000, dtype=np.uint16), context=8, seed=5, bsz=2) for _ in range(2)
    ]
    assert torch.equal(next(same_data[0]), next(same_data[1]))
    assert first_two(here, data_seed=3) == first_two(here)
    assert first_two(here, data_seed=9)[0] == first_two(here)[0]


def test_a_shifted_seed_is_the_run_of_that_seed(here):
    shifted, _ = trained(Config(**TINY, seed_shift=100), here)
    assert shifted == trained(Config(**TINY), replace(here, seed=103))[0]


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ({}, 12),
        ({"optimizer": "adamw", "lr_schedule": "wsd"}, 10),
        ({"precision": "bfloat16", "muon_weight_decay": 0.1}, 12),
    ],
    ids=str,
)
def test_a_break_changes_no_bit(here, tmp_path, arguments, kept):
    config = Config(**TINY, **arguments)
    assert shared_steps(config, 12, 24) == kept
    long = replace(here, max_steps=24, eval_every=6)
    straight, straight_end = trained(config, long)
    _, state = trained(config, replace(here, keep_step=kept))
    save(state, tmp_path)
    continued, continued_end = trained(config, long, load(tmp_path))
    assert continued == [row for row in straight if row[0] > kept]
    assert continued_end.step == straight_end.step == 24
    for name, tensor in straight_end.model.items():
        assert torch.equal(tensor, continued_end.model[name]), name
    assert torch.equal(straight_end.losses, continued_end.losses)


def test_a_cosine_is_not_continued():
    assert shared_steps(Config(lr_schedule="cosine"), 10, 20) == 0


def test_a_model_learns_the_text(here):
    found = list(train(prepare(Config(**TINY), here), replace(here, max_steps=60, eval_every=60, bsz=8)))
    assert found[-1].loss < found[0].loss - 1.5
    assert found[-1].acc > found[0].acc + 0.03


def test_every_continuation_is_kept_with_what_was_read_of_it(here):
    config = Config(**TINY, prompts=["Once upon", "The fox"], prompt_every=8)
    found = list(train(prepare(config, here), here))
    rows = [json.loads(line) for line in (here.run_dir / "prompts.jsonl").read_text().splitlines()]
    assert [(row["step"], row["temperature"], row["prompt"]) for row in rows] == [
        (step, temperature, prompt)
        for step in (0, 8, 12)
        for temperature in (0.8, 0.0)
        for prompt in ("Once upon", "The fox")
    ]
    assert all(row["suite"].startswith("v1-") for row in rows)
    assert ["intelligible" in e.extra for e in found] == [True, False, True, True]
    greedy = [row for row in rows if row["step"] == 12 and row["temperature"] == 0.0]
    mean = sum(row["trigram_repetition"] for row in greedy) / 2
    assert found[-1].extra["trigram_repetition_greedy"] == pytest.approx(mean)


def test_a_prompt_is_continued_as_it_would_be_alone():
    model = Transformer(ModelShape(n_vocab=50, d_model=16, n_layer=2, n_head=2, context=32))
    model.initialise(torch.Generator().manual_seed(0))
    torch.nn.init.normal_(model.blocks[0].attention.output.weight)
    prompts = [[1, 2, 3], list(range(40)), [7]]
    how = {"count": 6, "context": 32, "device": torch.device("cpu")}
    together = continuations(model, prompts, 0.0, **how)
    assert together == [continuations(model, [prompt], 0.0, **how)[0] for prompt in prompts]
    assert continuations(model, prompts, 0.8, **how) == continuations(model, prompts, 0.8, **how)


def test_what_comes_later_changes_nothing_before_and_positions_are_relative():
    model = Transformer(ModelShape(n_vocab=50, d_model=16, n_layer=2, n_head=2, context=32))
    model.initialise(torch.Generator().manual_seed(0))
    for block in model.blocks:
        torch.nn.init.normal_(block.attention.output.weight, std=0.1)
    tokens = torch.randint(50, (1, 20), generator=torch.Generator().manual_seed(1))
    changed = tokens.clone()
    changed[0, 12:] = 0
    assert torch.allclose(model(tokens)[0, :12], model(changed)[0, :12], atol=1e-6)
    assert not torch.allclose(model(tokens)[0, 13], model(changed)[0, 13], atol=1e-3)


def test_a_run_without_steps_is_refused_and_a_full_step_is_one(here):
    with pytest.raises(BadArgumentsError, match="lm needs a number of steps"):
        next(train(prepare(Config(**TINY), here), replace(here, max_steps=None)))
    full_step(Config(**TINY), here)


def test_a_worker_runs_it_and_a_longer_run_goes_on(tmp_path):
    worker = Worker(tmp_path)
    try:
        how = {"trainer": "lm", "config": Config(**TINY).model_dump(mode="json"), "bsz": 2}
        how |= {"context": {"eval_every": 4, "n_eval": 8}, "metric": "loss"}
        quick = worker.run("quick", max_steps=8, keep_for_steps=16, **how)
        assert (quick["status"], quick["kept"]["step"]) == ("ok", 8)
        wanted = {"folder": str(tmp_path / "quick/checkpoint"), "step": 8}
        longer = worker.run("longer", max_steps=16, continue_from=wanted, **how)
    finally:
        worker.close()
    assert longer["inherited_steps"] == 8
    assert [look[0] for look in longer["evaluations"]] == [0, 4, 8, 12, 16]
    assert longer["extra"]["tokens_seen"] == 16 * 2 * 32
    assert (tmp_path / "longer/prompts.jsonl").is_file()
