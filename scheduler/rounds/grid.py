"""Which variants does a grid stand for? The cross product of its axes, in file order."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from scheduler.rounds.problems import Path, Problem

#: variants of one round, written out or made by grids
MAX_VARIANTS = 10_000
#: characters of a variant's name
MAX_NAME_LENGTH = 64

_OTHER_CHARACTERS = re.compile(r"[^A-Za-z0-9_.-]")


def grid_name(changes: Mapping[str, Any]) -> str:
    """`layer_start-1_alpha_init--2.0`. A character that no name may hold becomes an underscore."""
    return "_".join(f"{_named(axis)}-{_named(value)}" for axis, value in changes.items())


def expanded(
    base: Mapping[str, Any],
    axes: Mapping[str, Sequence[Any]],
    written: Container[str],
    room: int,
    task_path: Path,
    problems: list[Problem],
) -> dict[str, dict[str, Any]]:
    """The grid's variants by name, the last axis changing fastest; none when the grid has a problem.

    `written` are names that are taken, `room` is how many variants the round may still have.
    """
    path: Path = (*task_path, "grid")
    found = [*_axis_problems(base, axes, path)]
    size = math.prod(len(values) for values in axes.values())
    if size > room:
        message = f"makes {size} variants; of the {MAX_VARIANTS} that a round may have, {room} are left"
        found.append(Problem(path=path, message=message))
    if found:
        problems += found
        return {}
    combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    names = [grid_name(changes) for changes in combinations]
    if named := [*_name_problems(names, written, path)]:
        problems += named
        return {}
    return {name: {**base, **changes} for name, changes in zip(names, combinations, strict=True)}


def _axis_problems(
    base: Mapping[str, Any], axes: Mapping[str, Sequence[Any]], path: Path
) -> Iterator[Problem]:
    if not axes:
        yield Problem(path=path, message="has no axes; write e.g. layer_start = [1, 2], or leave it out")
    for axis, values in axes.items():
        if axis in base:
            yield Problem(path=(*path, axis), message="is in grid_base too; keep one of them")
        index_by_name: dict[str, int] = {}
        for index, value in enumerate(values):
            if not isinstance(value, str | int | float):
                message = "must be a number, a string or true/false; write such variants out"
                yield Problem(path=(*path, axis, index), message=message, found=value)
                continue
            first = index_by_name.setdefault(_named(value), index)
            if first != index:
                message = f"has the same name in a variant as entry {first}"
                yield Problem(path=(*path, axis, index), message=message, found=value)


def _name_problems(names: Sequence[str], written: Container[str], path: Path) -> Iterator[Problem]:
    longest = max(names, key=len)
    if len(longest) > MAX_NAME_LENGTH:
        message = (
            f"makes names of {len(longest)} characters, and a name may have {MAX_NAME_LENGTH}; put axes of"
            " one value into grid_base, or write the variants out under shorter names"
        )
        yield Problem(path=path, message=message, found=longest)
    elif not names[0][0].isalnum():
        message = "makes names that do not begin with a letter or a digit; write the variants out"
        yield Problem(path=path, message=message, found=names[0])
    for name in names:
        if name in written:
            message = "makes a variant of the same name as one that is written out"
            yield Problem(path=path, message=message, found=name)
    double, count = Counter(names).most_common(1)[0]
    if count > 1:
        message = "makes two variants of the same name; write the variants out"
        yield Problem(path=path, message=message, found=double)


def _named(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value).replace("+", "")  # 1e+20
    return _OTHER_CHARACTERS.sub("_", str(value))
