"""How well does a small language model learn a text, and how far apart do equal runs of it end?

A decoder-only Transformer, trained from scratch on files or on tales that are made on the spot. Importing
this package imports neither torch nor numpy; preparing and training do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from trainers._lr_schedule import shared_steps
from trainers.contract import Context, Evaluation
from trainers.lm.config import N_EVAL, Config, fingerprint

if TYPE_CHECKING:
    from trainers.lm.resumption import TrainingState
    from trainers.lm.training import Prepared

__all__ = [
    "DISTRIBUTIONS",
    "Config",
    "cost",
    "examples",
    "fingerprint",
    "full_step",
    "load",
    "prepare",
    "resume",
    "save",
    "shared_steps",
    "train",
]

#: numpy draws the windows; tokenizers learns the byte pairs where it is installed
DISTRIBUTIONS = ("torch", "numpy", "tokenizers")


def examples(config: Config, n_eval: int | None) -> tuple[int, int | None]:
    """Windows in the validation set; how many documents they lie in is known once the text is read."""
    return n_eval or config.n_eval or N_EVAL, None


def prepare(config: Config, context: Context) -> Prepared:
    """The text in tokens, the validation set and the first weights, on the CPU. Writes only its cache."""
    from trainers.lm import training

    return training.prepare(config, context)


def train(prepared: Prepared, context: Context) -> Iterator[Evaluation]:
    """Train on `context.device`; evaluations at step 0 and at every fixed point, the last at `max_steps`."""
    from trainers.lm import training

    return training.train(prepared, context)


def save(state: TrainingState, folder: Path) -> None:
    """Write a state that `train` gave to be kept into `folder`."""
    from trainers.lm import resumption

    resumption.save(state, folder)


def load(folder: Path) -> TrainingState:
    """The state that `save` wrote."""
    from trainers.lm import resumption

    return resumption.load(folder)


def resume(prepared: Prepared, state: TrainingState) -> Prepared:
    """`prepared`, for `train` to go on from `state`. Leaves `state` as it is."""
    from trainers.lm import training

    return training.resume(prepared, state)


def full_step(config: Config, context: Context) -> None:
    """One step and one evaluation batch at the longest sequence, so that a batch size that fits is known."""
    from trainers.lm import training

    training.full_step(config, context)


def cost(config: Config) -> float:
    """Relative cost of a step: multiplications per window, those of attention and the output included."""
    channels, length = config.d_model, config.context
    per_position = config.n_layer * (12 * channels**2 + 2 * channels * length) + channels * config.n_vocab
    return float(per_position * length)
