"""Does seeding each layer with what the layer below has read let a causal RNN use what stands to its right?

Future-Seed on RWKV-7, trained from scratch on generated tasks, or on text from published weights. Importing
this package imports neither torch nor numpy; preparing and training do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from trainers._lr_schedule import shared_steps
from trainers.contract import Context, Evaluation
from trainers.future_seed.config import N_EVAL, Config, fingerprint
from trainers.future_seed.text.arguments import TEXT_TASKS

if TYPE_CHECKING:
    from trainers.future_seed.resumption import TrainingState
    from trainers.future_seed.training import Prepared

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

#: numpy makes the examples; the recurrence on CUDA is flash-linear-attention's where it is installed
DISTRIBUTIONS = ("torch", "numpy", "flash-linear-attention")

#: larger evaluation sets are not drawn only to count their solutions
MOST_COUNTED = 100_000


def examples(config: Config, n_eval: int | None) -> tuple[int, int | None] | None:
    """Examples in the evaluation set, and how many different solutions they are made from.

    Of a text task that asks for no number this is not known before the text is read.
    """
    if config.task in TEXT_TASKS:
        asked = n_eval or config.n_eval
        return None if asked is None else (asked, None)
    count = n_eval or config.n_eval or N_EVAL
    if count > MOST_COUNTED:
        return count, None
    from trainers.future_seed import tasks

    return count, tasks.count_clusters(tasks.evaluation_set(tasks.make_task(config), count))


def prepare(config: Config, context: Context) -> Prepared:
    """The model, the evaluation set and the first weights, on the CPU. Writes nothing but its cache."""
    from trainers.future_seed import training

    return training.prepare(config, context)


def train(prepared: Prepared, context: Context) -> Iterator[Evaluation]:
    """Train on `context.device`; an evaluation at every fixed point, the last at `context.max_steps`."""
    from trainers.future_seed import training

    return training.train(prepared, context)


def save(state: TrainingState, folder: Path) -> None:
    """Write a state that `train` gave to be kept into `folder`."""
    from trainers.future_seed import resumption

    resumption.save(state, folder)


def load(folder: Path) -> TrainingState:
    """The state that `save` wrote."""
    from trainers.future_seed import resumption

    return resumption.load(folder)


def resume(prepared: Prepared, state: TrainingState) -> Prepared:
    """`prepared`, for `train` to go on from `state`. Leaves `state` as it is."""
    from trainers.future_seed import training

    return training.resume(prepared, state)


def full_step(config: Config, context: Context) -> None:
    """One step and one evaluation batch at the longest sequence, so that a batch size that fits is known."""
    from trainers.future_seed import training

    training.full_step(config, context)


def cost(config: Config) -> float:
    """Relative cost of a step: multiplications per example, with a surcharge for the seeds' gradients."""
    channels, rank = config.d_model, config.lora_rank or config.default_lora_rank
    per_position = 12 * channels**2 + 8 * channels * rank + 4 * channels * config.head_size
    passes = 2 if config.layout == "prompt" and config.task not in TEXT_TASKS else 1
    # With weights n_layer is not known here, and neither is needed: configs of a task share them.
    seeded = 0.0 if config.gate == "none" else 0.02 * max(0, config.n_layer - max(1, config.layer_start))
    if config.detach:
        seeded /= 2
    return float(config.n_layer * per_position * config.n_token * passes) * (1 + seeded)
