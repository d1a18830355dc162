"""Is a spec sound as far as its own text tells? All its problems at once, and a draft of the round."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from scheduler.judging import make_options, option_names, way_names
from scheduler.rounds.draft import Draft, TaskDraft
from scheduler.rounds.grid import MAX_VARIANTS, expanded
from scheduler.rounds.inherit import (
    as_written,
    delta_unit_problem,
    inherited_objective,
    inherited_policy,
    inherited_stages,
    stages_out_of_order,
)
from scheduler.rounds.parse import Parsed
from scheduler.rounds.problems import NOTHING, Path, Problem, shown, unknown_words, without_followers
from scheduler.rounds.redaction import secret_names
from scheduler.rounds.shape import shaped, without
from scheduler.rounds.spec import ID_PATTERN, RESERVED_NAMES, STAGE_NAMES, RoundSpec

#: without these, or with wrong ones, nothing a trainer says about the task would be to the point
_NEEDED_BY_TRAINER = ("name", "trainer", "args", "baseline")


def check(parsed: Parsed, file: str) -> tuple[Draft | None, list[Problem]]:
    """The draft of the round in a parsed file, and every problem of the file.

    With problems, the draft holds what a trainer can still be asked about; None when that is nothing.
    """
    if parsed.data is None:
        return None, list(parsed.problems)
    raw = parsed.data
    spec, of_shape = shaped(without(raw, [problem.path for problem in parsed.problems]))
    problems = without_followers(parsed.problems, of_shape)
    of_meaning = [*_round_problems(spec, raw, file), *_judge_problems(spec.judge)]
    # against a stage of the round that cannot be used, what a task says of its stages is not judged
    of_stages = [] if _has_unusable_stage(spec, raw) else of_meaning
    tasks = _with_grids(
        spec, raw, [_task_draft(spec, i, of_meaning, of_stages) for i in range(len(spec.tasks))], of_meaning
    )
    problems = without_followers(problems, of_meaning)
    round_id = spec.round or PurePath(file).stem
    draft = Draft(
        id=round_id,
        title=spec.title or round_id,
        priority=spec.priority,
        after=tuple(spec.after),
        tasks=tuple(_checkable_tasks(tasks, problems)),
        judge=spec.judge,
        fresh=spec.fresh,
    )
    return draft, [_with_task(problem, raw) for problem in problems]


def _round_problems(spec: RoundSpec, raw: Mapping[str, Any], file: str) -> Iterator[Problem]:
    stem = PurePath(file).stem
    if "round" not in raw and not is_id(stem):
        message = f'is missing: {shown(stem)}, the file\'s name, cannot be the id; set round = "..."'
        yield Problem(path=("round",), message=message)
    for index, round_id in enumerate(spec.after):
        if round_id == (spec.round or stem):
            yield Problem(path=("after", index), message="is this round itself", found=round_id)
    yield from _order_problems(raw)
    first_index: dict[str, int] = {}
    for index, task in enumerate(spec.tasks):
        first = first_index.setdefault(task.name.lower(), index)
        if first != index:
            message = f"is the name of tasks[{first}] too; each task needs its own"
            if spec.tasks[first].name != task.name:
                message = f"differs only in upper and lower case from tasks[{first}]; take another name"
            yield Problem(path=("tasks", index, "name"), message=message, found=task.name)
        for name in secret_names(task.args):
            message = "stands for a secret that is not here; name it in `environment` of roundhouse.toml"
            yield Problem(path=("tasks", index, "args", "env", name), message=message)


def _judge_problems(judge: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """What the ways of judging say of their options."""
    for way, options in judge.items():
        if way not in way_names():
            words = unknown_words("way of judging", way, way_names())
            yield Problem(path=("judge", way), message=words)
            continue
        try:
            make_options(way, options)
        except ValueError as error:
            for line in str(error).splitlines():
                option, colon, message = line.partition(": ")
                named = (option,) if colon and option in (*options, *option_names(way)) else ()
                yield Problem(path=("judge", way, *named), message=message if named else line)


def is_id(name: str) -> bool:
    """Whether a round may be called `name`."""
    return re.fullmatch(ID_PATTERN, name) is not None and name.lower() not in RESERVED_NAMES


def _order_problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Stages out of order, where the file defines them: once for the round, or else in each task."""
    tables: list[tuple[Path, Any]] = [(("stages",), raw.get("stages"))]
    if not raw.get("stages") and isinstance(raw.get("tasks"), list):
        tables = [
            (("tasks", index, "stages"), task.get("stages"))
            for index, task in enumerate(raw["tasks"])
            if isinstance(task, dict)
        ]
    for path, table in tables:
        words = stages_out_of_order(list(table)) if isinstance(table, dict) else None
        if words is not None:
            yield Problem(path=path, message=words)


