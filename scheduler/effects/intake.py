"""Is this dropped file a round? Two children tell: one reads the bytes, one asks the trainers.

Nothing a file holds can slow down, enlarge or end the process that asks.
"""

from __future__ import annotations

import hashlib
import math
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import orjson

from scheduler.decide.inputs import SpecChecked
from scheduler.effects.child import ChildEnd, run_child
from scheduler.effects.environment import worker_environment
from scheduler.rounds.draft import Draft
from scheduler.rounds.parse import MAX_BYTES, SUFFIXES
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.problems import printable, rendered
from scheduler.rounds.redaction import redacted, without
from scheduler.rounds.resolve import UnusableAnswerError, request, resolved, trainer_problems

#: processor seconds that reading a file may take
PARSE_SECONDS = 2.0
#: wall seconds for the same, on a machine that is busy with training
_PARSE_WALL_SECONDS = 30.0
#: wall seconds for the trainers: imports, and reading what the result depends on
TRAINERS_SECONDS = 60.0

#: bytes of a child's answer: 10,000 variants with whole configs of 3 kB; more would enlarge the daemon
_ANSWER_BYTES = 32 * 1024 * 1024


class _CheckError(Exception):
    """A child gave no answer. The message tells a person why, and what to do."""


def check_spec(
    data: bytes,
    file: str,
    home: HomePaths,
    *,
    parse_seconds: float = PARSE_SECONDS,
    trainers_seconds: float = TRAINERS_SECONDS,
    environment: Mapping[str, str] | None = None,
) -> SpecChecked:
    """What the file `file` with the bytes `data` is: a round, or all its problems.

    Never raises for what a file or a trainer holds. May be called in any thread. `environment` is what
    trainers see, by default the allowed part of this process's.
    """
    suffix = PurePath(file).suffix.lower()
    if environment is None:
        environment = worker_environment(os.environ)
    secrets: dict[str, str] = {}
    try:
        spec, problems = _checked(data, file, home, parse_seconds, trainers_seconds, environment)
        spec = redacted(spec, secrets)
    except _CheckError as error:
        spec, problems = None, (str(error),)
    return SpecChecked(
        file=file,
        sha256=hashlib.sha256(data).hexdigest(),
        suffix=suffix,
        spec=spec,
        problems=problems,
        secrets=secrets,
    )


def rejection_text(checked: SpecChecked) -> str:
    """What `<file>.why.txt` says: every problem with its place, and what to do."""
    count = len(checked.problems)
    lines = [
        f"{printable(checked.file)} was not accepted: {count} problem{'' if count == 1 else 's'}.",
        "",
        *(f"  {problem}" for problem in checked.problems),
        "",
        "Correct the file and put it into queue/ again; nothing of it has run.",
        "`schedctl validate FILE` says the same without queueing it. docs/round-spec.md tells every key.",
        *([f"sha256 of the rejected bytes: {checked.sha256}"] if checked.sha256 else []),
    ]
    return "\n".join(lines) + "\n"


def _checked(
    data: bytes,
    file: str,
    home: HomePaths,
    parse_seconds: float,
    trainers_seconds: float,
    environment: Mapping[str, str],
) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """The round as JSON, or every problem."""
    refused = _refused_unread(data, file)
    if refused is not None:
        return None, (refused,)
    read = _read(data, file, parse_seconds, environment)
    problems: tuple[str, ...] = tuple(read["problems"])
    draft = Draft.from_json(read["draft"]) if read["draft"] is not None else None
    if draft is None or not draft.tasks:
        return None, problems
    try:
        answer = _ask_trainers(draft, home, trainers_seconds, environment)
        told = _without_secrets(rendered(trainer_problems(draft, answer)), draft)
        problems = rendered([*problems, *told])
        return (None, problems) if problems else (resolved(draft, answer).to_json(), ())
    except (_CheckError, UnusableAnswerError) as error:
        return None, (*problems, _sentence(error))


