"""What is a round, once its spec has been validated? Plain values, as the daemon and the reports use them.

`round.json` in a round's folder is `Round.to_json()`; the spec file it was made from lies beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Self

from policies.evidence import BASELINE as BASELINE
from policies.evidence import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one run of a stage may spend, and where it is evaluated."""

    #: optimizer steps; decides. None until calibrated, or where the trainer has no steps
    max_steps: int | None
    #: seconds of training; kills
    time_budget_sec: float
    #: steps between evaluations; None leaves the points to the trainer
    eval_every: int | None = None
    #: examples of the evaluation set; None leaves the size to the trainer
    n_eval: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A level of effort of one task."""

    name: str
    budget: Budget
    #: in its evaluation set, as known before anything runs; None where only a run will tell
    examples: int | None = None
    #: independent ones among them, where the trainer tells
    clusters: int | None = None

    @property
    def independent_examples(self) -> int | None:
        """What the evaluation set is worth: clusters where some examples share one."""
        return self.clusters or self.examples


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A named change to the task's arguments."""

    name: str
    #: what the variant's own table says
    changes: Mapping[str, Any]
    #: the trainer's whole Config: args <- changes, defaults filled in
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChoice:
    """A policy by its file name, with its own options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerIdentity:
    """What of a trainer is part of the protocol, as read when the spec was accepted."""

    #: digest of the trainer's source files
    source: str
    #: digest of the data or inputs, from the trainer's `fingerprint`
    data: str
    #: digest by name behind `data`
    parts: Mapping[str, str] = field(default_factory=dict)
    #: installed version by distribution
    versions: Mapping[str, str] = field(default_factory=dict)
    #: False when the trainer cannot know all that a result depends on
    is_complete: bool = True


@dataclass(frozen=True, kw_only=True)
class Task:
    """One trainer with fixed arguments, one baseline and its variants."""

    name: str
    trainer: str
    #: the first slots' seeds, in slot order
    seeds: tuple[int, ...]
    #: batch sizes to probe, first choice first; one entry is taken as it is; empty leaves it to the trainer
    bsz: tuple[int, ...]
    objective: Objective
    policy: PolicyChoice
    stages: tuple[Stage, ...]
    #: `[tasks.args]` as written
    args: Mapping[str, Any]
    baseline: Variant
    variants: tuple[Variant, ...]
    #: name of the config whose step costs most
    costliest: str
    #: whether a budget in steps means something to the trainer
    has_steps: bool
    identity: TrainerIdentity

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every variant, in file order."""
        return tuple(variant.name for variant in self.variants)

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Place of every variant in file order, from 0 on."""
        return {name: place for place, name in enumerate(self.names)}

    def variant(self, name: str) -> Variant:
        """The variant (or baseline) called `name`. Raises KeyError."""
        return self.baseline if name == self.baseline.name else self.variants[self.places[name]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One pre-declared search."""

    id: str
    title: str
    priority: int
    #: ids of rounds that must be finished first
    after: tuple[str, ...]
    tasks: tuple[Task, ...]
    #: ways of judging to report, by name, with their options; none of them decides anything
    judge: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: whether all of it is run, whatever earlier rounds have run already
    fresh: bool = False

    def task(self, name: str) -> Task:
        """The task called `name`. Raises KeyError."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise KeyError(name)

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes an equal round."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The round written by `to_json`."""
        tasks = tuple(_task_from_json(task) for task in data["tasks"])
        return cls(
            id=data["id"],
            title=data["title"],
            priority=data["priority"],
            after=tuple(data["after"]),
            tasks=tasks,
            # rounds of before have none
            judge=data.get("judge", {}),
            fresh=data.get("fresh", False),
        )


def _task_from_json(data: Mapping[str, Any]) -> Task:
    return Task(
        name=data["name"],
        trainer=data["trainer"],
        seeds=tuple(data["seeds"]),
        bsz=tuple(data["bsz"]),
        objective=Objective(**data["objective"]),
        policy=PolicyChoice(**data["policy"]),
        stages=tuple(Stage(**{**stage, "budget": Budget(**stage["budget"])}) for stage in data["stages"]),
        args=data["args"],
        baseline=Variant(**data["baseline"]),
        variants=tuple(Variant(**variant) for variant in data["variants"]),
        costliest=data["costliest"],
        has_steps=data["has_steps"],
        identity=TrainerIdentity(**data["identity"]),
    )
