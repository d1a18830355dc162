"""What is a line of foreign records? One row per run or decision, in the words of this project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["run", "decision", "probe"]
#: "reused": an earlier run's reading, written down again without running; "skipped": nothing ran
Outcome = Literal["ok", "failed", "reused", "skipped"]

#: where scripts wrote the seed into a task's name
SEED_IN_NAME = re.compile(r"_seed(\d+)(?=_|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a record file."""

    source: str
    line: int
    kind: Kind
    task: str
    #: in our words; of a decision, the stage it was taken about
    stage: str
    config: str
    outcome: Outcome
    #: the values are maxima (of the loss minima) over evaluations unless the row has others
    acc: float | None = None
    loss: float | None = None
    #: whether `acc` is the best of several evaluations
    is_best_over_evals: bool = False
    seed: int | None = None
    bsz: int | None = None
    run_dir: str = ""
    error: str = ""
    failure_class: str | None = None
    #: why a decision was taken, in the words of the script
    reason: str = ""
    round: str | None = None
    #: all that a signature tells of the protocol; empty where there is none
    signature: Mapping[str, str] = field(default_factory=dict)
    protocol: str | None = None
    best_step: int | None = None
    last_step: int | None = None
    started_seconds: float | None = None
    wall_seconds: float | None = None
    #: digest of the line as an object, by which a copy of it is known
    digest: str = ""

    @property
    def has_reading(self) -> bool:
        return self.kind == "run" and self.outcome in ("ok", "reused") and self.value is not None

    @property
    def value(self) -> float | None:
        """Accuracy in pp where there is one, else the loss with its sign turned: more is better."""
        if self.acc is not None:
            return 100.0 * self.acc
        return None if self.loss is None else -self.loss

    @property
    def family(self) -> str:
        """The task's name without the seed that scripts wrote into it."""
        return SEED_IN_NAME.sub("", self.task)

    @property
    def scope(self) -> tuple[str, ...]:
        """Rows of equal scope share their task's arguments, and differ in stage, config and seed only.

        Without a signature nothing tells that for rows of different files.
        """
        if self.signature:
            return (self.family, *(f"{key}={value}" for key, value in sorted(self.signature.items())))
        return (self.source, self.round or "", self.task)

    @property
    def place(self) -> str:
        return f"{self.source}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A line that could not be read, or a file where `line` is None."""

    source: str
    line: int | None
    text: str

    def __str__(self) -> str:
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        return f"{place}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFile:
    """What one file holds."""

    source: str
    sha256: str = ""
    rows: tuple[Row, ...] = ()
    problems: tuple[Problem, ...] = ()
    #: the last line, where it was not written to its end
    torn_line: int | None = None

    @property
    def is_unreadable(self) -> bool:
        return any(problem.line is None for problem in self.problems)
