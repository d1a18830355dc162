"""Is this dropped file a round? Two children tell: one reads the bytes, one asks the trainers.

Nothing a file holds can slow down, enlarge or end the process that asks, nor hold up another file.
"""

from __future__ import annotations

import hashlib
import math
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import orjson

from scheduler.decide.inputs import SpecChecked
from scheduler.effects.child import ChildEnd, run_child
from scheduler.effects.environment import worker_environment
from scheduler.rounds.draft import Draft
from scheduler.rounds.parse import ANSWER_BYTES, MAX_BYTES, SUFFIXES, WALL_SECONDS
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.problems import printable, rendered
from scheduler.rounds.redaction import redacted, without
from scheduler.rounds.resolve import UnusableAnswerError, request, resolved, trainer_problems

#: processor seconds that reading a file may take
PARSE_SECONDS = 2.0
#: wall seconds for the child that reads to start, beside what it may take for each file
_START_SECONDS = 30.0
#: wall seconds for the trainers: imports, and reading what the result depends on
TRAINERS_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A file as it was read from the queue."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Draught:
    """What a file says by itself, before its trainers are asked."""

    #: None where there is nothing to ask about
    draft: Draft | None
    problems: tuple[str, ...] = ()


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
    if environment is None:
        environment = worker_environment(os.environ)
    found: list[Draught] = []
    dropped = Dropped(name=file, data=data)
    read_specs([dropped], lambda _, read: found.append(read), environment, parse_seconds=parse_seconds)
    return checked(dropped, found[0], home, environment, trainers_seconds=trainers_seconds)


