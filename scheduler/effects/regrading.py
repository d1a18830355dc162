"""What does a trainer make of stored runs by other definitions? A child of it answers; nothing is written."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from scheduler.effects.child import run_child
from scheduler.effects.environment import worker_environment

#: for all runs of one question: a hundred thousand samples take some seconds
_SECONDS = 600.0
_ANSWER_BYTES = 64 * 2**20


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
        end = run_child(
            [sys.executable, "-P", "-m", "trainers", "regrade"],
            stdin=orjson.dumps(asked),
            seconds=_SECONDS,
            environment=worker_environment(os.environ),
            max_stdout_bytes=_ANSWER_BYTES,
        )
        told = orjson.loads(end.stdout)
    except OSError as error:
        raise RegradeError(f"trainer {trainer} could not be asked: {error}") from error
    except orjson.JSONDecodeError as error:
        said = end.stderr.decode(errors="replace").strip().splitlines()
        why = f"over its limit of {end.exceeded}" if end.exceeded else said[-1] if said else "no answer"
        raise RegradeError(f"trainer {trainer} could not be asked: {why}") from error
    if told["problem"] is not None:
        raise RegradeError(told["problem"])
    return Answer(version=told["version"], runs=tuple(Regraded(**run) for run in told["runs"]))
