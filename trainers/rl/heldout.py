"""How good is the policy on problems that no training has seen? Drawn as in training, and greedily."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from trainers.rl.addition import stream
from trainers.rl.completions import rewards_of, texts_of
from trainers.rl.config import Config
from trainers.rl.policy import Policy, Prompts
from trainers.rl.problems import Asked
from trainers.rl.sampling import Samples, sample


class HeldOut:
    """The frozen problems. They are answered with the same random numbers in every run and at every point."""

    def __init__(self, problems: Sequence[Asked], config: Config) -> None:
        self._problems = problems
        self._config = config
        self._seed = int(stream("held-out samples").integers(2**62))

    def measure(self, policy: Policy) -> tuple[np.ndarray, dict[str, float]]:
        """float32 [problem] shares of drawn completions that are right, and what else was measured."""
        prompts = policy.prompts([problem.prompt for problem in self._problems])
        generator = torch.Generator(prompts.tokens.device).manual_seed(self._seed)
        drawn = self._answered(policy, prompts.repeated(self._config.eval_samples), generator)
        greedy = self._answered(policy, prompts, None)
        scores = rewards_of(texts_of(policy, drawn), self._problems).mean(axis=1).astype(np.float32)
        right = int(rewards_of(texts_of(policy, greedy), self._problems).sum())
        measured = {
            "heldout_greedy": right / len(self._problems),
            "heldout_greedy_successes": float(right),
            "heldout_greedy_n": float(len(self._problems)),
            "heldout_max_token_hit_rate": float((~drawn.ended).float().mean()),
        }
        return scores, measured

    def _answered(self, policy: Policy, prompts: Prompts, generator: torch.Generator | None) -> Samples:
        return sample(policy, prompts, max_tokens=self._config.max_tokens, generator=generator)
