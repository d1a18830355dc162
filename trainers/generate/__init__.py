"""Which sampling parameters write answers that keep their bounds? Samples, all kept, and figures about them.

A parameter set answers the prompts with a small base model, which is trained once and shared by all runs.
Nothing is trained after that: a step is a sample. Importing this package imports neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from trainers.contract import Context, Evaluation
from trainers.generate.config import Config, examples, fingerprint
from trainers.generate.metrics import DEFINITIONS as _DEFINITIONS

if TYPE_CHECKING:
    from trainers.generate.run import Prepared

__all__ = [
    "DEFINITIONS",
    "DISTRIBUTIONS",
    "HAS_STEPS",
    "Config",
    "cost",
    "examples",
    "fingerprint",
    "full_step",
    "prepare",
    "regrade",
    "train",
]

DISTRIBUTIONS = ("torch", "numpy", "tokenizers")

#: how many samples a run has is the stage's n_eval: they are what is measured, and nothing learns from them
HAS_STEPS = False

#: the versions of the metrics' definitions, latest last
DEFINITIONS = tuple(_DEFINITIONS)


def prepare(config: Config, context: Context) -> Prepared:
    """The base model and the prompts. The first run of a home trains the base model, which takes 83 s."""
    from trainers.generate import run

    return run.prepare(config, context)


def train(prepared: Prepared, context: Context) -> Iterator[Evaluation]:
    """An evaluation of all samples so far after each shard; every sample is in the run's samples.jsonl."""
    from trainers.generate import run

    return run.sample(prepared, context)


def full_step(config: Config, context: Context) -> None:
    """One batch of samples, as long as they may get, and the critic's opinion on them."""
    from trainers.generate import run

    run.full_step(config, context)


def cost(config: Config) -> float:
    """The longer a sample may get, the longer it takes."""
    return float(config.max_new_tokens)


def regrade(path: Path, version: str) -> Mapping[str, float]:
    """The metrics of a run from its stored samples, by the definitions of `version`.

    Raises OSError where no samples lie, and ValueError for what cannot be graded.
    """
    from trainers.generate import metrics, samples

    file = path / samples.FILE_NAME if path.is_dir() else path
    return metrics.graded(samples.read(file), metrics.definitions(version))
