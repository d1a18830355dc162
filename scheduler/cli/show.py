"""What is known of a round, a task of it, or one variant? The summary, or runs with folders and errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from policies.evidence import Objective
from scheduler.cli.home import existing_home
from scheduler.cli.saying import say
from scheduler.decide.codec import event_name
from scheduler.decide.facts import RunFinished, VariantFact
from scheduler.decide.state import RoundState
from scheduler.decide.task_state import Attempt, TaskState
from scheduler.report import numbers
from scheduler.report.load import load_round
from scheduler.report.printable import first_line, one_line
from scheduler.report.runs import is_superseded
from scheduler.report.side_labels import side_labels
from scheduler.report.summary import summary_text
from scheduler.rounds.errors import UnknownIdError
from scheduler.rounds.paths import HomePaths, RoundPaths


def show(
    context: typer.Context,
    round_id: Annotated[str, typer.Argument(metavar="ROUND")],
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="List its runs.")] = None,
    config: Annotated[str | None, typer.Argument(metavar="VARIANT", help="Only those of one.")] = None,
) -> None:
    """Show a round's summary, or the runs of a task.

    Runs are listed with their readings, folders and errors.
    """
    home: HomePaths = existing_home(context.obj)
    paths = home.round(round_id)
    round_state = load_round(paths)
    if task is None:
        say(summary_text(round_state, side_labels(round_state, paths)), end="")
        return
    found = _task(round_state, task)
    if config is not None and config not in _configs(found):
        raise UnknownIdError(f"task {task} has no variant {config!r}; it has {', '.join(_configs(found))}")
    say("\n".join(task_lines(found, paths, config)))


def task_lines(task: TaskState, paths: RoundPaths, config: str | None = None) -> Iterator[str]:
    """Every attempt and decision, oldest first within a variant; of one variant where it is named."""
    objective = task.task.objective
    if task.parked is not None:
        yield f"parked ({task.parked.failure_class}): {one_line(task.parked.reason)}"
        yield f"  remedy: {one_line(task.parked.remedy)}"
    attempts = [attempt for tries in task.attempts.values() for attempt in tries]
    for name in _configs(task):
        if config is not None and name != config:
            continue
        own = [attempt for attempt in attempts if attempt.intended.config == name]
        if not own and config is None:
            continue
        yield f"{name}:" if own else f"{name}: no runs yet"
        for attempt in own:
            yield from _attempt(objective, attempt, paths, note=_note(task, attempt))
        for fact in task.decisions.get(name, ()):
            yield f"  {_decision(objective, fact)}"
        if name in task.verdicts:
            verdict = task.verdicts[name]
            yield f"  {verdict.verdict}: {one_line(verdict.reason)}"


def _note(task: TaskState, attempt: Attempt) -> str:
    """Why an attempt counts no more."""
    if attempt.id in task.forgiven:
        return " (forgiven)"
    end = attempt.finished
    return " (superseded)" if end is not None and is_superseded(task, end) else ""


def _attempt(objective: Objective, attempt: Attempt, paths: RoundPaths, *, note: str) -> Iterator[str]:
    run = attempt.intended
    name = f"{run.stage} seed={run.seed}{f' attempt={run.attempt}' if run.attempt > 1 else ''}"
    folder = paths.run(run.run_dir)
    end = attempt.finished
    if end is None:
        yield f"  {name} {'running' if attempt.started else 'preparing'}"
    else:
        yield f"  {name} {' '.join(_end_fields(objective, end))}{note}"
        if end.error:
            yield f"    {end.failure_class or end.status}: {first_line(end.error)}"
            yield f"    {folder.error}"
            return
    yield f"    {folder.root}"


def _end_fields(objective: Objective, end: RunFinished) -> Iterator[str]:
    yield end.status
    if end.value is not None:
        yield numbers.value_text(objective, end.value)
    if end.loss is not None and objective.metric != "loss":
        yield f"loss={numbers.plain_number(end.loss)}"
    if end.bsz is not None:
        yield f"bsz={end.bsz}"
    if end.steps is not None:
        yield f"steps={end.steps}"
    if end.train_seconds is not None:
        yield f"seconds={end.train_seconds:.1f}"
    if end.cached_from is not None:
        yield f"cached_from={one_line(end.cached_from)}"
    if end.is_recovered:
        yield "recovered"
    if end.contaminated is not None:
        yield "contaminated"


def _decision(objective: Objective, fact: VariantFact) -> str:
    word = event_name(type(fact)).removeprefix("variant_")
    delta = f" {numbers.delta_text(objective, fact.d_acc)}" if fact.d_acc is not None else ""
    spread = ""
    if fact.sd is not None:
        spread = f" {numbers.spread_text(objective, fact.sd)} {fact.signs}"
    return f"{word} at {fact.stage}:{delta}{spread} ({one_line(fact.reason)})"


def _task(round_state: RoundState, name: str) -> TaskState:
    if name not in round_state.tasks:
        known = ", ".join(round_state.tasks)
        raise UnknownIdError(f"round {round_state.round.id} has no task {name!r}; it has {known}")
    return round_state.tasks[name]


def _configs(task: TaskState) -> list[str]:
    """Baseline and variants in file order, after the probe where there was one."""
    seen = [key.config for key in task.attempts]
    known = [task.task.baseline.name, *(variant.name for variant in task.task.variants)]
    return [*dict.fromkeys(config for config in seen if config not in known), *known]
