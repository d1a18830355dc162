"""Does every text task train and score on its fixture, and is what it reports what it says?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from text_fixtures import TASKS, config_of, context

torch = pytest.importorskip("torch")

from trainers.contract import BadArgumentsError, Context, DataError, Evaluation  # noqa: E402
from trainers.future_seed import Config, full_step, prepare, train  # noqa: E402
from trainers.future_seed.exercise import exercise_of  # noqa: E402
from trainers.future_seed.initial import initialise  # noqa: E402
from trainers.future_seed.text import execution  # noqa: E402
from trainers.future_seed.text.answers import (  # noqa: E402
    Answers,
    answer_logits,
    collated,
    constant_floor,
    contact_scores,
)
from trainers.future_seed.text.execution import Executions, written_answers  # noqa: E402
from trainers.future_seed.text.retrieval import Retrieval  # noqa: E402
from trainers.future_seed.training import make_model  # noqa: E402

CPU = torch.device("cpu")

#: what a task reports beside what all do
REPORTS = {
    "mbpp": {"pass_rate", "timeout_rate"},
    "protein_ss": {"constant_floor"},
    "protein_contact": {"balanced_acc", "auc"},
    "retrieval_embedding": {"r1", "r5", "mrr10"},
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def evaluations(config: Config, here: Context) -> list[Evaluation]:
    return list(train(prepare(config, here), here))


@pytest.mark.parametrize("task", TASKS)
def test_a_task_trains_and_scores_on_its_fixture(tmp_path: Path, cache: Path, task: str) -> None:
    here = context(tmp_path, cache_dir=cache)
    first, last = evaluations(config_of(task), here)
    assert (first.step, last.step) == (2, 4)
    assert last.loss < first.loss
    assert last.acc == pytest.approx(last.scores.mean())
    assert 2 <= last.n_clusters <= len(last.scores)
    assert REPORTS.get(task, set()) <= last.extra.keys()
    assert {"exact_solve", "acc_se", "train_loss", "chance", "gate_l1"} <= last.extra.keys()
    assert all(0 <= value <= 1 for name, value in last.extra.items() if name != "train_loss")
    if task != "retrieval_embedding":  # an untrained backbone passes nothing on, and it is frozen
        assert last.extra["gate_l1"] != first.extra["gate_l1"]


def test_the_same_seed_gives_the_same_bits(tmp_path: Path, cache: Path) -> None:
    found = [
        [(e.loss, e.acc, dict(e.extra)) for e in evaluations(config_of("retrieval_embedding"), here)]
        for here in (context(tmp_path, cache_dir=cache, seed=seed) for seed in (1, 1, 2))
    ]
    assert found[0] == found[1]
    assert found[0] != found[2]


def trained(task: str, tmp_path: Path, cache: Path, **changes: Any) -> tuple[Any, Any]:
    """Exercise and model of a task after a few steps."""
    here = context(tmp_path, cache_dir=cache)
    prepared = prepare(config_of(task, **changes), here)
    list(train(prepared, here))
    return prepared.exercise, prepared.model


def test_what_stands_before_a_shorter_prompt_leaves_no_trace(tmp_path: Path, cache: Path) -> None:
    """In a batch with longer ones an example is answered as it is alone, under every kind of seed."""
    for gate in ("scalar", "input"):
        exercise, model = trained("arc_mc", tmp_path, cache, gate=gate, alpha_init=0.0)
        lengths = np.diff(exercise.train.prompt_ends, prepend=0)
        shortest, longest = int(lengths.argmin()), int(lengths.argmax())
        assert lengths[longest] - lengths[shortest] > 32
        with torch.no_grad():
            alone = answer_logits(model, collated(exercise.train, [shortest]))[0]
            together = answer_logits(model, collated(exercise.train, [longest, shortest]))[1]
        assert torch.allclose(alone, together[: len(alone)], atol=1e-5)


def test_an_untrained_gate_of_nearly_zero_answers_as_no_gate_does(tmp_path: Path, cache: Path) -> None:
    here = context(tmp_path, cache_dir=cache)
    exercise = exercise_of(config_of("squad"), here)
    batch = collated(exercise.train, [0, 1])
    found = []
    for arguments in ({"gate": "none"}, {"alpha_init": -30.0}, {"alpha_init": 2.0}):
        model = make_model(config_of("squad", **arguments), n_vocab=exercise.n_vocab)
        initialise(model, torch.Generator().manual_seed(0))
        with torch.no_grad():
            for block in model.blocks:  # what is drawn first writes nothing
                torch.nn.init.normal_(block.att.output.weight, std=0.1, generator=torch.Generator())
            found.append(answer_logits(model, batch))
    assert torch.allclose(found[0], found[1], atol=1e-6)
    assert not torch.allclose(found[0], found[2], atol=1e-3)


def test_the_model_writes_what_it_would_guess_under_teacher_forcing(tmp_path: Path, cache: Path) -> None:
    exercise, model = trained("squad", tmp_path, cache)
    prompts = [exercise.evaluation.prompt(example) for example in range(3)]
    written = written_answers(model, prompts, CPU, longest=6)
    for example, answer in enumerate(written):
        batch = collated(exercise.evaluation, [example])
        forced = torch.tensor([[*answer, 0][:6]])
        with torch.no_grad():
            guessed = answer_logits(model, replace(batch, answers=forced)).argmax(dim=-1)
        assert guessed[0].tolist() == forced[0].tolist()


def executions(tmp_path: Path, cache: Path, monkeypatch: Any, programs: list[str]) -> dict[str, float]:
    """The rates where the model writes `programs`."""
    config = config_of("mbpp", executed=len(programs), execution_seconds=1)
    exercise = exercise_of(config, context(tmp_path, cache_dir=cache))
    monkeypatch.setattr(Executions, "programs", lambda self, model, device: programs)
    return exercise.executions.rates(None, CPU, run_dir=tmp_path, step=7)


@pytest.mark.fault(
    "a program that a model wrote loops, forks without end or writes files",
    moment="when its tests are run",
    outcome="it ends within its limits, changes nothing, and has not passed; the run goes on",
)
def test_the_pass_rate_counts_programs_whose_tests_pass_and_survives_hostile_ones(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exercise = exercise_of(config_of("mbpp"), context(tmp_path, cache_dir=cache))
    right = [exercise_text(exercise, example) for example in range(2)]
    hostile = [
        "while True: pass",
        "import os\nwhile True: os.fork()",
        f"open({str(tmp_path / 'escaped')!r}, 'w')",
        "import sys; sys.exit(0)",
    ]
    rates = executions(tmp_path, cache, monkeypatch, [*right, *hostile])
    assert rates == {"pass_rate": 2 / 6, "timeout_rate": 1 / 6}
    rows = [json.loads(line) for line in (tmp_path / execution.FILE_NAME).read_text().splitlines()]
    assert [row["ending"] for row in rows] == ["finished", "finished", "timed_out", *["failed"] * 3]
    assert rows[0] == {"step": 7, "example": 0, "ending": "finished", "program": right[0]}
    assert not (tmp_path / "escaped").exists()


def exercise_text(exercise: Answers, example: int) -> str:
    """The reference solution of an evaluation example."""
    return "".join(chr(token - 1) for token in exercise.evaluation.answer(example).tolist() if token)


def test_a_machine_without_a_sandbox_is_refused_before_training_unless_nothing_is_executed(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise execution._sandbox.SandboxError("this machine cannot hold a program: set `executed = 0`")

    monkeypatch.setattr(execution._sandbox, "check", refuse)
    here = context(tmp_path, cache_dir=cache)
    with pytest.raises(BadArgumentsError, match="executed = 0"):
        prepare(config_of("mbpp"), here)
    assert prepare(config_of("mbpp", executed=0), here).exercise.executions is None


def test_a_letter_that_is_no_option_is_never_the_answer(tmp_path: Path, cache: Path) -> None:
    from trainers.future_seed.text.answers import Tally

    exercise = exercise_of(config_of("arc_mc"), context(tmp_path, cache_dir=cache))
    logits = torch.zeros(1, 1, exercise.n_vocab)
    logits[..., exercise.symbols[4]] = 9.0  # E, of a question with four options
    logits[..., exercise.symbols[2]] = 1.0
    logits[..., 5] = 99.0  # no letter at all
    assert Tally(exercise)._guesses(logits, [0]).item() == exercise.symbols[2]


def test_the_constant_floor_is_that_of_the_most_frequent_symbol_of_training(
    tmp_path: Path, cache: Path
) -> None:
    exercise = exercise_of(config_of("protein_ss"), context(tmp_path, cache_dir=cache))
    values, counts = np.unique(exercise.train.answers, return_counts=True)
    most = values[counts.argmax()]
    shares = [(exercise.evaluation.answer(e) == most).mean() for e in range(len(exercise.evaluation))]
    assert constant_floor(exercise.train, exercise.evaluation) == pytest.approx(np.mean(shares))


@pytest.mark.parametrize(
    ("margins", "bits", "balanced", "auc"),
    [
        ([2.0, 1.0, -1.0, -2.0], [1, 1, 0, 0], 1.0, 1.0),
        ([-2.0, -1.0, 1.0, 2.0], [1, 1, 0, 0], 0.0, 0.0),
        ([0.0, 0.0, 0.0, 0.0], [1, 1, 0, 0], 0.5, 0.5),  # all zeros: no score for a constant
        ([3.0, 1.0, 2.0, 0.5], [1, 0, 1, 0], 0.5, 1.0),  # in order, but all on one side
        ([-1.0] * 10, [1] + [0] * 9, 0.5, 0.5),  # 90 % right by saying no
    ],
)
def test_balanced_accuracy_and_auc(margins: Any, bits: Any, balanced: float, auc: float) -> None:
    found = contact_scores(torch.tensor(margins), torch.tensor(bits).bool())
    assert found == {"balanced_acc": pytest.approx(balanced), "auc": pytest.approx(auc)}


def test_only_the_head_and_the_gates_learn_to_retrieve(tmp_path: Path, cache: Path) -> None:
    here = context(tmp_path, cache_dir=cache)
    checkpoint(tmp_path / "world.pth")
    weights = str(tmp_path / "world.pth")
    prepared = prepare(config_of("retrieval_embedding", weights=weights, n_layer=4), here)
    before = {name: value.clone() for name, value in prepared.model.state_dict().items()}
    list(train(prepared, here))
    changed = {
        name for name, value in prepared.model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"embedding.weight", "future_seed.alpha"}


def test_the_rank_of_a_document_is_taken_among_all_documents(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exercise = exercise_of(config_of("retrieval_embedding"), context(tmp_path, cache_dir=cache))
    n = len(exercise.evaluation)
    assert len(np.unique(exercise.evaluation.clusters)) == n
    turned = torch.roll(torch.eye(n), 1, dims=0)  # each question is most like the document before its own
    found = iter([torch.eye(n) + 2 * turned, torch.eye(n)])
    monkeypatch.setattr(Retrieval, "_embedded", lambda *_: next(found))
    measured = exercise.measure(None, CPU, run_dir=None, step=1)
    assert measured.acc == measured.extra["r1"] == 0.0
    assert measured.extra["r5"] == 1.0
    assert measured.extra["mrr10"] == 0.5
    assert measured.extra["chance"] == 1 / n


def test_a_batch_size_is_tried_with_the_longest_examples(tmp_path: Path, cache: Path) -> None:
    here = context(tmp_path, cache_dir=cache, run_dir=None, n_eval=2, bsz=2)
    full_step(config_of("hotpot"), here)
    exercise = exercise_of(config_of("hotpot"), here)
    ends = exercise.train.prompt_ends
    assert int(exercise.longest(2).prompts_real.sum(dim=1).max()) >= np.diff(ends, prepend=0).max() - 4
    with pytest.raises(BadArgumentsError, match="bsz = 99 is more than the 26 training examples"):
        exercise.batches(seed=0, bsz=99)


LOGITS_OF_RWKV = """
import os, sys
os.environ.update(RWKV_V7_ON="1", RWKV_JIT_ON="0", RWKV_CUDA_ON="0")
import torch
torch.set_num_threads(1)
from rwkv.model import RWKV
model = RWKV(model=sys.argv[1], strategy="cpu fp32")
for line in sys.stdin:
    logits, _ = model.forward([int(token) for token in line.split()], None, full_output=True)
    torch.save(logits, sys.argv[2])
