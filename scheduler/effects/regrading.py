"""What does a trainer make of stored runs by other definitions? A child of it answers; nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scheduler.effects.trainers_child import NoAnswerError, answer_of

#: for all runs of one question: a hundred thousand samples take some seconds
_SECONDS = 600.0


class RegradeError(Exception):
    """The trainer gave no answer. The message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regraded:
    """One run, graded anew."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    #: set where it could not be graded
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """All runs of one question, in its order."""

    #: of the definitions that they were graded by
    version: str
    runs: tuple[Regraded, ...]


def regraded(home: Path, trainer: str, version: str | None, paths: Sequence[Path]) -> Answer:
    """The metrics of the runs at `paths` by the definitions of `version`; None is the trainer's latest.

    Raises RegradeError.
    """
    asked = {
        "home": str(home.absolute()),
        "trainer": trainer,
        "version": version,
        "paths": [str(path.absolute()) for path in paths],
    }
    try:
        told = answer_of("regrade", asked, seconds=_SECONDS)
    except NoAnswerError as error:
        raise RegradeError(str(error)) from error
    return Answer(version=told["version"], runs=tuple(Regraded(**run) for run in told["runs"]))
