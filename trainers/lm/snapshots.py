"""How does the prompt suite read a model, and what is kept of each reading?"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainers.lm.config import Config
from trainers.lm.prompts import PROMPTS, TEMPERATURES, read, suite_name
from trainers.lm.tokenizer import Tokenizer
from trainers.lm.writing import continuations

#: in the run's folder: a line for each prompt, temperature and step
FILE_NAME = "prompts.jsonl"

#: what is told of the suite, with `_greedy` behind it at temperature 0
MEASURES = ("intelligible", "char_repetition", "trigram_repetition")


def snapshots(
    config: Config,
    tokenizer: Tokenizer,
    logits_of: Callable[[Tensor], Tensor],
    device: torch.device,
    *,
    step: int,
    tokens_seen: int,
) -> list[dict[str, Any]]:
    """A row for each prompt and temperature: what the model wrote, and how it reads."""
    prompts = config.prompts or PROMPTS
    heads = [tokens.tolist() for tokens in tokenizer.encode(prompts)]
    rows = []
    for temperature in TEMPERATURES:
        written = continuations(
            logits_of,
            heads,
            temperature,
            count=config.prompt_tokens,
            context=config.context,
            device=device,
        )
        for prompt, tokens in zip(prompts, written, strict=True):
            text = tokenizer.decode(tokens)
            found = read(text)
            rows.append(
                {
                    "step": step,
                    "tokens_seen": tokens_seen,
                    "suite": suite_name(config.prompts),
                    "temperature": temperature,
                    "prompt": prompt,
                    "text": text,
                    "intelligible": float(found.is_intelligible),
                    **asdict(found),
                }
            )
    return rows


def suite_metrics(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The mean of each measure over the prompts, by temperature."""
    return {
        name + ("" if temperature else "_greedy"): statistics.fmean(
            row[name] for row in rows if row["temperature"] == temperature
        )
        for temperature in TEMPERATURES
        for name in MEASURES
    }


def append(run_dir: Path, rows: list[dict[str, Any]]) -> None:
    """Add the rows to the run's file."""
    with (run_dir / FILE_NAME).open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
