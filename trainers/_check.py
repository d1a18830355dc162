"""Are the configs of a round spec sound, and what identifies each task's trainer? All problems at once.

On stdin  {"home", "tasks": [{"name", "trainer", "args", "configs": {name: its own table}, "stages": [...]}]};
on stdout {"tasks": [{"name", "problems": [{"config", "field", "message"}], "configs": {name: whole Config},
"costliest", "has_steps", "examples": {stage: {"examples", "clusters"}}, "identity"}]}. Runs where torch is
not imported.
"""

from __future__ import annotations

import functools
import os
import resource
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
from pydantic import ValidationError

from trainers import _identity, _registry
from trainers._failures import one_line
from trainers._processes import die_with_parent
from trainers.contract import TrainerConfig, protocol_fields

#: room for the imports of any trainer, and for 10,000 configs
MEMORY_BYTES = 8 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something in a spec that cannot work."""

    #: the baseline's or variant's name; None for the task's own arguments
    config: str | None
    #: dotted path below the config; None where it is about the whole
    field: str | None
    message: str


def check() -> None:
    """Answer the one request on stdin."""
    _limit()
    die_with_parent()  # a trainer that hangs when it is imported must not outlive a killed daemon
    answer_fd = os.dup(1)
    os.dup2(2, 1)  # a trainer that prints while it is imported must not garble the answer
    request = orjson.loads(sys.stdin.buffer.read())
    home = Path(request["home"]).resolve()
    os.chdir(home)
    answer = {"tasks": [check_task(task, home) for task in request["tasks"]]}
    with os.fdopen(answer_fd, "wb") as stream:
        stream.write(orjson.dumps(answer))


def _limit() -> None:
    """Bound what a validator may take of the machine: it is a person's code, and sees a stranger's values."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))


