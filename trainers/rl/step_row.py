"""What is told of a step? One row of numbers, by the names its users read."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trainers.rl.advantages import Weighed
from trainers.rl.config import RECENT_STEPS
from trainers.rl.problems import Asked
from trainers.rl.sampling import Samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A step that was taken, and all it was taken by."""

    #: counted from 1
    step: int
    problems: Sequence[Asked]
    #: of the completions, group by group
    texts: Sequence[str]
    #: [group, sample]
    rewards: np.ndarray
    samples: Samples
    #: [completion, token]
    planning: np.ndarray
    weighed: Weighed
    #: per token learned from, before the step; 0 where nothing was learned from
    loss: float
    #: completions learned from
    num_datums: int
    grad_norm: float
    sepa_lambda: float
    sepa_gate_open: bool
    sample_seconds: float
    step_seconds: float


@dataclass(slots=True, kw_only=True)
class Totals:
    """What adds up over the steps of a run."""

    correct: int = 0
    completions: int = 0
    #: prompts and completions
    tokens: int = 0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_STEPS))

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return {
            "correct": self.correct,
            "completions": self.completions,
            "tokens": self.tokens,
            "recent": list(self.recent),
        }

    @classmethod
    def from_json(cls, told: Any) -> Totals:
        """The totals that `to_json` told."""
        return cls(**{**told, "recent": deque(told["recent"], maxlen=RECENT_STEPS)})

    def add(self, batch: Batch) -> None:
        """Count a step."""
        self.correct += int(batch.rewards.sum())
        self.completions += batch.rewards.size
        self.tokens += int(batch.samples.generated.sum()) + int(batch.samples.prompts.read.sum())
        self.recent.append(float(batch.rewards.mean()))


def step_row(batch: Batch, totals: Totals) -> dict[str, float]:
    """The numbers of a step, which is counted into `totals`."""
    totals.add(batch)
    generated = batch.samples.generated.cpu().numpy()
    return {
        "correct_rate": float(batch.rewards.mean()),
        "running_correct_rate": totals.correct / totals.completions,
        "recent_correct_rate": float(np.mean(totals.recent)),
        "mean_reward": float(batch.rewards.mean()),
        **_ties(batch.rewards),
        **_entropies("", batch.weighed.surprise, generated, batch.planning),
        **_entropies("post_", batch.weighed.transformed, generated, batch.planning),
        "planning_share": float(batch.planning.sum() / generated.sum()),
        "sepa_lambda": batch.sepa_lambda,
        "sepa_gate_open": float(batch.sepa_gate_open),
        "max_token_hit_rate": float((~batch.samples.ended).float().mean()),
        "loss": batch.loss,
        "loss_is_placeholder": float(batch.num_datums == 0),
        "backend_reports_sync_loss": 1.0,
        "num_datums": float(batch.num_datums),
        "grad_norm": batch.grad_norm,
        "completion_tokens_mean": float(generated.sum(axis=1).mean()),
        "tokens": float(totals.tokens),
        "sample_seconds": batch.sample_seconds,
        "step_seconds": batch.step_seconds,
    }


def _ties(rewards: np.ndarray) -> dict[str, float]:
    """How much a batch of groups can teach.

    tie: share of the pairs of a group with equal rewards; uniform: share of groups with one reward only;
    unique: different rewards in a group over its samples.
    """
    n_sample = rewards.shape[1]
    equal = (rewards[:, :, None] == rewards[:, None, :]).sum(axis=(1, 2)) - n_sample
    different = np.array([len(np.unique(group)) for group in rewards])
    return {
        "reward_tie_rate": float(np.mean(equal / (n_sample * (n_sample - 1)))),
        "reward_uniform_rate": float(np.mean(different == 1)),
        "reward_unique_rate": float(np.mean(different / n_sample)),
    }


def _entropies(
    prefix: str, surprise: np.ndarray, generated: np.ndarray, planning: np.ndarray
) -> dict[str, float]:
    """Mean and variance of -log p over execution and planning tokens, nat; 0 where there are none."""
    told = {}
    for kind, where in (("exec", generated & ~planning), ("plan", generated & planning)):
        values = surprise[where]
        told[f"{prefix}{kind}_entropy_mean"] = float(values.mean()) if values.size else 0.0
        told[f"{prefix}{kind}_entropy_var"] = float(values.var()) if values.size else 0.0
    return told
