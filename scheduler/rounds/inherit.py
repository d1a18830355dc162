"""What does a task take over from its round? Objective, policy and stages, key by key.

Each function yields its problems into the list it is given and returns what can be made of the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from policies import DEFAULT_POLICY, make_policy, policy_names
from policies._optuna import pruner_problem
from policies._stop_rules import StopRules
from policies.evidence import Objective
from scheduler.rounds.problems import Path, Problem, unknown_words
from scheduler.rounds.round import Budget, PolicyChoice, Stage
from scheduler.rounds.spec import STAGE_NAMES, StagesSpec

#: the accepted old name of the policy option `min_delta`
OLD_MIN_DELTA = "d_acc"


def as_written(table: BaseModel | None) -> dict[str, Any]:
    """The keys that the file gives, without defaults."""
    return table.model_dump(exclude_unset=True) if table is not None else {}


def inherited_objective(
    round_table: Mapping[str, Any], task_table: Mapping[str, Any], task_path: Path, problems: list[Problem]
) -> Objective:
    """The task's objective. A smallest effect holds for the unit it was given with, and for no other."""
    inherited = dict(round_table)
    changes_unit = task_table.get("unit", inherited.get("unit", "pp")) != inherited.get("unit", "pp")
    if changes_unit:
        inherited.pop("min_effect", None)
    merged = {**inherited, **task_table}
    place = (*task_path, "objective") if task_table else ("objective",)
    unit = merged.get("unit", "pp")
    if unit != "pp" and "min_effect" not in merged:
        message = f'is missing: with unit "{unit}" the smallest effect of interest must be given'
        problems.append(Problem(path=(*place, "min_effect"), message=message))
    if "loss" in merged.get("metric", "acc").lower() and "direction" not in merged:
        message = f'is missing: say whether "{merged["metric"]}" is to "minimize" or "maximize"'
        problems.append(Problem(path=(*place, "direction"), message=message))
    return Objective(**merged)


def renamed_options(table: Mapping[str, Any], path: Path, problems: list[Problem]) -> dict[str, Any]:
    """A policy's table with the old option name replaced."""
    if OLD_MIN_DELTA in table and "min_delta" in table:
        message = "is the old name of min_delta, which is given too; keep one of them"
        problems.append(Problem(path=(*path, OLD_MIN_DELTA), message=message, found=table[OLD_MIN_DELTA]))
    renamed = {key: value for key, value in table.items() if key != OLD_MIN_DELTA}
    if OLD_MIN_DELTA in table:
        renamed.setdefault("min_delta", table[OLD_MIN_DELTA])
    return renamed


def inherited_policy(
    round_table: Mapping[str, Any], task_table: Mapping[str, Any], task_path: Path, problems: list[Problem]
) -> PolicyChoice:
    """The task's policy, checked by the policy itself. Another name inherits no options."""
    own = renamed_options(task_table, (*task_path, "policy"), problems)
    inherited = renamed_options(round_table, ("policy",), problems)
    default_name = inherited.get("name", DEFAULT_POLICY)
    name = own.get("name", default_name)
    merged = {**(inherited if name == default_name else {}), **own, "name": name}
    choice = PolicyChoice(name=name, options={key: merged[key] for key in merged if key != "name"})
    tables = (((*task_path, "policy"), task_table), (("policy",), round_table))
    problems += _policy_problems(choice, tables)
    return choice


def _policy_problems(choice: PolicyChoice, tables: Sequence[tuple[Path, Mapping[str, Any]]]) -> list[Problem]:
    known = policy_names()
    if choice.name not in known:
        words = unknown_words("policy", choice.name, known)
        return [Problem(path=_place("name", tables), message=words, found=choice.name)]
    try:
        make_policy(choice.name, choice.options)
    except (ValueError, TypeError) as error:
        return [_option_problem(line, choice, tables) for line in str(error).splitlines()]
    return [
        _option_problem(f"stops: {rule.name}: {problem}", choice, tables)
        for rule in StopRules.of(choice.options).advised
        if (problem := pruner_problem(rule)) is not None
    ]