def check_task(task: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """The answer for one task; without configs and identity where there are problems."""
    try:
        module = _registry.load(task["trainer"], home)
    except _registry.UnknownTrainerError as error:
        return _refused(task, [Problem(config=None, field=None, message=str(error))])
    except Exception as error:  # the trainer's own import may raise anything
        message = f"trainer {task['trainer']} cannot be imported: {one_line(error)}"
        return _refused(task, [Problem(config=None, field=None, message=message)])
    return _check_with(module, task, home)


def _check_with(module: ModuleType, task: Mapping[str, Any], home: Path) -> dict[str, Any]:
    problems: list[Problem] = []
    configs: dict[str, TrainerConfig] = {}
    for name, table in task["configs"].items():
        problems += _protocol_problems(module.Config, name, table, task["args"])
        try:
            configs[name] = module.Config.model_validate({**task["args"], **table})
        except ValidationError as error:
            problems += _validation_problems(error, module.Config, name)
        except Exception as error:  # a validator of the trainer's may raise anything
            problems.append(Problem(config=name, field=None, message=one_line(error)))
    problems = _once_for_the_task(problems, tuple(task["configs"]))
    resolved = {name: config.model_dump(mode="json") for name, config in configs.items()}
    problems += _twins(resolved)
    if problems:
        return _refused(task, problems)
    try:
        return _accepted(module, task, configs, resolved, home)
    except Exception as error:  # nor is anything known of what `fingerprint` and `cost` raise
        field = getattr(error, "field", None)
        return _refused(task, [Problem(config=None, field=field, message=one_line(error))])


def _accepted(
    module: ModuleType,
    task: Mapping[str, Any],
    configs: Mapping[str, TrainerConfig],
    resolved: Mapping[str, Any],
    home: Path,
) -> dict[str, Any]:
    first = next(iter(configs.values()))
    has_steps = _registry.has_steps(module, first)
    if problems := [*_stage_problems(module, task, has_steps), *_missing_distributions(module, task)]:
        return _refused(task, problems)
    cost = getattr(module, "cost", lambda config: 0.0)
    costs = {name: cost(config) for name, config in configs.items()}
    return {
        "name": task["name"],
        "problems": [],
        "configs": resolved,
        "costliest": max(costs, key=lambda name: costs[name]),
        "has_steps": has_steps,
        "examples": {stage["name"]: _examples(module, first, stage) for stage in task["stages"]},
        "identity": _identity.identity(module, task["trainer"], home, first),
    }


def _examples(module: ModuleType, config: TrainerConfig, stage: Mapping[str, Any]) -> dict[str, int | None]:
    """The size of the stage's evaluation set, as far as the trainer or the spec tells it beforehand."""
    n_eval = stage.get("n_eval")
    told = getattr(module, "examples", None)
    answer = told(config, n_eval) if told is not None else None
    count, clusters = answer if answer is not None else (n_eval, None)
    return {"examples": count, "clusters": clusters}


def _refused(task: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    return {"name": task["name"], "problems": [asdict(problem) for problem in problems]}


def _protocol_problems(
    config_type: type[TrainerConfig], name: str, table: Mapping[str, Any], args: Mapping[str, Any]
) -> Iterator[Problem]:
    for field in sorted(protocol_fields(config_type) & table.keys()):
        default = config_type.model_fields[field].get_default(call_default_factory=True)
        if table[field] != args.get(field, default):
            message = (
                f"{field} is part of the protocol: runs that differ in it cannot be compared;"
                " set it in the task's args, or make a task of its own"
            )
            yield Problem(config=name, field=field, message=message)


def _validation_problems(
    error: ValidationError, config_type: type[TrainerConfig], name: str
) -> Iterator[Problem]:
    for detail in error.errors(include_url=False, include_input=False):
        if detail["type"] == "argument_problems":
            for field, message in detail["ctx"]["problems"]:
                yield Problem(config=name, field=field, message=message)
            continue
        field = ".".join(str(part) for part in detail["loc"]) or None
        yield Problem(config=name, field=field, message=_message_of(detail, config_type))


def _message_of(detail: Mapping[str, Any], config_type: type[TrainerConfig]) -> str:
    if detail["type"] == "extra_forbidden":
        return _unknown(str(detail["loc"][-1]), config_type)
    if detail["type"] == "missing":
        return f"{detail['loc'][-1]} is required"
    message: str = detail["msg"]
    return message.removeprefix("Value error, ")


@functools.cache
def _unknown(field: str, config_type: type[TrainerConfig]) -> str:
    return f"unknown field {field!r}; {_registry.hint(field, list(config_type.model_fields))}"


def _once_for_the_task(problems: list[Problem], names: tuple[str, ...]) -> list[Problem]:
    """What every config has in common is a problem of the task's own arguments, and said once."""
    configs_by_problem: dict[tuple[str | None, str], list[str | None]] = {}
    for problem in problems:
        configs_by_problem.setdefault((problem.field, problem.message), []).append(problem.config)
    found: list[Problem] = []
    for (field, message), configs in configs_by_problem.items():
        is_common = len(configs) == len(names) > 1
        found += [
            Problem(config=config, field=field, message=message)
            for config in ([None] if is_common else configs)
        ]
    return found


def _twins(resolved: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """Two names for one Config would be the same runs, counted twice."""
    first_with: dict[bytes, str] = {}
    for name, config in resolved.items():
        key = orjson.dumps(config, option=orjson.OPT_SORT_KEYS)
        first = first_with.setdefault(key, name)
        if first != name:
            yield Problem(config=name, field=None, message=f"is the same as {first}: nothing differs")


def _stage_problems(module: ModuleType, task: Mapping[str, Any], has_steps: bool) -> Iterator[Problem]:
    """A stage without steps is calibrated where the trainer can be, and refused where it cannot."""
    if not has_steps or not getattr(module, "ENDS_ITSELF", False):
        return
    for stage in task["stages"]:
        if stage.get("max_steps") is None:
            message = f"stage {stage['name']} has no max_steps, which trainer {task['trainer']} needs"
            yield Problem(config=None, field=None, message=message)


def _missing_distributions(module: ModuleType, task: Mapping[str, Any]) -> Iterator[Problem]:
    """Without torch a trainer that names it can do nothing; what else is absent may be optional."""
    versions = _identity.installed_versions(getattr(module, "DISTRIBUTIONS", ()))
    if versions.get("torch") == _identity.ABSENT:
        message = (
            f"trainer {task['trainer']} needs torch, which is not installed: pip install 'roundhouse[train]'"
        )
        yield Problem(config=None, field=None, message=message)
