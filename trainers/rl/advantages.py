"""What does each token of a completion deserve? From rewards to an advantage for every token.

Arrays: rewards are [group, sample], a group being the samples of one problem; all that is by token is
[completion, token] with a mask of the tokens that were generated. Pure; float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

Advantage = Literal["grpo", "maxrl"]
Transform = Literal["none", "gtpo", "gtpo_hicra", "gtpo_sepa"]

#: of MaxRL: added to a mean reward before dividing by it, and the mean at or below which nothing is learned
EPSILON = 1e-6
#: largest surprise of a token that counts, nat
MOST_SURPRISE = 50.0
#: a completion whose mean surprise is smaller is as good as certain everywhere, nat
_LEAST_MEAN_SURPRISE = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """The advantages by token, and the surprises that weighed them."""

    #: [completion, token]; 0 where nothing was generated
    advantages: Floats
    #: h = -log p of each token, nat, capped
    surprise: Floats
    #: the same as the transform left it
    transformed: Floats


def of_completions(rewards: Floats, kind: Advantage) -> Floats:
    """[group, sample]: `grpo` r - mean(r); `maxrl` (r - mean)/(mean + 1e-6), 0 where the mean is <= 1e-6."""
    mean = rewards.mean(axis=1, keepdims=True)
    centred = rewards - mean
    if kind == "grpo":
        return centred
    return np.where(mean > EPSILON, centred / (mean + EPSILON), 0.0)


def of_tokens(
    advantages: Floats,
    log_probabilities: Floats,
    *,
    generated: Mask,
    planning: Mask,
    transform: Transform,
    beta: float,
    alpha: float,
    sepa_lambda: float,
) -> Weighed:
    """The advantage of each completion [completion] spread over its tokens."""
    surprise = np.where(generated, np.minimum(-log_probabilities, MOST_SURPRISE), 0.0)
    spread = np.where(generated, advantages[:, None], 0.0)
    if transform == "none":
        return Weighed(advantages=spread, surprise=surprise, transformed=surprise)
    executing = generated & ~planning
    pooled = sepa(surprise, executing, sepa_lambda) if transform == "gtpo_sepa" else surprise
    weighed = spread * gtpo_weights(pooled, generated, beta)
    if transform == "gtpo_hicra":
        weighed = hicra(weighed, generated & planning, alpha)
    return Weighed(advantages=weighed, surprise=surprise, transformed=pooled)


def gtpo_weights(surprise: Floats, generated: Mask, beta: float) -> Floats:
    """GTPO: w = max(0, 1 + beta * (h/mean(h) - 1)), the mean over the completion's tokens."""
    mean = _mean(surprise, generated)
    is_surprised = mean > _LEAST_MEAN_SURPRISE
    relative = surprise / np.where(is_surprised, mean, 1.0)
    return np.where(is_surprised, np.maximum(0.0, 1.0 + beta * (relative - 1.0)), 1.0)


def hicra(advantages: Floats, planning: Mask, alpha: float) -> Floats:
    """HICRA: A + alpha * |A| on planning tokens."""
    return np.where(planning, advantages + alpha * np.abs(advantages), advantages)


def sepa(surprise: Floats, executing: Mask, share: float) -> Floats:
    """SEPA: on execution tokens h becomes share * mean(h over them) + (1 - share) * h."""
    pooled = share * _mean(surprise, executing) + (1.0 - share) * surprise
    return np.where(executing, pooled, surprise)


def _mean(values: Floats, where: Mask) -> Floats:
    """[completion, 1]: over the places of `where`; 0 where there is none."""
    number = where.sum(axis=1, keepdims=True)
    return (values * where).sum(axis=1, keepdims=True) / np.maximum(number, 1)
