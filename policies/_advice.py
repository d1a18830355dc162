"""What is a pruner of Optuna asked? The runs of a task that it may compare, as values that travel as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from policies._stop_rules import Advised
from policies.evidence import Direction

#: how a run stands, as Optuna tells trials apart
TrialOutcome = Literal["complete", "pruned", "failed", "running"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSeen:
    """One screening run: a trial of the study it is replayed into."""

    attempt_id: str
    outcome: TrialOutcome
    #: the objective's metric at its end, raw
    value: float | None
    #: (step, the objective's metric) at each evaluation so far
    points: tuple[tuple[int, float], ...]
    #: folder of the attempt below the round's `runs/`; it holds the scores of each evaluation where a rule
    #: compares examples
    run_dir: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """May the last of these runs go on, at its last evaluation?"""

    #: runs of one study are comparable: same task, stage and protocol
    study: str
    direction: Direction
    rules: tuple[Advised, ...]
    round: str
    #: in the order they began
    runs: tuple[RunSeen, ...]

    @property
    def attempt_id(self) -> str:
        """The run in question."""
        return self.runs[-1].attempt_id

    @property
    def step(self) -> int:
        """The evaluation in question."""
        return self.runs[-1].points[-1][0]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The question that was written as JSON."""
        runs = (
            RunSeen(**{**run, "points": tuple((step, value) for step, value in run["points"])})
            for run in data["runs"]
        )
        return cls(
            study=data["study"],
            direction=data["direction"],
            rules=tuple(Advised(**rule) for rule in data["rules"]),
            round=data["round"],
            runs=tuple(runs),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one rule said."""

    rule: str
    #: why the run should stop; None when it may go on
    reason: str | None = None
    #: why the rule could not tell
    error: str | None = None