def _option_problem(
    line: str, choice: PolicyChoice, tables: Sequence[tuple[Path, Mapping[str, Any]]]
) -> Problem:
    """A line of the policy's error, at the option it begins with."""
    option, colon, message = line.partition(": ")
    if colon and option in choice.options:
        return Problem(path=_place(option, tables), message=message)
    return Problem(path=_place(None, tables), message=f"policy {choice.name}: {line}")


def _place(option: str | None, tables: Sequence[tuple[Path, Mapping[str, Any]]]) -> Path:
    """Where the file gives the option, the task's own table first."""
    spellings = ("min_delta", OLD_MIN_DELTA) if option == "min_delta" else (option,)
    for path, table in tables:
        for spelling in spellings:
            if spelling is not None and spelling in table:
                return (*path, spelling)
    path = next((path for path, table in tables if table), tables[-1][0])
    return path if option is None else (*path, option)


def delta_unit_problem(
    objective: Objective,
    round_unit: str,
    round_policy: Mapping[str, Any],
    task_policy: Mapping[str, Any],
    task_path: Path,
) -> Problem | None:
    """A threshold in the round's unit says nothing about a task that has another."""
    given = {"min_delta", OLD_MIN_DELTA}
    takes_over = given & set(round_policy) and not given & set(task_policy) and "name" not in task_policy
    if not takes_over or objective.unit == round_unit:
        return None
    message = (
        f'is missing: the round gives it in "{round_unit}", which means nothing for this task\'s'
        f' unit "{objective.unit}"'
    )
    return Problem(path=(*task_path, "policy", "min_delta"), message=message)


def inherited_stages(
    round_table: StagesSpec | None, task_table: StagesSpec | None, task_path: Path, problems: list[Problem]
) -> tuple[Stage, ...]:
    """The task's stages in order of effort; those with a problem are left out."""
    of_round, of_task = as_written(round_table), as_written(task_table)
    names = [name for name in STAGE_NAMES if name in (of_round or of_task)]
    if not names:
        message = "is missing: at least one stage with a time_budget_sec is needed, e.g. [stages.quick]"
        problems.append(Problem(path=("stages",), message=message))
    for name in of_task:
        if name not in names:
            message = f"is no stage of this round; it has {', '.join(names)}"
            problems.append(Problem(path=(*task_path, "stages", name), message=message))
    tables = {name: {**of_round.get(name, {}), **of_task.get(name, {})} for name in names}
    place = ("stages",) if of_round else (*task_path, "stages")
    _follow_medium(tables, (place, (*task_path, "stages")), of_task, problems)
    stages = []
    for name, table in tables.items():
        if "time_budget_sec" in table:
            budget = Budget(**{"max_steps": None, **table})
            stages.append(Stage(name=name, budget=budget))
        else:
            message = "is missing: every stage needs the seconds after which a run is ended"
            problems.append(Problem(path=(*place, name, "time_budget_sec"), message=message))
    return tuple(stages)


def _follow_medium(
    tables: dict[str, dict[str, Any]],
    places: tuple[Path, Path],
    of_task: Mapping[str, Any],
    problems: list[Problem],
) -> None:
    """Give `confirm` the budget of `medium`: runs of the two must be comparable."""
    if "confirm" not in tables:
        return
    place, task_place = places
    if "medium" not in tables:
        message = "needs a stage medium, which it repeats on fresh seeds"
        problems.append(Problem(path=(*place, "confirm"), message=message))
        return
    medium, confirm = tables["medium"], tables["confirm"]
    for key, value in confirm.items():
        if medium.get(key) != value:
            own = (*(task_place if key in of_task.get("confirm", {}) else place), "confirm", key)
            wanted = medium.get(key, "not set")
            message = f"must be left out or as in medium ({wanted}): confirm is medium on fresh seeds"
            problems.append(Problem(path=own, message=message, found=value))
    tables["confirm"] = {**medium, **confirm}


def stages_out_of_order(written: Sequence[str]) -> str | None:
    """The words for stages that are not written in order of effort; None when they are."""
    in_order = [name for name in STAGE_NAMES if name in written]
    known = [name for name in written if name in STAGE_NAMES]
    if known == in_order:
        return None
    return f"must be written in order of effort: {', '.join(in_order)}"
