"""Which keys of a spec have the wrong name or a wrong value? Every one of them, in plain words.

What is wrong is then left out, so that the rest of the file can still be looked into.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from scheduler.rounds.problems import NOTHING, Path, Problem, unknown_words
from scheduler.rounds.spec import (
    ID_PATTERN,
    TRAINER_PATTERN,
    VARIANT_PATTERN,
    RoundSpec,
    StagesSpec,
    TaskSpec,
)

#: passes that may each find something new after what the pass before found has been left out
_MAX_PASSES = 8

_PATTERN_WORDS = {
    ID_PATTERN: 'must be letters, digits, "_" and "-", at most 64, beginning with a letter or a digit',
    VARIANT_PATTERN: (
        'must be letters, digits, "_", "-" and ".", at most 64, beginning with a letter or a digit'
    ),
    TRAINER_PATTERN: "must be the name of a trainer: letters, digits and underscores, at most 64",
}
_WORDS = {
    "missing": "is missing",
    "int_type": "must be a whole number, written without a point or an exponent",
    "float_type": "must be a number",
    "string_type": "must be a string",
    "list_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "too_short": "must have at least one entry",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must be one word, without spaces and not too long",
    "rule": "{words}",
}


def shaped(raw: Mapping[str, Any]) -> tuple[RoundSpec, list[Problem]]:
    """The spec in `raw`, without the keys that have problems, and these problems in file order.

    Where a required key is missing or wrong the spec holds a stand-in, so it may be used only to find more
    problems.
    """
    problems: list[Problem] = []
    data: Any = raw
    for _ in range(_MAX_PASSES):
        try:
            return RoundSpec.model_validate(data), problems
        except ValidationError as error:
            errors = error.errors(include_url=False)
        problems += [_problem(e, raw) for e in errors]
        data = _with_stand_ins(without(data, [_path(e) for e in errors]))
    raise AssertionError(f"a spec cannot be brought into shape: {errors[0]}")


def _path(error: ErrorDetails) -> Path:
    return tuple(part for part in error["loc"] if part != "[key]")


def _problem(error: ErrorDetails, raw: Any) -> Problem:
    path = _path(error)
    if error["type"] == "extra_forbidden":
        model = _model_at(path[:-1])
        kind = "stage" if model is StagesSpec else "key"
        words = unknown_words(kind, str(path[-1]), list(model.model_fields))
        return Problem(path=path, message=words, found=error["input"])
    if path[-1:] == ("bsz",) and error["type"] == "list_type":
        return Problem(path=path, message="must be a whole number or a list of them", found=error["input"])
    if path[-2:-1] == ("bsz",) and not isinstance(_value_at(raw, path[:-1]), list):
        path = path[:-1]  # a number, which the model reads as a list of one
    found = NOTHING if error["type"] in ("missing", "too_short") else error["input"]
    return Problem(path=path, message=_words(error), found=found)


def _words(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if error["type"] == "string_pattern_mismatch" and context["pattern"] in _PATTERN_WORDS:
        return _PATTERN_WORDS[context["pattern"]]
    words = _WORDS.get(error["type"])
    return words.format(**context) if words is not None else error["msg"]


def _model_at(path: Path) -> type[BaseModel]:
    """The model of the table at `path`."""
    model: type[BaseModel] = RoundSpec
    for part in path:
        if isinstance(part, int):
            model = TaskSpec
        elif part != "tasks":
            annotation = model.model_fields[part].annotation
            assert isinstance(annotation, type)
            model = annotation
    return model


def _value_at(raw: Any, path: Path) -> Any:
    for part in path:
        raw = raw[part]
    return raw


def without(raw: Any, paths: Iterable[Path]) -> Any:
    """A copy of `raw` without what is at `paths`; a list of values goes as a whole."""
    raw = copy.deepcopy(raw)
    for path in paths:
        _remove(raw, path)
    return raw


def _remove(raw: Any, path: Path) -> None:
    owner: tuple[dict[str, Any], str] | None = None
    value = raw
    for depth, part in enumerate(path):
        if isinstance(value, dict):
            if part not in value:
                return
            owner, value = (value, str(part)), value[part]
        elif isinstance(value, list) and isinstance(part, int) and path[0] == "tasks" and depth == 1:
            if len(path) == 2:
                value[part] = {}  # the other tasks keep their places
                return
            owner, value = None, value[part]
        else:
            break
    if owner is not None:
        del owner[0][owner[1]]


def _with_stand_ins(raw: dict[str, Any]) -> dict[str, Any]:
    raw["tasks"] = raw.get("tasks") or [{}]
    for index, task in enumerate(raw["tasks"]):
        if isinstance(task, dict):
            task.setdefault("name", f"task-{index}")
            task.setdefault("trainer", "unknown")
    return raw
