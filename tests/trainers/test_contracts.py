"""Does every shipped trainer keep the contract, as a newcomer's is tested?"""

from __future__ import annotations

import pytest
from text_fixtures import FOLDER, TASKS

from trainers.testing import TrainerContract

pytest.importorskip("torch")


class TestFutureSeedOnPuzzles(TrainerContract):
    trainer = "future_seed"
    arguments = {"n_layer": 2, "gate": "scalar", "lr_schedule": "constant"}  # noqa: RUF012
    variant = {"gate": "head", "norm": True, "lr": 1e-3}  # noqa: RUF012
    other_data = {"masked": 7}  # noqa: RUF012
    max_steps, eval_every, n_eval, bsz = 4, 2, 48, 4


class TestFutureSeedOnText(TrainerContract):
    trainer = "future_seed"
    arguments = {  # noqa: RUF012
        "task": "arc_mc",
        "data": str(FOLDER / "arc.jsonl"),
        **TASKS["arc_mc"][1],
        "n_layer": 2,
        "lr_schedule": "constant",
    }
    variant = {"gate": "input", "detach": True}  # noqa: RUF012
    other_data = {"order": "question_first"}  # noqa: RUF012
    max_steps, eval_every, n_eval, bsz = 4, 2, 3, 4


class TestLm(TrainerContract):
    trainer = "lm"
    arguments = {  # noqa: RUF012
        "characters": 100_000,
        "tokenizer": "bytes",
        "context": 32,
        "prompts": ("Once upon a time",),
        "prompt_tokens": 8,
        "d_model": 8,
        "n_layer": 1,
        "n_head": 1,
    }
    variant = {"optimizer": "adamw", "lr": 1e-3}  # noqa: RUF012
    other_data = {"characters": 90_000}  # noqa: RUF012
    max_steps, eval_every, n_eval, bsz = 4, 2, 8, 2


class TestRl(TrainerContract):
    trainer = "rl"
    arguments = {  # noqa: RUF012
        "d_model": 8,
        "n_layer": 1,
        "n_head": 1,
        "base_steps": 2,
        "samples": 4,
        "max_tokens": 12,
    }
    variant = {"transform": "gtpo", "lr": 1e-3}  # noqa: RUF012
    max_steps, eval_every, n_eval, bsz = 4, 2, 8, 3


class TestGenerate(TrainerContract):
    trainer = "generate"
    arguments = {"base_steps": 2, "max_new_tokens": 4}  # noqa: RUF012
    variant = {"temperature": 0.5}  # noqa: RUF012
    max_steps, eval_every, n_eval, bsz = None, 2, 4, 2
