"""What do tokens say? Completions as text, their rewards, and which of their tokens plan."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainers.rl.planning import Mode, planning_mask
from trainers.rl.policy import Policy
from trainers.rl.problems import Asked
from trainers.rl.reward import reward
from trainers.rl.sampling import Samples


def texts_of(policy: Policy, samples: Samples) -> list[str]:
    """The completions in words, without the end token."""
    rows = zip(samples.tokens.tolist(), samples.lengths.tolist(), strict=True)
    return [policy.text(tokens[:length]) for tokens, length in rows]


def rewards_of(texts: Sequence[str], problems: Sequence[Asked]) -> np.ndarray:
    """[group, sample]: of completions that follow each other problem by problem, as many of each."""
    n_sample = len(texts) // len(problems)
    told = [reward(text, problems[place // n_sample].reference) for place, text in enumerate(texts)]
    return np.array(told).reshape(len(problems), n_sample)


def planning_of(policy: Policy, samples: Samples, mode: Mode) -> np.ndarray:
    """[completion, token]: True where a generated token plans."""
    mask = np.zeros(tuple(samples.tokens.shape), dtype=bool)
    rows = zip(samples.tokens.tolist(), samples.lengths.tolist(), strict=True)
    for row, (tokens, length) in enumerate(rows):
        mask[row, :length] = planning_mask(policy.words(tokens[:length]), mode)
    return mask
