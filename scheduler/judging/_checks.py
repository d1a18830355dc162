"""Can an option be used? Each check gives the lines a way of judging refuses its options with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def refuse(problems: Iterable[str]) -> None:
    """Raises ValueError with every problem, a line each, where there is one."""
    found = list(problems)
    if found:
        raise ValueError("\n".join(found))


def is_number(value: Any) -> bool:
    """A finite number; a flag is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number_problems(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Iterator[str]:
    """At most one line, for a value that is no finite number or lies outside."""
    bounds = [
        f"{words} {bound:g}"
        for words, bound in (("at least", least), ("more than", above), ("less than", below))
        if bound is not None
    ]
    fits = (
        is_number(value)
        and (least is None or value >= least)
        and (above is None or value > above)
        and (below is None or value < below)
    )
    if not fits:
        must = f" {' and '.join(bounds)}" if bounds else ""
        yield f"{name}: must be a number{must} (found {value!r})"


def whole_problems(name: str, value: Any, least: int = 0) -> Iterator[str]:
    """At most one line, for a value that is no whole number or too small."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        yield f"{name}: must be a whole number of at least {least} (found {value!r})"


def seeds_problems(name: str, value: Any, least: int) -> Iterator[str]:
    """At most one line, for what is no list of at least `least` whole numbers, all different."""
    if (
        not isinstance(value, list | tuple)
        or not all(type(seed) is int for seed in value)
        or not least <= len(set(value)) == len(value)
    ):
        yield f"{name}: must be different whole numbers, at least {least} (found {value!r})"


def flag_problems(name: str, value: Any) -> Iterator[str]:
    """At most one line, for a value that is neither true nor false."""
    if not isinstance(value, bool):
        yield f"{name}: must be true or false (found {value!r})"


def numbers_problems(name: str, value: Any) -> Iterator[str]:
    """A line for what is no table of numbers, or for each number that is none."""
    if not isinstance(value, Mapping):
        yield f"{name}: must be a table of numbers (found {value!r})"
        return
    for key, number in value.items():
        yield from number_problems(f"{name}.{key}", number)


def word_problems(name: str, value: Any) -> Iterator[str]:
    """At most one line, for a value that is no text; it may be empty."""
    if not isinstance(value, str):
        yield f"{name}: must be a word (found {value!r})"


def words(value: Any) -> Any:
    """A list of words as a tuple, one word as a list of one; anything else as it is."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def words_problems(name: str, value: Any) -> Iterator[str]:
    """At most one line, for a value that is no tuple of words."""
    if not isinstance(value, tuple) or not all(isinstance(word, str) and word.strip() for word in value):
        yield f"{name}: must be a word or a list of words (found {value!r})"
