"""Which share of its peak has the learning rate at a step, and how far do two budgets agree on it?

Importable without torch, so that how far a run can be continued is known before anything runs.
"""

from __future__ import annotations

import math
from typing import Literal, Protocol

#: what is left of the learning rate at the end of a schedule that falls
FLOOR = 0.1


class Schedule(Protocol):
    """What a trainer's Config says of its learning rate."""

    @property
    def warmup(self) -> int:
        """Steps of linear warm-up."""

    @property
    def lr_schedule(self) -> Literal["cosine", "constant", "wsd"]:
        """What follows them."""

    @property
    def decay_share(self) -> float:
        """wsd: share of the steps, at the end, over which the learning rate falls."""


def learning_rate_factor(config: Schedule, step: int, max_steps: int) -> float:
    """The share of the peak learning rate at `step`, counted from 1."""
    if step <= config.warmup:
        return step / config.warmup
    match config.lr_schedule:
        case "constant":
            return 1.0
        case "wsd":
            stable = stable_steps(config, max_steps)
            if step <= stable:
                return 1.0
            return FLOOR + (1 - FLOOR) * (max_steps - step) / (max_steps - stable)
        case "cosine":
            progress = (step - config.warmup) / (max_steps - config.warmup)
            return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * progress)) / 2


def stable_steps(config: Schedule, max_steps: int) -> int:
    """wsd: the last step before the learning rate falls. Never less for a larger budget."""
    return max_steps - max(1, round(config.decay_share * max_steps))


def shared_steps(config: Schedule, max_steps: int, longer: int) -> int:
    """Steps, from the first on, that runs to `max_steps` and to `longer` take alike, bit for bit.

    0 for a cosine, which depends on the budget from the end of the warm-up on.
    """
    shorter = min(max_steps, longer)
    match config.lr_schedule:
        case "constant":
            return shorter
        case "wsd":
            return stable_steps(config, shorter)
        case "cosine":
            return 0