"""


def checkpoint(path: Path, *, n_vocab: int = 257) -> None:
    """As they are published: in bfloat16, and with the v-mix of layer 0, which nothing reads."""
    config = Config(d_model=64, n_layer=2, head_size=64)
    model, generator = make_model(config, n_vocab=n_vocab), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            spread = 1.0 / parameter.shape[-1] ** 0.5 if parameter.ndim == 2 else 0.5
            parameter.normal_(0.3, spread, generator=generator)
        for block in model.blocks:
            block.att.w0.fill_(-7.0)  # so slow a decay that a seed is felt at the end of a prompt
    tensors = {name: value.detach().bfloat16() for name, value in model.state_dict().items()}
    tensors |= {f"blocks.0.att.v{i}": tensors[f"blocks.1.att.v{i}"] for i in range(3)}
    torch.save(tensors, path)


def test_the_answers_of_a_published_checkpoint_have_the_logits_of_the_package_rwkv(
    tmp_path: Path, cache: Path
) -> None:
    pytest.importorskip("rwkv")
    checkpoint(tmp_path / "world.pth")
    config = config_of("squad", weights=str(tmp_path / "world.pth"), gate="none", n_layer=4)
    here = context(tmp_path, cache_dir=cache)
    prepared = prepare(config, here)
    texts = prepared.exercise.evaluation
    whole = [*texts.prompt(0).tolist(), *texts.answer(0).tolist()]
    subprocess.run(
        [sys.executable, "-c", LOGITS_OF_RWKV, tmp_path / "world", tmp_path / "logits"],
        input=" ".join(map(str, whole[:-1])).encode(),
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    expected = torch.load(tmp_path / "logits", weights_only=True)[-len(texts.answer(0)) :]
    with torch.no_grad():
        found = answer_logits(prepared.model, collated(texts, [0]))[0]
    assert float((found - expected).abs().max() / expected.abs().max()) <= 1e-4


def test_a_checkpoint_is_trained_further_with_gates_that_it_does_not_hold(
    tmp_path: Path, cache: Path
) -> None:
    checkpoint(tmp_path / "world.pth")
    here = context(tmp_path, cache_dir=cache, max_steps=2, eval_every=1, n_eval=2)
    config = config_of("arc_mc", weights=str(tmp_path / "world.pth"), n_layer=4, lr=1e-3)
    first, last = evaluations(config, here)
    assert last.loss != first.loss
    assert last.extra["gate_l1"] != first.extra["gate_l1"]


def test_weights_that_do_not_fit_are_refused_with_what_to_do(tmp_path: Path, cache: Path) -> None:
    here = context(tmp_path, cache_dir=cache)
    path = tmp_path / "small.pth"
    with pytest.raises(DataError, match="there is no checkpoint"):
        prepare(config_of("arc_mc", weights=str(path), n_layer=4), here)
    checkpoint(path, n_vocab=100)
    with pytest.raises(DataError, match="knows 100 tokens, and the tokenizer 'bytes' has 257"):
        prepare(config_of("arc_mc", weights=str(path), n_layer=4), here)
    checkpoint(path)
    with pytest.raises(BadArgumentsError, match=r"layer_start = 8 leaves no layer .* the layers 0 to 1"):
        prepare(config_of("arc_mc", weights=str(path), n_layer=4, layer_start=8), here)
