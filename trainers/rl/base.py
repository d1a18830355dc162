"""What does the policy know before it is trained by rewards? It has read worked solutions, with their errors.

The base model does not depend on a run's seed. It is trained once on one thread and kept by content.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainers.prepared_data import prepared_arrays
from trainers.rl.addition import (
    END,
    GENERATOR_VERSION,
    PROMPT_TOKENS,
    SOLUTION_TOKENS,
    VOCABULARY,
    encode,
    stream,
    training_problems,
    worked_solution,
)
from trainers.rl.config import Config
from trainers.rl.model import Transformer

#: of how it is trained: raise it with every change that alters a weight
VERSION = 1
#: solutions in a batch of its training
BSZ = 64
#: steps of linear warm-up; after it the learning rate falls along a cosine to 5 %
WARMUP_STEPS = 50
_LOWEST_FACTOR = 0.05
#: not a token: nothing is learned there
_IGNORED = -100


def make_model(config: Config) -> Transformer:
    """The model with weights that mean nothing yet."""
    return Transformer(
        n_vocab=len(VOCABULARY), d_model=config.d_model, n_layer=config.n_layer, n_head=config.n_head
    )


def base_model(config: Config, cache_dir: Path) -> Transformer:
    """The model that every run of these arguments begins with, on the CPU."""
    weights = prepared_arrays(cache_dir, base_key(config), lambda: _trained(config))
    model = make_model(config)
    model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
    return model


def base_key(config: Config) -> dict[str, Any]:
    """Everything that the base model's weights depend on."""
    return {
        "trainer": "rl",
        "base": VERSION,
        "generator": GENERATOR_VERSION,
        "torch": torch.__version__,
        **{name: getattr(config, name) for name in Config.base_fields()},
    }


def _trained(config: Config) -> Mapping[str, np.ndarray]:
    model = make_model(config)
    model.initialise(torch.Generator().manual_seed(config.base_seed))
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.base_lr, betas=(0.9, 0.95), weight_decay=0.0)
    solutions = _Solutions(config)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # how many there are would change the last bits
    try:
        for step in range(1, config.base_steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = config.base_lr * _factor(step, config.base_steps)
            loss = _loss(model, solutions.batch())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    finally:
        torch.set_num_threads(threads)
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


class _Solutions:
    """Batches of prompts with a worked solution each, drawn anew all the time."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._random = stream("base solutions", config.base_seed)
        self._problems = training_problems()

    def batch(self) -> Tensor:
        """[solution, position], filled up with the end token."""
        rows = torch.full((BSZ, PROMPT_TOKENS + SOLUTION_TOKENS), END)
        for row, place in enumerate(self._random.integers(len(self._problems), size=BSZ)):
            problem = self._problems[place]
            solution = worked_solution(
                problem,
                self._random,
                careful_share=self._config.careful_share,
                careful_error=self._config.careful_error,
                sloppy_error=self._config.sloppy_error,
            )
            tokens = encode(f"{problem.prompt} {solution}")
            rows[row, : len(tokens)] = torch.tensor(tokens)
        return rows


def _loss(model: Transformer, rows: Tensor) -> Tensor:
    """Mean over the solutions' tokens, the end token once; prompts are given, not learned."""
    targets = rows[:, 1:].clone()
    targets[:, : PROMPT_TOKENS - 1] = _IGNORED
    is_behind_the_end = (rows[:, :-1] == END).cummax(dim=1).values
    targets[is_behind_the_end] = _IGNORED
    return functional.cross_entropy(model(rows[:, :-1]).flatten(0, 1), targets.flatten())


def _factor(step: int, steps: int) -> float:
    warm = min(1.0, step / WARMUP_STEPS)
    fallen = _LOWEST_FACTOR + (1 - _LOWEST_FACTOR) * (1 + np.cos(np.pi * step / steps)) / 2
    return float(warm * fallen)
