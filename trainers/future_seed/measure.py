"""How good is the model on a frozen evaluation set, and how sure is that?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainers.future_seed.batches import Batch, as_batch
from trainers.future_seed.config import GENERATOR_VERSION, Config
from trainers.future_seed.tasks import Examples
from trainers.future_seed.tasks.ceilings import ceilings_of_side_4
from trainers.prepared_data import prepared_arrays

#: positions in an evaluation batch; bounds its memory whatever the examples' length
BATCH_POSITIONS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The scores of one evaluation."""

    #: nat per masked cell, or answered token
    loss: float
    #: float32 [example]: the share of those that are right
    scores: np.ndarray
    #: int64 [example], equal for examples whose scores are correlated
    clusters: np.ndarray
    #: what else the task tells, by name; `chance` is the score of a guess
    extra: Mapping[str, float] = field(default_factory=dict)

    @property
    def acc(self) -> float:
        return float(self.scores.mean(dtype=np.float64))

    @property
    def exact_solve(self) -> float:
        """Share of examples in which everything is right."""
        return float((self.scores == 1).mean())

    @property
    def acc_se(self) -> float:
        """Standard error of the mean score, clustered."""
        return clustered_standard_error(self.scores, self.clusters)

    @property
    def n_clusters(self) -> int:
        return len(np.unique(self.clusters))


@torch.no_grad()
def measure(logits_of: Callable[[Batch], Tensor], examples: Examples, device: torch.device) -> Measurement:
    """Scores over the masked cells of `examples`, in batches."""
    losses, scores = [], []
    size = max(1, BATCH_POSITIONS // examples.tokens.shape[1])
    for batch in as_batch(examples).split(size):
        batch = batch.to(device)
        logits = logits_of(batch)
        losses.append(masked_loss(logits, batch.tokens, batch.masked))
        right = (logits.argmax(dim=-1) == batch.tokens) & batch.masked
        scores.append((right.sum(dim=1) / batch.masked.sum(dim=1)).float())
    # Read once, at the end: on a CUDA device each reading waits for all that was asked of it.
    all_losses, all_scores = torch.cat(losses).cpu(), torch.cat(scores).cpu().numpy()
    return Measurement(loss=float(all_losses.double().mean()), scores=all_scores, clusters=examples.clusters)


def masked_loss(logits: Tensor, tokens: Tensor, masked: Tensor) -> Tensor:
    """[example]: mean cross-entropy of `tokens` [example, position] where `masked` is True, nat."""
    loss = functional.cross_entropy(logits.flatten(0, 1).float(), tokens.flatten(), reduction="none")
    loss = loss.view(tokens.shape) * masked
    return loss.sum(dim=1) / masked.sum(dim=1)


def clustered_standard_error(scores: np.ndarray, clusters: np.ndarray) -> float:
    """Standard error of the mean when scores of one cluster are correlated; nan for a single cluster."""
    sums = np.bincount(clusters, weights=scores - scores.mean(dtype=np.float64))
    count = len(np.unique(clusters))
    if count < 2:
        return float("nan")
    return float(np.sqrt((sums**2).sum() * count / (count - 1)) / len(scores))


def ceilings(config: Config, cache_dir: Path) -> dict[str, float]:
    """The exact ceilings of the task where they are known and apply. Enumerated once: it takes half a second.

    They hold for cells that are filled at once. In the layout `prompt` the answer pass knows the true values
    of earlier cells, masked ones included, so they do not apply.
    """
    if config.task != "sudoku" or config.side != 4 or config.layout != "infill":
        return {}
    key = {
        "what": "future_seed: ceilings of sudoku of side 4",
        "generator": GENERATOR_VERSION,
        "masked": config.masked,
        "mask": config.mask,
    }

    def enumerated() -> dict[str, np.ndarray]:
        bounds = ceilings_of_side_4(config.masked, config.mask)
        return {"ceiling_left": np.array(bounds.left), "ceiling_all": np.array(bounds.all)}

    return {name: float(bound) for name, bound in prepared_arrays(cache_dir, key, enumerated).items()}
