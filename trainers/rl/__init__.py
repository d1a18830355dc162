"""Which way of turning rewards into advantages teaches a policy the most? Addition with a checkable answer.

Importing this package imports neither torch nor numpy; preparing and training do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from trainers.contract import Context, Evaluation
from trainers.rl.config import N_EVAL, Config, fingerprint

if TYPE_CHECKING:
    from trainers.rl.resumption import TrainingState
    from trainers.rl.training import Prepared

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

#: the last two for published models only
DISTRIBUTIONS = ("torch", "numpy", "transformers", "peft")


def examples(config: Config, n_eval: int | None) -> tuple[int, int | None]:
    """Problems in the evaluation set, all different."""
    count = n_eval or config.n_eval or N_EVAL
    return count, count


def prepare(config: Config, context: Context) -> Prepared:
    """The base model and the problems, on the CPU. Writes nothing but its cache."""
    from trainers.rl import training

    return training.prepare(config, context)


def train(prepared: Prepared, context: Context) -> Iterator[Evaluation]:
    """Train on `context.device`; an evaluation after every step, held out at the fixed points."""
    from trainers.rl import training

    return training.train(prepared, context)


def shared_steps(config: Config, max_steps: int, longer: int) -> int:
    """All of the shorter run's: the learning rate is constant, and SEPA's ramp counts its own steps."""
    return min(max_steps, longer)


def save(state: TrainingState, folder: Path) -> None:
    """Write a state that `train` gave to be kept into `folder`."""
    from trainers.rl import resumption

    resumption.save(state, folder)


def load(folder: Path) -> TrainingState:
    """The state that `save` wrote."""
    from trainers.rl import resumption

    return resumption.load(folder)


def resume(prepared: Prepared, state: TrainingState) -> Prepared:
    """`prepared`, for `train` to go on from `state`. Leaves `state` as it is."""
    from trainers.rl import training

    return training.resume(prepared, state)


def full_step(config: Config, context: Context) -> None:
    """One step and one evaluation, so that a number of problems that fits is known."""
    from trainers.rl import training

    training.full_step(config, context)


def cost(config: Config) -> float:
    """Relative cost of a step: completions of a problem, at their longest."""
    return float(config.samples * config.max_tokens)
