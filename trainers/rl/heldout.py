"""How good is the policy on problems that no training has seen? Drawn as in training, and greedily."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from trainers.rl.addition import END, Problem, encode, stream
from trainers.rl.completions import rewards_of, texts_of
from trainers.rl.config import Config
from trainers.rl.model import Transformer
from trainers.rl.sampling import Samples, sample


class HeldOut:
    """The frozen problems. They are answered with the same random numbers in every run and at every point."""

    def __init__(self, problems: Sequence[Problem], config: Config, device: torch.device) -> None:
        self._problems = problems
        self._config = config
        self._prompts = torch.tensor([encode(problem.prompt) for problem in problems], device=device)
        self._seed = int(stream("held-out samples").integers(2**62))

    def measure(self, model: Transformer) -> tuple[np.ndarray, dict[str, float]]:
        """float32 [problem] shares of drawn completions that are right, and what else was measured."""
        generator = torch.Generator(self._prompts.device).manual_seed(self._seed)
        prompts = self._prompts.repeat_interleave(self._config.eval_samples, dim=0)
        drawn = self._answered(model, prompts, generator)
        greedy = self._answered(model, self._prompts, None)
        scores = rewards_of(texts_of(drawn), self._problems).mean(axis=1).astype(np.float32)
        right = int(rewards_of(texts_of(greedy), self._problems).sum())
        measured = {
            "heldout_greedy": right / len(self._problems),
            "heldout_greedy_successes": float(right),
            "heldout_greedy_n": float(len(self._problems)),
            "heldout_max_token_hit_rate": float((~drawn.ended).float().mean()),
        }
        return scores, measured

    def _answered(self, model: Transformer, prompts: Tensor, generator: torch.Generator | None) -> Samples:
        return sample(model, prompts, end=END, max_tokens=self._config.max_tokens, generator=generator)