def _without_secrets(problems: tuple[str, ...], draft: Draft) -> tuple[str, ...]:
    """A trainer may quote what it was given."""
    secrets: dict[str, str] = {}
    redacted(draft.to_json(), secrets)
    return tuple(without(problem, secrets) for problem in problems) if secrets else problems


def _refused_unread(data: bytes, file: str) -> str | None:
    if PurePath(file).suffix.lower() not in SUFFIXES:
        return f"the file must be called *.toml or *.json (found {printable(file)})"
    if len(data) > MAX_BYTES:
        return f"the file has {len(data)} bytes; at most {MAX_BYTES} are read"
    return None


def _read(data: bytes, file: str, parse_seconds: float, environment: Mapping[str, str]) -> Any:
    """What `python -m scheduler.rounds` answers. Raises _CheckError."""
    cpu_seconds = math.ceil(parse_seconds)
    end = _run(
        ["-m", "scheduler.rounds", PurePath(file).name, str(cpu_seconds)],
        data,
        _PARSE_WALL_SECONDS,
        environment,
    )
    if end.exceeded == "time":
        raise _CheckError(
            f"the file could not be read within {_PARSE_WALL_SECONDS:.0f} s; if the machine was busy, put it"
            " into queue/ again"
        )
    if -end.returncode in (signal.SIGXCPU, signal.SIGKILL):
        raise _CheckError(
            f"reading the file took more than {cpu_seconds} s of processor time; a spec with long dotted"
            " keys, deep nesting or a very large grid must be written more simply"
        )
    return _answer(end, "the file could not be read")


def _ask_trainers(
    draft: Draft, home: HomePaths, trainers_seconds: float, environment: Mapping[str, str]
) -> Any:
    """What `python -m trainers check` answers. Raises _CheckError."""
    question = orjson.dumps(request(draft, str(home.root.absolute())))
    end = _run(["-m", "trainers", "check"], question, trainers_seconds, environment, home.root)
    if end.exceeded == "time":
        raise _CheckError(
            f"the trainers did not answer within {trainers_seconds:.0f} s: reading what a task depends"
            " on takes too long; give it fewer or smaller inputs"
        )
    return _answer(end, "the trainers could not be asked")


def _run(
    arguments: list[str],
    stdin: bytes,
    seconds: float,
    environment: Mapping[str, str],
    cwd: Path | None = None,
) -> ChildEnd:
    # -P: neither the home nor the current folder may hide a module
    argv = [sys.executable, "-P", *arguments]
    try:
        return run_child(
            argv,
            stdin=stdin,
            seconds=seconds,
            environment=environment,
            max_stdout_bytes=_ANSWER_BYTES,
            cwd=cwd,
        )
    except OSError as error:
        raise _CheckError(
            f"the check could not be started: {error}; put the file into queue/ again"
        ) from error


def _answer(end: ChildEnd, what: str) -> Any:
    """The JSON on the last line that the child wrote. Raises _CheckError with what it said instead."""
    if end.exceeded == "output":
        raise _CheckError(
            f"{what}: all its variants' arguments take more than {_ANSWER_BYTES >> 20} MiB; split it up"
        )
    if end.returncode < 0:
        name = signal.Signals(-end.returncode).name
        raise _CheckError(f"{what}: the check was ended by {name} (out of memory?)")
    try:
        if end.returncode == 0:
            return orjson.loads(end.stdout.strip().rpartition(b"\n")[2])
    except orjson.JSONDecodeError:
        pass
    said = printable(end.stderr.decode(errors="replace").strip().rpartition("\n")[2])
    raise _CheckError(f"{what}: the check ended with status {end.returncode}: {said or 'it said nothing'}")


def _sentence(error: Exception) -> str:
    words = str(error)
    return words if isinstance(error, _CheckError) else f"the trainers gave no usable answer: {words}"