def _has_unusable_stage(spec: RoundSpec, raw: Mapping[str, Any]) -> bool:
    usable = as_written(spec.stages)
    written = raw.get("stages", {})
    return not isinstance(written, dict) or any(
        name in written and name not in usable for name in STAGE_NAMES
    )


def _task_draft(
    spec: RoundSpec, index: int, problems: list[Problem], stage_problems: list[Problem]
) -> TaskDraft:
    task = spec.tasks[index]
    path: Path = ("tasks", index)
    round_objective, round_policy, own_policy = map(as_written, (spec.objective, spec.policy, task.policy))
    objective = inherited_objective(round_objective, as_written(task.objective), path, problems)
    policy = inherited_policy(round_policy, own_policy, path, problems)
    unit = round_objective.get("unit", "pp")
    problem = delta_unit_problem(objective, unit, round_policy, own_policy, path)
    if problem is not None:
        problems.append(problem)
    return TaskDraft(
        index=index,
        name=task.name,
        trainer=task.trainer,
        seeds=tuple(task.seeds),
        bsz=tuple(task.bsz or ()),
        objective=objective,
        policy=policy,
        stages=inherited_stages(spec.stages, task.stages, path, stage_problems),
        args=task.args,
        baseline=task.baseline,
        variants=task.variants,
        grid={},
        written=tuple(task.variants),
    )


def _with_grids(
    spec: RoundSpec, raw: Mapping[str, Any], tasks: Sequence[TaskDraft], problems: list[Problem]
) -> list[TaskDraft]:
    """The tasks with the variants of their grids."""
    room = MAX_VARIANTS - sum(len(task.variants) for task in tasks)
    done = []
    for task, task_spec in zip(tasks, spec.tasks, strict=True):
        place: Path = ("tasks", task.index)
        raw_task = _raw_task(raw, task.index)
        if "grid_base" in raw_task and "grid" not in raw_task:
            message = "has no effect without a grid; write [tasks.grid], or leave it out"
            problems.append(Problem(path=(*place, "grid_base"), message=message))
        if "grid" in task_spec.model_fields_set:
            axes = {axis: tuple(values) for axis, values in task_spec.grid.items()}
            made = expanded(task_spec.grid_base, axes, task.variants, room, place, problems)
            room -= len(made)
            task = replace(task, variants={**task.variants, **made}, grid=axes)
        problems += _case_problems(task, place)
        done.append(task)
    return done


def _case_problems(task: TaskDraft, place: Path) -> Iterator[Problem]:
    """Names of variants are names of folders, and some disks take `hot` and `Hot` for one."""
    first_by_lower: dict[str, str] = {}
    for name in task.variants:
        first = first_by_lower.setdefault(name.lower(), name)
        if first != name:
            is_written = name in task.written
            message = f"differs only in upper and lower case from {first}; take another name"
            path = (*place, "variants", name) if is_written else (*place, "grid")
            yield Problem(path=path, message=message, found=NOTHING if is_written else name)
            if not is_written:
                return


def _raw_task(raw: Mapping[str, Any], index: int) -> Mapping[str, Any]:
    tasks = raw.get("tasks")
    task = tasks[index] if isinstance(tasks, list) and index < len(tasks) else None
    return task if isinstance(task, dict) else {}


def _checkable_tasks(tasks: Sequence[TaskDraft], problems: Sequence[Problem]) -> Iterator[TaskDraft]:
    """The tasks of which a trainer could say something, without what has problems."""
    if any(problem.path == ("tasks",) for problem in problems):
        return
    below: dict[Any, list[Path]] = {}
    for problem in problems:
        if problem.is_within(("tasks",)):
            below.setdefault(problem.path[1], []).append(problem.path[2:])
    for task in tasks:
        checkable = _checkable(task, below.get(task.index, ()))
        if checkable is not None:
            yield checkable


def _checkable(task: TaskDraft, here: Sequence[Path]) -> TaskDraft | None:
    """The task without its variants that have problems; None where a trainer could say nothing of it.

    `here` are the paths of its problems below the task.
    """
    if () in here:
        return None
    if any(path[0] in _NEEDED_BY_TRAINER for path in here):
        return None
    wrong = {path[1] for path in here if path[0] == "variants" and len(path) > 1}
    return replace(task, variants={k: v for k, v in task.variants.items() if k not in wrong})


def _with_task(problem: Problem, raw: Mapping[str, Any]) -> Problem:
    """The problem with the name of the task that it lies in."""
    path = problem.path
    if len(path) < 2 or path[0] != "tasks" or not isinstance(path[1], int):
        return problem
    name = _raw_task(raw, path[1]).get("name")
    return replace(problem, task=name) if isinstance(name, str) and name else problem
