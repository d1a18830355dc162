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
    """All that the steps after `step` depend on, as a copy in main memory."""

    step: int
    #: what JSON can hold: the stream of problems, SEPA's gate, the totals, and the rows of the steps so far
    position: Mapping[str, Any]
    #: what is trained of the model
    model: dict[str, Tensor]
    #: averages, step counts and settings, as the optimizer tells them
    optimizer: dict[str, Any]
    #: of the generator that draws tokens; of one on a CUDA device it only goes on on such a device
    drawing: Tensor


def save(state: TrainingState, folder: Path) -> None:
    """Write `state` into `folder`."""
    parts = {"model": state.model, "optimizer": state.optimizer, "drawing": state.drawing}
    save_state(folder, step=state.step, position=state.position, parts=parts)


def load(folder: Path) -> TrainingState:
    """The state that `save` wrote."""
    return TrainingState(**load_state(folder))
