"""What must be kept of a run so that another goes on from there as if nothing had happened?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from trainers._torch_state import load_state, save_state


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState:
    """All that the steps to come depend on, on the CPU.

    Nothing else is random: the model has no dropout, the first weights are in it, and prompts are continued
    from a seed of their own.
    """

    #: optimizer steps done
    step: int
    model: dict[str, Tensor]
    #: of each optimizer
    optimizer: list[dict[str, Any]]
    #: of the stream of windows, after the last one used
    position: Mapping[str, Any]
    #: float32 [step], of the training batches
    losses: Tensor


def save(state: TrainingState, folder: Path) -> None:
    parts = {"model": state.model, "optimizer": state.optimizer, "losses": state.losses}
    save_state(folder, step=state.step, position=state.position, parts=parts)


def load(folder: Path) -> TrainingState:
    """The state that `save` wrote."""
    return TrainingState(**load_state(folder))
