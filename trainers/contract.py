"""What is a trainer? The values that pass between a trainer and the worker that runs it.

A trainer is one module in `trainers/` (or in `<home>/trainers/`) with, importable without torch,

    class Config(TrainerConfig): ...                                  # every argument, with its unit
    def fingerprint(config: Config) -> Fingerprint: ...               # what the data and inputs are

and, importing what is heavy inside them,

    def prepare(config: Config, context: Context) -> Prepared: ...    # CPU only; writes nothing but caches
    def train(prepared: Prepared, context: Context) -> Iterator[Evaluation]: ...

and optionally

    DISTRIBUTIONS = ("torch",)                       # packages whose versions are part of the protocol
    def full_step(config, context) -> None: ...      # forward, backward, optimizer at the longest sequence
    def cost(config) -> float: ...                   # relative cost of a step; the costliest is probed
    HAS_STEPS = True                                 # whether max_steps means something; may be a function
                                                     # of the config
    def examples(config, n_eval) -> tuple[int, int | None] | None: ...
                                                     # size of the evaluation set with the stage's n_eval, and
                                                     # how many of its examples are independent; importable
                                                     # without torch, so that it is known before anything runs
    ENDS_ITSELF = False                              # True: the trainer ends by itself, at the time budget
                                                     # and at a stop too; max_steps is only passed on

A trainer that stores what its metrics are made from can make them again by other definitions:

    DEFINITIONS = ("1", "2")                         # the versions of its metrics' definitions, latest last
    def regrade(path: Path, version: str) -> Mapping[str, float]: ...
                                                     # the metrics of the run whose folder or stored file
                                                     # `path` is; OSError where nothing is stored, ValueError
                                                     # for what cannot be graded; needs no torch

A trainer whose longer runs begin like its shorter ones can let them go on from there instead of training the
same steps again. It then has all four of

    def shared_steps(config, max_steps, longer) -> int: ...    # the steps that runs to `max_steps` and to
                                                     # `longer` have in common, bit for bit, from the first
                                                     # on; 0 where the schedule depends on the budget
    def save(state, folder) -> None: ...             # writes a state into an empty folder
    def load(folder) -> State: ...                   # and reads it
    def resume(prepared, state) -> Prepared: ...     # CPU only: `train` then begins after the state's step,
                                                     # and leaves the state as it is

and its `train` gives `context.keep` its state after step `context.keep_step`, before it yields the evaluation
of that step. A state is a copy, in main memory, of all that later steps depend on: weights, optimizer, random
generators, the place in the data. From then on a resumed run yields the same evaluations at the same steps as
one that was never interrupted. What a checkpoint is worth is never taken on trust: one that does not fit is
left alone, and the run begins with its first step.

`fingerprint` may depend on protocol fields only. All functions run with the home as the working directory, so
that relative paths mean the same in every process. A trainer contains no scheduling: it yields an evaluation
at each fixed point, and the worker owns the budget, the stop and the files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    import numpy as np


class TrainerConfig(BaseModel):
    """Base of every trainer's `Config`: frozen, and an argument it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def protocol_field(default: Any = ..., **constraints: Any) -> Any:
    """A Config field that a variant may not change: data, evaluation, layout, batch size."""
    return Field(default, json_schema_extra={"protocol": True}, **constraints)


def protocol_fields(config_type: type[TrainerConfig]) -> frozenset[str]:
    """Names of the fields of `config_type` made by `protocol_field`."""
    return frozenset(
        name
        for name, info in config_type.model_fields.items()
        if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get("protocol")
    )


def argument_problems(problems: Sequence[tuple[str | None, str]]) -> PydanticCustomError:
    """The error by which a Config's validator reports several problems at once, as (field, message)."""
    said = "; ".join(message for _, message in problems)
    return PydanticCustomError("argument_problems", "{said}", {"said": said, "problems": list(problems)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What a result depends on beside the arguments: generated or local data, inputs of a command."""

    #: hex digest of everything in `parts`
    digest: str
    #: False when the trainer cannot know all that the result depends on; nothing is then cached across rounds
    is_complete: bool = True
    #: digest by name (a file, "git", "eval set"), so that a change can be named
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a run may know of its surroundings. Holds no decision and no handle on the daemon."""

    seed: int
    stage: str
    #: the trainer's last evaluation is at this step; None where the trainer has no steps (a command)
    max_steps: int | None
    #: the worker ends the run at the first evaluation after this many seconds of training
    time_budget_sec: float
    #: steps between evaluations; None leaves the points to the trainer, which fixes them from max_steps alone
    eval_every: int | None
    #: examples in the evaluation set; None leaves the size to the trainer
    n_eval: int | None
    #: examples in a training batch; None leaves it to the trainer
    bsz: int | None
    #: "cpu" or "cuda:0"
    device: str
    #: threads the run may use on the CPU
    threads: int
    #: prepared data may be kept here, named by content: see trainers/prepared_data.py
    cache_dir: Path
    #: the run's own folder; None in `prepare`, which runs before the run exists
    run_dir: Path | None = None
    #: True once the run should end before its time. The worker sees to it at every evaluation; only a trainer
    #: that waits for another program has to ask
    is_stopping: Callable[[], bool] = field(default=lambda: False, compare=False)
    #: the step after which the trainer gives its state to `keep`; None where nobody wants it
    keep_step: int | None = None
    #: holds a state, for a longer run to go on from it
    keep: Callable[[Any], None] = field(default=lambda state: None, compare=False)

    def in_run(self, run_dir: Path) -> Context:
        """The same surroundings, now that the run has its folder."""
        return replace(self, run_dir=run_dir)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The state of a run at one fixed evaluation point."""

    #: optimizer steps done (for a command: its own step, or the count of its evaluations)
    step: int
    #: mean loss over the evaluation set, nat; None where the trainer has none
    loss: float | None
    #: mean score over the evaluation set, 0..1; None where the trainer has none
    acc: float | None
    #: float32 [n_examples]: a score per example; None where the trainer has none
    scores: np.ndarray[Any, Any] | None = None
    #: further named metrics; an objective may name one of them. `chance`, the accuracy of a guess, lets a run
    #: that merely guesses be stopped
    extra: Mapping[str, float] = field(default_factory=dict)
    #: examples in the evaluation set; taken from `scores` when those are given
    n_eval: int | None = None
    #: independent ones among them, where several share a document or a puzzle grid
    n_clusters: int | None = None
    #: seconds this evaluation took, where the trainer measured them
    eval_seconds: float | None = None


class TimeBudgetReached(Exception):
    """A trainer that ends itself ended its program because `time_budget_sec` was over."""


class StopObserved(Exception):
    """A trainer that ends itself ended its program because `is_stopping` said so."""


class TrainerError(Exception):
    """A failure the trainer understands. Raised with the failure class that fits it.

    Anything else that a trainer raises is classified from its type and text by the worker.
    """

    failure_class = "crash"
    #: the Config field it is about, where there is one
    field: str | None = None


class DataError(TrainerError):
    """The data is missing, too small or malformed. The message says what was found and what was wanted."""

    failure_class = "data"


class BadArgumentsError(TrainerError):
    """The arguments cannot work, whatever the data."""

    failure_class = "bad_args"
