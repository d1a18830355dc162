"""How is any program made a trainer? A command line with placeholders, and the numbers it reports."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, model_validator

from trainers._failure_texts import classify_text, told_in_one_line
from trainers._oom_killer import has_grown, oom_kills
from trainers.command import _template
from trainers.command._checkpoints import pattern_problem, set_apart
from trainers.command._fingerprint import fingerprint_of
from trainers.command._program import Invocation, Program
from trainers.command._readings import BuiltInLines, MetricsFile, PatternLines, Reading, Source
from trainers.command._surroundings import environment_for, find
from trainers.contract import (
    BadArgumentsError,
    Context,
    Evaluation,
    Fingerprint,
    StopObserved,
    TimeBudgetReached,
    TrainerConfig,
    TrainerError,
    argument_problems,
    protocol_field,
)

DISTRIBUTIONS = ()

#: the program knows when it is done: `{steps}` is only told to it
ENDS_ITSELF = True

#: folder of the command's own files within the run's folder: `{run_dir}`
FILES_FOLDER = "command"


class Config(TrainerConfig):
    """What is executed and how its numbers are read; any further key is a value for a placeholder.

    Variants set the further keys (text, numbers or booleans); each must stand in `argv` or `env` as `{key}`.
    """

    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True)

    #: program and arguments, with placeholders; no shell
    argv: tuple[str, ...] = protocol_field(min_length=1)
    #: working directory, relative to the home
    cwd: str = protocol_field(".")
    #: variables added to the environment, with placeholders
    env: dict[str, str] = protocol_field({})
    #: files the result depends on: globs relative to `cwd`
    inputs: tuple[str, ...] = protocol_field(())
    #: by metric: a regular expression with a group `value` (and `step`); with `metrics_file` a dotted path
    metrics: dict[str, str] = protocol_field({})
    #: a .jsonl or .json file that the program writes, relative to `{run_dir}`
    metrics_file: str | None = protocol_field(None)
    #: files and folders that may go once the round is reported: globs relative to `{run_dir}`
    checkpoints: tuple[str, ...] = protocol_field(())
    #: seconds between SIGTERM and SIGKILL when the time budget is over
    grace_seconds: float = protocol_field(10.0, gt=0.0, le=600.0)

    @model_validator(mode="after")
    def _all_fits_together(self) -> Self:
        problems = [*_template_problems(self), *_value_problems(self), *_metrics_problems(self)]
        unfit = filter(None, map(pattern_problem, self.checkpoints))
        problems += [("checkpoints", problem) for problem in unfit]
        if problems:
            raise argument_problems(problems)
        return self

    @property
    def values(self) -> Mapping[str, Any]:
        """Values for placeholders, from the task's arguments and the variant."""
        return self.__pydantic_extra__ or {}

    @property
    def templates(self) -> dict[str, str]:
        """Every template by the field it stands in."""
        named = {f"argv.{index}": text for index, text in enumerate(self.argv)}
        return named | {f"env.{name}": text for name, text in self.env.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A command that can be started."""

    config: Config
    program: str
    cwd: Path


class ProgramError(TrainerError):
    """The program did not end well. `text` is the last of its output."""

    def __init__(self, message: str, failure_class: str, text: str) -> None:
        super().__init__(message)
        self.failure_class = failure_class
        self.text = text


def HAS_STEPS(config: Config) -> bool:
    """Whether the command line asks for a number of steps."""
    return any("steps" in _template.placeholders(text) for text in config.templates.values())


def fingerprint(config: Config) -> Fingerprint:
    """Command line, environment given, inputs and checkout; the values of a variant are not in it."""
    home = Path.cwd()
    command = config.model_dump(
        mode="json", include={"argv", "cwd", "env", "metrics", "metrics_file", "grace_seconds"}
    )
    return fingerprint_of(command, config.inputs, _folder(config, home), home)


def prepare(config: Config, context: Context) -> Prepared:
    """Find the program. Starts nothing."""
    folder = _folder(config, Path.cwd())
    needed = {name for text in config.templates.values() for name in _template.placeholders(text)}
    absent = [name for name in ("steps", "bsz") if name in needed and _given(context)[name] is None]
    if absent:
        fields = " and ".join({"steps": "max_steps", "bsz": "bsz"}[name] for name in absent)
        raise BadArgumentsError(
            f"the command asks for {', '.join('{' + name + '}' for name in absent)}: give it {fields}"
        )
    name = config.argv[0]
    if "run_dir" not in _template.placeholders(name):
        name = _template.fill(name, {**_given(context), **config.values})
    return Prepared(config=config, program=find(name, folder), cwd=folder)


def train(prepared: Prepared, context: Context) -> Iterator[Evaluation]:
    """Run the program to its end; an evaluation for each reading it reports, the last of which counts."""
    config = prepared.config
    assert context.run_dir is not None
    files = context.run_dir / FILES_FOLDER
    files.mkdir(exist_ok=True)
    values = {**_given(context), "run_dir": files, **config.values}
    invocation = Invocation(
        program=prepared.program,
        argv=tuple(_template.fill(text, values) for text in config.argv),
        cwd=prepared.cwd,
        environment=environment_for(
            {name: _template.fill(text, values) for name, text in config.env.items()}
        ),
    )
    source = _source(config, files)
    progress = Progress()
    deadline = time.monotonic() + context.time_budget_sec
    kills_before = oom_kills()
    with Program(invocation, config.grace_seconds) as program:
        for line in program.lines(deadline, context.is_stopping):
            readings = source.poll() if line is None else source.line(line)
            yield from (progress.evaluation(reading) for reading in readings)
        status = program.wait()
        if status != 0 and not program.was_asked_to_end:
            raise _program_error(status, program.tail, ended_for_memory=has_grown(kills_before, oom_kills()))
        yield from (progress.evaluation(reading) for reading in (*source.poll(), *source.finish()))
        yield from progress.completed()
    if program.was_asked_to_end:
        raise StopObserved if context.is_stopping() else TimeBudgetReached
    if progress.count == 0:
        raise BadArgumentsError(f"the program ended well but reported no metric: {source.description}")
    # Only now: whoever looks into why a run failed finds all that its program wrote.
    if config.checkpoints:
        spared = files / config.metrics_file if config.metrics_file is not None else None
        set_apart(files, context.run_dir, config.checkpoints, spared)


class Progress:
    """Turns readings into evaluations and knows the last value of every metric."""

    def __init__(self) -> None:
        self.count = 0
        self._step = 0
        self._has_steps = False
        self._latest: dict[str, float] = {}
        self._taken_from: dict[str, str] = {}
        self._shown: frozenset[str] = frozenset()

    def evaluation(self, reading: Reading) -> Evaluation:
        """The reading, at its own step, the last one known, or else its number."""
        for metric, name in reading.taken_from.items():
            before = self._taken_from.setdefault(metric, name)
            if before != name:
                raise BadArgumentsError(
                    f"{metric} is reported as {before} and as {name}: say with `metrics` which counts"
                )
        self.count += 1
        if reading.step is not None:
            self._step, self._has_steps = reading.step, True
        elif not self._has_steps:
            self._step = self.count
        self._latest.update(reading.values)
        self._shown = frozenset(reading.values)
        return _evaluation(self._step, reading.values)

    def completed(self) -> Iterator[Evaluation]:
        """The last value of every metric, unless the last evaluation already had them all."""
        if self._shown != self._latest.keys():
            yield _evaluation(self._step, self._latest)


def _evaluation(step: int, values: Mapping[str, float]) -> Evaluation:
    extra = {name: value for name, value in values.items() if name not in ("loss", "acc")}
    return Evaluation(step=step, loss=values.get("loss"), acc=values.get("acc"), extra=extra)


def _given(context: Context) -> dict[str, object]:
    return {
        "seed": context.seed,
        "steps": context.max_steps,
        "seconds": _plain(context.time_budget_sec),
        "bsz": context.bsz,
        "device": context.device,
    }


def _plain(seconds: float) -> float | int:
    """Whole seconds without a decimal point, which many an argument parser would refuse."""
    return int(seconds) if seconds == int(seconds) else seconds


def _folder(config: Config, home: Path) -> Path:
    folder = home / config.cwd
    if not folder.is_dir():
        raise BadArgumentsError(f"cwd {config.cwd!r} is no folder: {folder} (cwd is relative to the home)")
    return folder


def _source(config: Config, files: Path) -> Source:
    if config.metrics_file is not None:
        path = _template.fill(config.metrics_file, {"run_dir": files})
        return MetricsFile(files / path, config.metrics)
    return PatternLines(config.metrics) if config.metrics else BuiltInLines()


def _program_error(status: int, tail: str, *, ended_for_memory: bool) -> ProgramError:
    said = told_in_one_line(tail)
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    by_hand = "killed" if status in (-9, 137, -15, 143) else "crash"
    failure_class = classify_text(tail) or by_hand
    if failure_class == "killed" and ended_for_memory:
        failure_class, how = "oom", f"{how} (by the kernel, which was out of memory)"
    return ProgramError(f"the program {how}" + (f": {said}" if said else ""), failure_class, tail)


def _template_problems(config: Config) -> Iterator[tuple[str | None, str]]:
    known = {*_template.GIVEN, *config.values}
    for place, text in config.templates.items():
        try:
            needed = _template.placeholders(text)
        except _template.TemplateError as error:
            yield place, str(error)
            continue
        for name in sorted(needed - known):
            yield place, f"unknown placeholder {{{name}}}{_template.nearest(name, known)}"


def _value_problems(config: Config) -> Iterator[tuple[str | None, str]]:
    used = set()
    for text in config.templates.values():
        try:
            used |= _template.placeholders(text)
        except _template.TemplateError:
            return
    for name, value in config.values.items():
        if name in _template.GIVEN:
            yield name, f"{name} is given by the round, not by a variant"
        elif not isinstance(value, str | int | float):
            yield name, f"{name} must be text, a number or a boolean, not {type(value).__name__}"
        elif name not in used:
            known = {*type(config).model_fields, *(used - set(_template.GIVEN))}
            yield (
                name,
                f"unknown field {name}: argv and env use no {{{name}}}{_template.nearest(name, known)}",
            )


def _metrics_problems(config: Config) -> Iterator[tuple[str | None, str]]:
    if config.metrics_file is not None:
        if not config.metrics_file.endswith((".jsonl", ".json")):
            yield "metrics_file", "metrics_file must end in .jsonl or .json"
        return
    for name, pattern in config.metrics.items():
        try:
            groups = re.compile(pattern).groupindex
        except (re.error, OverflowError, RecursionError) as error:
            yield f"metrics.{name}", f"{pattern!r} is no regular expression: {error}"
            continue
        if "value" not in groups:
            yield f"metrics.{name}", f"{pattern!r} has no group (?P<value>...) around the number"
