"""Does a model that `transformers` reads learn by the same steps? A tiny one of random weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

torch = pytest.importorskip("torch")

from trainers.contract import Context, DataError  # noqa: E402
from trainers.rl import Config, fingerprint  # noqa: E402
from trainers.rl.problems import training_and_held_out  # noqa: E402

#: what the packages warn each other of
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

WORDS = [*"0123456789", "add", "and", ":", "let", "me", "think", "so", "is", "it", "the"]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def files(tmp_path):
    """Problems of several lengths, none in both files."""
    training = [
        {"prompt": f"add {n} and {n} :" if n % 2 else f"add {n} :", "reference": str(n)} for n in range(8)
    ]
    held_out = [{"question": f"{n} and {n + 1} :", "answer": str(n)} for n in range(4)]
    return {
        "data": write(tmp_path / "train.jsonl", training),
        "eval_data": write(tmp_path / "eval.jsonl", held_out),
    }


@pytest.fixture
def folder(tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("peft")
    import tokenizers

    words = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: n for n, word in enumerate(["<unk>", "<eos>", *WORDS])}, "<unk>")
    )
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<eos>", unk_token="<unk>"
    )
    config = transformers.LlamaConfig(
        vocab_size=len(WORDS) + 2,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        eos_token_id=1,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    path = tmp_path / "model"
    transformers.LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def context(tmp_path, **changes):
    values = {
        "seed": 3,
        "stage": "quick",
        "max_steps": 3,
        "time_budget_sec": 60.0,
        "eval_every": None,
        "n_eval": 4,
        "bsz": 3,
        "device": "cpu",
        "threads": 1,
        "cache_dir": tmp_path / "cache",
        "run_dir": tmp_path / "run",
    }
    return Context(**{**values, **changes})


def small(folder, files, **more):
    return Config(**{"model": folder, **files, "samples": 4, "max_tokens": 6, "lora_rank": 4, **more})


def test_what_is_remembered_of_filled_up_prompts_is_what_one_pass_says(folder, files):
    from trainers.rl.pretrained import Pretrained
    from trainers.rl.sampling import log_probabilities_of, sample

    policy = Pretrained(small(folder, files), seed=0)
    for parameter in policy.trained().values():
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(parameter.numel()))
    prompts = policy.prompts(["add 1 :", "add 2 and 3 : let me think"])
    assert prompts.read.sum(dim=1).tolist() == [3, 8]
    with torch.no_grad():
        drawn = sample(policy, prompts, max_tokens=8, generator=torch.Generator().manual_seed(1))
        assert (log_probabilities_of(policy, drawn) - drawn.log_probabilities).abs().max() < 1e-4
        alone = sample(policy, policy.prompts(["add 1 :"]), max_tokens=8, generator=None)
        together = sample(policy, prompts, max_tokens=8, generator=None)
    length = int(alone.lengths[0])
    assert alone.tokens[0, :length].tolist() == together.tokens[0, :length].tolist()


def test_the_same_loop_trains_its_adapters_alone_and_leaves_them_for_squeeze(
    folder, files, tmp_path, monkeypatch
):
    from trainers import _squeeze
    from trainers.rl import completions, prepare, train

    monkeypatch.setattr(completions, "reward", lambda text, reference: float(len(text) % 2))
    runs = []
    for name in ("one", "two", "in passes"):
        here = context(tmp_path, run_dir=tmp_path / name)
        prepared = prepare(small(folder, files, pass_size=5 if name == "in passes" else None), here)
        frozen = {n: p.clone() for n, p in prepared.policy.model.named_parameters() if not p.requires_grad}
        runs.append([(e.acc, e.extra["loss"], e.extra["correct_rate"]) for e in train(prepared, here)])
        assert all(
            torch.equal(p, frozen[n]) for n, p in prepared.policy.model.named_parameters() if n in frozen
        )
    assert runs[0] == runs[1]
    assert np.allclose([loss for _, loss, _ in runs[0]], [loss for _, loss, _ in runs[2]], atol=1e-4)
    told = _squeeze.answer(tmp_path / "one", None)
    assert told["problem"] is None
    assert sum(map(sum, told["squares"].values())) > 0


def test_a_folder_without_a_model_is_told(files, tmp_path):
    pytest.importorskip("transformers")
    pytest.importorskip("peft")
    from trainers.rl.pretrained import Pretrained

    with pytest.raises(DataError, match="there is no model in"):
        Pretrained(small(str(tmp_path / "nowhere"), files), seed=0)


def test_problems_of_files_are_read_and_never_shared(files, tmp_path):
    training, held_out = training_and_held_out(small("m", files), 4)
    assert (len(training), len(held_out)) == (8, 4)
    assert (held_out[2].prompt, held_out[2].reference) == ("2 and 3 :", "2")
    with pytest.raises(DataError, match=r"8 of 8 problems of .* are in .* too"):
        training_and_held_out(small("m", {**files, "eval_data": files["data"]}), 4)
    with pytest.raises(DataError, match=r"has 4 problems \(wanted 256\)"):
        training_and_held_out(small("m", files), None)
    for row, said in (
        ({"prompt": "x"}, "line 1: must be an object"),
        ({"prompt": "x", "answer": " "}, "empty"),
    ):
        with pytest.raises(DataError, match=said):
            training_and_held_out(small("m", {**files, "data": write(tmp_path / "bad.jsonl", [row])}), 4)


def test_the_fingerprint_follows_the_files(files, tmp_path):
    config = small(str(tmp_path), files)
    plain = fingerprint(config)
    assert plain.is_complete
    assert fingerprint(small(str(tmp_path), files, lr=1e-5)) == plain
    write(tmp_path / "train.jsonl", [{"prompt": "new", "reference": "1"}])
    assert fingerprint(config).digest != plain.digest
    assert not fingerprint(small(str(tmp_path / "nowhere"), files)).is_complete


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model": "m"}, "model needs data"),
        ({"lora_rank": 8}, "lora_rank = 8 has no effect without a model"),
        ({"model": "m", "data": "d", "eval_data": "e", "base_steps": 3}, "base_steps = 3 has no effect on a"),
    ],
)
def test_arguments_of_the_other_kind_of_model_are_refused(arguments, said):
    with pytest.raises(ValidationError, match=said):
        Config(**arguments)
