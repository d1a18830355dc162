"""What does a child of the trainers answer? To questions that take packages which nothing here imports."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import orjson

from scheduler.effects.child import run_child
from scheduler.effects.environment import worker_environment

_ANSWER_BYTES = 64 * 2**20


class NoAnswerError(Exception):
    """The child gave no answer, or a problem for one. The message says why, and what to do."""


def answer_of(verb: str, question: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
    """What `python -m trainers VERB` says to `question`. Raises NoAnswerError."""
    try:
        end = run_child(
            [sys.executable, "-P", "-m", "trainers", verb],
            stdin=orjson.dumps(question),
            seconds=seconds,
            environment=worker_environment(os.environ),
            max_stdout_bytes=_ANSWER_BYTES,
        )
        told: dict[str, Any] = orjson.loads(end.stdout)
    except OSError as error:
        raise NoAnswerError(f"the trainers could not be asked: {error}") from error
    except orjson.JSONDecodeError as error:
        said = end.stderr.decode(errors="replace").strip().splitlines()
        why = f"over its limit of {end.exceeded}" if end.exceeded else said[-1] if said else "no answer"
        raise NoAnswerError(f"the trainers could not be asked: {why}") from error
    if told["problem"] is not None:
        raise NoAnswerError(told["problem"])
    return told
