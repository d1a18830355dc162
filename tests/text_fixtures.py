"""The fixture files of the text tasks, and arguments small enough for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainers.contract import Context
from trainers.future_seed import Config

FOLDER = Path(__file__).parent / "data" / "text"

#: by task: its file, and the arguments that fit it
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "arc_mc": ("arc.jsonl", {"prompt_tokens_max": 192}),
    "hotpot": ("hotpot.jsonl", {"prompt_tokens_max": 320, "answer_tokens_max": 16}),
    "mbpp": ("mbpp.jsonl", {"prompt_tokens_max": 256, "answer_tokens_max": 96, "executed": 2}),
    "squad": ("squad.jsonl", {"prompt_tokens_max": 320, "answer_tokens_max": 16}),
    "punc_restore": (
        "punctuation.jsonl",
        {"prompt_tokens_max": 256, "answer_tokens_max": 96, "characters_min": 40},
    ),
    "protein_ss": ("proteins.jsonl", {"prompt_tokens_max": 320, "residues_min": 20, "queries": 12}),
    "protein_contact": ("contacts.jsonl", {"prompt_tokens_max": 320, "residues_min": 20, "queries": 12}),
    "retrieval_embedding": (
        "hotpot.jsonl",
        {"prompt_tokens_max": 256, "question_tokens_max": 100, "embedding_dim": 16},
    ),
}


def config_of(task: str, **changes: Any) -> Config:
    file, arguments = TASKS[task]
    given = {"data": str(FOLDER / file), "n_layer": 2, "gate": "scalar", **arguments, **changes}
    return Config(task=task, **given)


def context(folder: Path, **changes: Any) -> Context:
    values: dict[str, Any] = {
        "seed": 0,
        "stage": "quick",
        "max_steps": 4,
        "time_budget_sec": 60.0,
        "eval_every": 2,
        "n_eval": None,
        "bsz": 4,
        "device": "cpu",
        "threads": 1,
        "cache_dir": folder / "cache",
        "run_dir": folder,
    }
    return Context(**{**values, **changes})