def read_specs(
    files: Sequence[Dropped],
    tell: Callable[[int, Draught], None],
    environment: Mapping[str, str],
    *,
    parse_seconds: float = PARSE_SECONDS,
    is_wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Read files in a child, and `tell` what each says, by its number in `files`: every one, once.

    The first that is done is told first. Ends at once when it `is_wanted` no more.
    """
    left = dict(enumerate(files))
    for number, dropped in enumerate(files):
        refused = _refused_unread(dropped)
        if refused is not None:
            del left[number]
            tell(number, Draught(draft=None, problems=(refused,)))
    if not left:
        return
    numbers = list(left)
    cpu_seconds = math.ceil(parse_seconds)

    def hear(line: bytes) -> None:
        answer = orjson.loads(line)
        number = numbers[answer["number"]]
        del left[number]
        tell(number, _draught(answer, cpu_seconds))

    try:
        end = _run(
            ["-m", "scheduler.rounds", str(cpu_seconds)],
            _request(list(left.values())),
            _START_SECONDS + WALL_SECONDS * len(left),
            environment,
            hear=hear,
            is_wanted=is_wanted,
        )
        problem = f"the file could not be read: {_said(end)}"
    except _CheckError as error:
        problem = str(error)
    for number in list(left) if is_wanted() else ():
        tell(number, Draught(draft=None, problems=(problem,)))


def checked(
    dropped: Dropped,
    read: Draught,
    home: HomePaths,
    environment: Mapping[str, str],
    *,
    trainers_seconds: float = TRAINERS_SECONDS,
    is_wanted: Callable[[], bool] = lambda: True,
) -> SpecChecked:
    """What a file that was read is, once its trainers have been asked."""
    secrets: dict[str, str] = {}
    spec, problems = None, read.problems
    if read.draft is not None and read.draft.tasks:
        try:
            spec, problems = _resolved(read, read.draft, home, trainers_seconds, environment, is_wanted)
            spec = redacted(spec, secrets)
        except (_CheckError, UnusableAnswerError) as error:
            problems = (*problems, _sentence(error))
    return SpecChecked(
        file=dropped.name,
        sha256=hashlib.sha256(dropped.data).hexdigest(),
        suffix=PurePath(dropped.name).suffix.lower(),
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


def _resolved(
    read: Draught,
    draft: Draft,
    home: HomePaths,
    trainers_seconds: float,
    environment: Mapping[str, str],
    is_wanted: Callable[[], bool],
) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """The round as JSON, or every problem. Raises _CheckError or UnusableAnswerError."""
    answer = _ask_trainers(draft, home, trainers_seconds, environment, is_wanted)
    told = _without_secrets(rendered(trainer_problems(draft, answer)), draft)
    problems = rendered([*read.problems, *told])
    return (None, problems) if problems else (resolved(draft, answer).to_json(), ())


def _without_secrets(problems: tuple[str, ...], draft: Draft) -> tuple[str, ...]:
    """A trainer may quote what it was given."""
    secrets: dict[str, str] = {}
    redacted(draft.to_json(), secrets)
    return tuple(without(problem, secrets) for problem in problems) if secrets else problems


def _refused_unread(dropped: Dropped) -> str | None:
    if PurePath(dropped.name).suffix.lower() not in SUFFIXES:
        return f"the file must be called *.toml or *.json (found {printable(dropped.name)})"
    if len(dropped.data) > MAX_BYTES:
        return f"the file has {len(dropped.data)} bytes; at most {MAX_BYTES} are read"
    return None


def _request(files: Sequence[Dropped]) -> bytes:
    """What `python -m scheduler.rounds` reads on stdin."""
    # a name that is no UTF-8 has no place in JSON; only its stem and suffix are looked at
    heads = [[printable(PurePath(dropped.name).name), len(dropped.data)] for dropped in files]
    return b"".join([orjson.dumps(heads), b"\n", *(dropped.data for dropped in files)])


def _draught(answer: Mapping[str, Any], cpu_seconds: int) -> Draught:
    """What the child says of one file."""
    match answer.get("exceeded"):
        case None:
            draft = Draft.from_json(answer["draft"]) if answer["draft"] is not None else None
            return Draught(draft=draft, problems=tuple(answer["problems"]))
        case "processor time":
            problem = (
                f"reading the file took more than {cpu_seconds} s of processor time; a spec with long dotted"
                " keys, deep nesting or a very large grid must be written more simply"
            )
        case "wall time":
            problem = (
                f"the file could not be read within {WALL_SECONDS:.0f} s; if the machine was busy, put it"
                " into queue/ again"
            )
        case "answer":
            problem = (
                "the file could not be read: all its variants' arguments take more than"
                f" {ANSWER_BYTES >> 20} MiB; split it up"
            )
        case limit:
            problem = f"the file could not be read: the check was ended by {limit} (out of memory?)"
    return Draught(draft=None, problems=(problem,))


def _ask_trainers(
    draft: Draft,
    home: HomePaths,
    trainers_seconds: float,
    environment: Mapping[str, str],
    is_wanted: Callable[[], bool],
) -> Any:
    """What `python -m trainers check` answers. Raises _CheckError."""
    question = orjson.dumps(request(draft, str(home.root.absolute())))
    arguments = ["-m", "trainers", "check"]
    end = _run(arguments, question, trainers_seconds, environment, cwd=home.root, is_wanted=is_wanted)
    if end.exceeded == "time":
        raise _CheckError(
            f"the trainers did not answer within {trainers_seconds:.0f} s: reading what a task depends"
            " on takes too long; give it fewer or smaller inputs"
        )
    if end.exceeded == "output":
        raise _CheckError(
            "the trainers could not be asked: all its variants' arguments take more than"
            f" {ANSWER_BYTES >> 20} MiB; split it up"
        )
    try:
        if end.returncode == 0:
            return orjson.loads(end.stdout.strip().rpartition(b"\n")[2])
    except orjson.JSONDecodeError:
        pass
    raise _CheckError(f"the trainers could not be asked: {_said(end)}")


def _run(
    arguments: list[str],
    stdin: bytes,
    seconds: float,
    environment: Mapping[str, str],
    *,
    cwd: Path | None = None,
    hear: Callable[[bytes], None] | None = None,
    is_wanted: Callable[[], bool],
) -> ChildEnd:
    # -P: neither the home nor the current folder may hide a module
    argv = [sys.executable, "-P", *arguments]
    try:
        return run_child(
            argv,
            stdin=stdin,
            seconds=seconds,
            environment=environment,
            # some more than an answer: it is told in a line of its own
            max_stdout_bytes=ANSWER_BYTES + 4096,
            cwd=cwd,
            hear=hear,
            is_wanted=is_wanted,
        )
    except OSError as error:
        raise _CheckError(
            f"the check could not be started: {error}; put the file into queue/ again"
        ) from error


def _said(end: ChildEnd) -> str:
    """How a check ended that gave no answer."""
    if end.returncode < 0:
        return f"the check was ended by {signal.Signals(-end.returncode).name} (out of memory?)"
    said = printable(end.stderr.decode(errors="replace").strip().rpartition("\n")[2])
    return f"the check ended with status {end.returncode}: {said or 'it said nothing'}"


def _sentence(error: Exception) -> str:
    words = str(error)
    return words if isinstance(error, _CheckError) else f"the trainers gave no usable answer: {words}"
