"""Which arguments are refused, with which words, and what tells two texts apart?"""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from trainers.contract import protocol_fields
from trainers.lm import Config, cost, fingerprint

IMPORTS_WITHOUT_TORCH = """
import sys
import trainers.lm as trainer
config = trainer.Config(optimizer="adamw")
trainer.fingerprint(config), trainer.cost(config), trainer.shared_steps(config, 10, 20)
trainer.examples(config, None)
print(sorted({"torch", "numpy", "tokenizers"} & set(sys.modules)))
"""


def test_the_trainer_is_imported_and_validates_without_torch_and_numpy():
    command = [sys.executable, "-c", IMPORTS_WITHOUT_TORCH]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_head": 5}, "n_head = 5 does not divide d_model = 96 into even widths"),
        ({"d_model": 12, "n_head": 4}, "into even widths, which rotary positions need"),
        ({"text": ["a.csv"]}, "a.csv is neither .txt nor .jsonl: give it one of these endings"),
        ({"text": ["a.txt"], "characters": 20_000}, "characters = 20000 has no effect on files (text)"),
        ({"text": ["a.txt"], "text_field": "body"}, "text_field = 'body' has no effect without a .jsonl"),
        ({"tokenizer": "bytes", "n_vocab": 300}, "n_vocab = 300 has no effect on bytes: remove it"),
        ({"n_vocab": 255}, "greater than or equal to 256"),
        ({"prompt_tokens": 128}, "leaves no room for a prompt in a context of 128"),
        ({"prompts": ["Hello", " "]}, "an empty one is no beginning"),
        ({"init_seed": 1, "data_seed": 1}, "so no seed would change anything"),
        ({"optimizer": "adamw", "muon_lr": 0.03}, "muon_lr = 0.03 has no effect with optimizer = 'adamw'"),
        ({"decay_share": 0.1}, "decay_share = 0.1 has no effect on lr_schedule = 'constant': remove it"),
        ({"betas": [0.9, 1.0]}, "betas = [0.9, 1.0] must both lie in 0 <= beta < 1"),
        ({"optimizer": "sgd"}, "'muon' or 'adamw'"),
        ({"held_out": 0.5}, "less than 0.5"),
        ({"learning_rate": 1.0}, "Extra inputs are not permitted"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_arguments_that_cannot_work_are_refused_with_the_reason(arguments, message):
    with pytest.raises(ValidationError) as refused:
        Config(**arguments)
    assert message in str(refused.value)


def test_a_variant_may_change_the_model_and_the_optimizer_and_nothing_of_the_data():
    free = set(Config.model_fields) - protocol_fields(Config)
    assert {"optimizer", "lr", "muon_lr", "d_model", "n_layer", "seed_shift", "lr_schedule"} <= free
    assert not free & {
        "text",
        "characters",
        "held_out",
        "tokenizer",
        "n_vocab",
        "context",
        "prompts",
        "n_eval",
    }


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"characters": 20_000}, "text"),
        ({"held_out": 0.1}, "split"),
        ({"n_vocab": 300}, "tokenizer"),
        ({"context": 256}, "windows"),
        ({"prompts": ["Hello"]}, "prompt suite"),
        ({"prompt_tokens": 32}, "prompt suite"),
    ],
)
def test_a_change_of_the_data_is_named(changed, part):
    before, after = fingerprint(Config()), fingerprint(Config(**changed))
    assert before.digest != after.digest
    assert [name for name in before.parts if before.parts[name] != after.parts[name]] == [part]


def test_a_changed_file_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config(text=["one.txt", "two.txt"])
    (tmp_path / "one.txt").write_text("first")
    (tmp_path / "two.txt").write_text("second")
    before = fingerprint(config)
    (tmp_path / "two.txt").write_text("changed")
    after = fingerprint(config)
    assert [name for name in before.parts if before.parts[name] != after.parts[name]] == ["two.txt"]
    (tmp_path / "two.txt").unlink()
    assert fingerprint(config).parts["two.txt"].startswith("unreadable")


def test_a_larger_model_costs_more():
    assert cost(Config(d_model=192)) > 2 * cost(Config())
