"""Which round does a draft become with what its trainers say?

Their problems are put where the file has the cause.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from scheduler.rounds.draft import Draft, TaskDraft
from scheduler.rounds.problems import NOTHING, Path, Problem
from scheduler.rounds.round import BASELINE, Round, Stage, Task, TrainerIdentity, Variant


class UnusableAnswerError(ValueError):
    """The trainers' check gave an answer that does not fit the question. Says what is wrong with it."""


def request(draft: Draft, home: str) -> dict[str, Any]:
    """What `python -m trainers check` is asked on stdin."""
    return {"home": home, "tasks": [task.request() for task in draft.tasks]}


def resolved(draft: Draft, answer: Any) -> Round:
    """The round. Only for a draft and an answer without problems; raises UnusableAnswerError."""
    try:
        return Round(
            id=draft.id,
            title=draft.title,
            priority=draft.priority,
            after=draft.after,
            tasks=tuple(_task(task, told) for task, told in _pairs(draft, answer)),
            judge=draft.judge,
            fresh=draft.fresh,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UnusableAnswerError(f"{type(error).__name__}: {error}") from error


def trainer_problems(draft: Draft, answer: Any) -> list[Problem]:
    """Every problem that the trainers have with the draft. Raises UnusableAnswerError."""
    try:
        return [
            problem
            for task, told_of_task in _pairs(draft, answer)
            for told in told_of_task["problems"]
            for problem in _problems(task, told["config"], told["field"], told["message"])
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise UnusableAnswerError(f"{type(error).__name__}: {error}") from error


def _pairs(draft: Draft, answer: Any) -> Iterator[tuple[TaskDraft, Mapping[str, Any]]]:
    tasks: Sequence[Mapping[str, Any]] = answer["tasks"]
    if [told["name"] for told in tasks] != [task.name for task in draft.tasks]:
        raise UnusableAnswerError("the tasks are not those that were asked about")
    return zip(draft.tasks, tasks, strict=True)


def _task(draft: TaskDraft, told: Mapping[str, Any]) -> Task:
    configs, identity = told["configs"], told["identity"]
    return Task(
        name=draft.name,
        trainer=draft.trainer,
        seeds=draft.seeds,
        bsz=draft.bsz,
        objective=draft.objective,
        policy=draft.policy,
        stages=tuple(_with_examples(stage, told) for stage in draft.stages),
        args=draft.args,
        baseline=Variant(name=BASELINE, changes=draft.baseline, config=configs[BASELINE]),
        variants=tuple(
            Variant(name=name, changes=changes, config=configs[name])
            for name, changes in draft.variants.items()
        ),
        costliest=told["costliest"],
        has_steps=told["has_steps"],
        identity=TrainerIdentity(
            source=identity["source"],
            data=identity["data"],
            parts=identity["parts"],
            versions=identity["versions"],
            is_complete=identity["is_complete"],
        ),
    )


def _with_examples(stage: Stage, told: Mapping[str, Any]) -> Stage:
    size = told["examples"][stage.name]
    return replace(stage, examples=size["examples"], clusters=size["clusters"])


def _problems(task: TaskDraft, config: str | None, field: str | None, message: str) -> Iterator[Problem]:
    """A trainer's problem with one config, or with all, at each place in the file that it comes from."""
    keys = _keys(field)
    if config is not None:
        yield _problem_of(task, config, keys, message)
        return
    tables: Mapping[str, Mapping[Any, Any]] = {BASELINE: task.baseline, **task.variants}
    sources = [name for name, table in tables.items() if keys and keys[0] in table]
    if not keys and "trainer" in message and task.trainer in message:
        yield Problem(path=("tasks", task.index, "trainer"), message=message, task=task.name)
    elif not sources or keys[0] in task.args:
        yield _at(("tasks", task.index, "args"), task.args, keys, message, task)
    for name in sources:
        yield _problem_of(task, name, keys, message)


def _problem_of(task: TaskDraft, config: str, keys: Path, message: str) -> Problem:
    place: Path = ("tasks", task.index)
    changes: Mapping[Any, Any] = task.baseline if config == BASELINE else task.variants[config]
    if keys and keys[0] not in changes and keys[0] in task.args:
        return _at((*place, "args"), task.args, keys, message, task)
    if config == BASELINE:
        return _at((*place, BASELINE), changes, keys, message, task)
    if config in task.written:
        return _at((*place, "variants", config), changes, keys, message, task)
    if not keys:
        return Problem(path=(*place, "grid"), message=f"{message} (variant {config})", task=task.name)
    if keys[0] not in task.grid:
        return _at((*place, "grid_base"), changes, keys, message, task)
    value = changes[keys[0]]
    position = task.grid[str(keys[0])].index(value)
    return Problem(path=(*place, "grid", keys[0], position), message=message, found=value, task=task.name)


def _at(table_path: Path, table: Any, keys: Path, message: str, task: TaskDraft) -> Problem:
    found: Any = table if keys else NOTHING
    for key in keys:
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError):
            found = NOTHING
            break
    return Problem(path=(*table_path, *keys), message=message, found=found, task=task.name)


def _keys(field: str | None) -> Path:
    """`metrics.0.name` as keys and positions."""
    return tuple(int(part) if part.isdigit() else part for part in field.split(".")) if field else ()
