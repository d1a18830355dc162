"""Does a run that goes on from another's state end in the same bits as one that was never interrupted?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes.daemon import Worker

torch = pytest.importorskip("torch")

from trainers import _torch_state  # noqa: E402
from trainers.contract import Context  # noqa: E402
from trainers.future_seed import (  # noqa: E402
    Config,
    load,
    prepare,
    resume,
    save,
    shared_steps,
    train,
    training,
)

TINY = {"d_model": 8, "head_size": 4, "n_layer": 2, "warmup": 4}


def context(tmp_path, **changes):
    values = {
        "seed": 3,
        "stage": "quick",
        "max_steps": 15,
        "time_budget_sec": 60.0,
        "eval_every": 4,
        "n_eval": 32,
        "bsz": 8,
        "device": "cpu",
        "threads": 1,
        "cache_dir": tmp_path / "cache",
        "run_dir": tmp_path,
    }
    return Context(**{**values, **changes})


def trained(config, here, state=None):
    """The evaluations of a run and the state at its end."""
    ends = []
    prepared = prepare(config, here)
    if state is not None:
        prepared = resume(prepared, state)
    here = replace(here, keep_step=here.keep_step or here.max_steps, keep=ends.append)
    found = list(train(prepared, here))
    (end,) = ends
    return found, end


def same(one, other):
    """Equal bits, all the way down."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def assert_same_state(one, other):
    for name in one.__slots__:
        assert same(getattr(one, name), getattr(other, name)), name


def assert_same_evaluations(found, expected):
    assert [e.step for e in found] == [e.step for e in expected]
    for one, other in zip(found, expected, strict=True):
        assert (one.loss, one.acc, one.extra) == (other.loss, other.acc, other.extra)
        assert np.array_equal(one.scores, other.scores)


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ({"lr_schedule": "constant"}, 15),
        ({"lr_schedule": "wsd"}, 12),
        ({"lr_schedule": "wsd", "gate": "head", "norm": True, "clip": 1.0, "decay_share": 0.5}, 7),
        ({"lr_schedule": "constant", "gate": "input", "layout": "prompt"}, 15),
        ({"lr_schedule": "wsd", "task": "kvsort", "length": 3, "gate": "scalar"}, 12),
        ({"lr_schedule": "wsd", "side": 9, "masked": 28}, 12),
        ({"lr_schedule": "constant", "precision": "bfloat16", "gate": "scalar", "alpha_lr": 0.0}, 15),
    ],
    ids=str,
)
def test_forty_steps_are_the_same_bits_with_and_without_a_break(tmp_path, arguments, kept):
    config = Config(**TINY, **arguments)
    assert shared_steps(config, 15, 40) == kept
    long = context(tmp_path, stage="medium", max_steps=40, eval_every=6)
    straight, straight_end = trained(config, long)

    short, state = trained(config, context(tmp_path, keep_step=kept))
    assert [e.step for e in short] == [4, 8, 12, 15]
    assert state.step == kept
    save(state, tmp_path)
    continued, continued_end = trained(config, long, load(tmp_path))

    assert continued[0].step == (12 if kept < 12 else 18)
    assert_same_evaluations(continued, [e for e in straight if e.step > kept])
    assert_same_state(continued_end, straight_end)


def test_a_state_may_be_handed_on_twice(tmp_path):
    config = Config(**TINY, lr_schedule="wsd")
    long = context(tmp_path, max_steps=60)
    straight, straight_end = trained(config, long)
    state = None
    for steps, kept in ((10, 8), (30, 24)):
        _, state = trained(config, context(tmp_path, max_steps=steps, keep_step=kept), state)
        assert state.step == kept
    continued, continued_end = trained(config, long, state)
    assert_same_evaluations(continued, [e for e in straight if e.step > 24])
    assert_same_state(continued_end, straight_end)


def test_a_state_is_left_as_it_is_by_the_run_that_gave_it_and_the_one_that_goes_on(tmp_path):
    config = Config(**TINY, lr_schedule="wsd", gate="scalar")
    _, state = trained(config, context(tmp_path, keep_step=12))
    save(state, tmp_path)
    trained(config, context(tmp_path, max_steps=40), state)
    assert_same_state(state, load(tmp_path))


@pytest.mark.parametrize("large", [0, 100, 10**9])
def test_a_state_survives_its_file_however_large_its_tensors(tmp_path, monkeypatch, large):
    monkeypatch.setattr(_torch_state, "LARGE", large)
    _, state = trained(Config(**TINY, gate="head"), context(tmp_path, max_steps=3))
    save(state, tmp_path)
    assert_same_state(load(tmp_path), state)


def test_being_asked_for_the_state_changes_nothing_about_a_run(tmp_path):
    config, here = Config(**TINY), context(tmp_path)
    alone = list(train(prepare(config, here), here))
    watched, _ = trained(config, context(tmp_path, keep_step=7))
    assert_same_evaluations(watched, alone)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_cuda_a_break_changes_no_bit_in_the_wy_form(tmp_path, monkeypatch, precision):
    monkeypatch.setattr(training, "choose_kernel", lambda *_: ("wy", "the test's choice"))
    config = Config(**TINY, lr_schedule="wsd", gate="scalar", precision=precision)
    long = context(tmp_path, max_steps=40, eval_every=6, device="cuda:0")
    straight, straight_end = trained(config, long)
    _, state = trained(config, replace(long, max_steps=15, keep_step=12))
    save(state, tmp_path)
    continued, continued_end = trained(config, long, load(tmp_path))
    assert_same_evaluations(continued, [e for e in straight if e.step > 12])
    assert_same_state(continued_end, straight_end)


@pytest.fixture
def workers(tmp_path):
    """Two processes."""
    pair = Worker(tmp_path), Worker(tmp_path)
    yield pair
    for worker in pair:
        worker.close()


def run(worker, folder, *, max_steps, eval_every, **fields):
    config = Config(**TINY, lr_schedule="wsd", gate="scalar").model_dump(mode="json")
    context = {"eval_every": eval_every, "n_eval": 32}
    return worker.run(
        folder, trainer="future_seed", config=config, max_steps=max_steps, context=context, bsz=8, **fields
    )


def test_two_workers_end_in_the_same_bits_with_and_without_a_break(tmp_path, workers):
    one, two = workers
    long = {"max_steps": 40, "eval_every": 6, "keep_for_steps": 100}
    straight = run(one, "straight", **long)
    quick = run(two, "quick", max_steps=15, eval_every=4, keep_for_steps=40)
    assert quick["kept"]["step"] == 12
    from_quick = {"folder": str(tmp_path / "quick/checkpoint"), "step": 12}
    in_memory = run(two, "in_memory", **long, continue_from=from_quick)
    from_disk = run(one, "from_disk", **long, continue_from=from_quick)

    own = [look for look in straight["evaluations"] if look[0] > 12]
    for name, continued in (("in_memory", in_memory), ("from_disk", from_disk)):
        assert continued["inherited_steps"] == 12
        assert continued["evaluations"] == [*quick["evaluations"][:3], *own]
        for field in ("status", "steps", "acc", "loss", "value", "extra", "scores_digest"):
            assert continued[field] == straight[field], field
        assert_same_state(*(load(tmp_path / folder / "checkpoint") for folder in (name, "straight")))
