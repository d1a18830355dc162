"""What does a spec say once inheritance, defaults and grids are worked out, before its trainers are asked?

Plain values that travel from the child that reads the file to the process that resolves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from policies.evidence import Objective
from scheduler.rounds.round import BASELINE, Budget, PolicyChoice, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDraft:
    """A task without what only its trainer knows."""

    #: position in the file
    index: int
    name: str
    trainer: str
    seeds: tuple[int, ...]
    bsz: tuple[int, ...]
    objective: Objective
    policy: PolicyChoice
    stages: tuple[Stage, ...]
    args: Mapping[str, Any]
    baseline: Mapping[str, Any]
    #: own table by name, in run order: those written out, then the grid's
    variants: Mapping[str, Mapping[str, Any]]
    #: values by axis; a variant that is not in `written` is one of its combinations
    grid: Mapping[str, tuple[Any, ...]]
    #: names of the variants that have a table in the file
    written: tuple[str, ...]

    def request(self) -> dict[str, Any]:
        """The task as `python -m trainers check` is asked about it."""
        return {
            "name": self.name,
            "trainer": self.trainer,
            "args": self.args,
            "configs": {BASELINE: self.baseline, **self.variants},
            "stages": [{"name": stage.name, **asdict(stage.budget)} for stage in self.stages],
        }

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes an equal draft. Shares its tables with the draft."""
        # asdict would copy every table of every variant
        return {
            **{known.name: getattr(self, known.name) for known in fields(self)},
            "objective": asdict(self.objective),
            "policy": asdict(self.policy),
            "stages": [asdict(stage) for stage in self.stages],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The draft written by `to_json`."""
        return cls(
            index=data["index"],
            name=data["name"],
            trainer=data["trainer"],
            seeds=tuple(data["seeds"]),
            bsz=tuple(data["bsz"]),
            objective=Objective(**data["objective"]),
            policy=PolicyChoice(**data["policy"]),
            stages=tuple(Stage(name=s["name"], budget=Budget(**s["budget"])) for s in data["stages"]),
            args=data["args"],
            baseline=data["baseline"],
            variants=data["variants"],
            grid={axis: tuple(values) for axis, values in data["grid"].items()},
            written=tuple(data["written"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A round whose tasks are drafts.

    When the file has problems, it holds the tasks that a trainer can still be asked about.
    """

    id: str
    title: str
    priority: int
    after: tuple[str, ...]
    tasks: tuple[TaskDraft, ...]
    #: ways of judging to report, by name, with their options
    judge: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: whether nothing of earlier rounds is reused
    fresh: bool = False

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes an equal draft."""
        return {
            "id": self.id,
            "title": self.title,
            "priority": self.priority,
            "after": self.after,
            "tasks": [task.to_json() for task in self.tasks],
            "judge": self.judge,
            "fresh": self.fresh,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The draft written by `to_json`."""
        return cls(
            id=data["id"],
            title=data["title"],
            priority=data["priority"],
            after=tuple(data["after"]),
            tasks=tuple(TaskDraft.from_json(task) for task in data["tasks"]),
            judge=data["judge"],
            fresh=data["fresh"],
        )
