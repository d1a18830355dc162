"""Are these lessons what they say? They come from a file anyone may write, and are learnt for good."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from policies._ledger import Lesson, lesson_from
from policies._race_level import Counters
from policies._variance import Spread

#: never the name of a lesson of ours, which is "<round>/<task>"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}@[0-9a-f]{12}")
_UNIT = re.compile(r"[A-Za-z%]{1,16}")


def foreign_lessons(data: object) -> dict[str, Lesson]:
    """The lessons of an import by name. Raises ValueError for anything that is no sound lesson."""
    if not isinstance(data, Mapping) or not data:
        raise ValueError("it holds no lessons")
    return {name: _lesson(name, fields) for name, fields in data.items()}


def _lesson(name: str, fields: Any) -> Lesson:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a foreign lesson")
    try:
        lesson = lesson_from(fields)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"lesson {name} cannot be read ({type(error).__name__}: {error})") from error
    if not isinstance(lesson.unit, str) or not _UNIT.fullmatch(lesson.unit):
        raise ValueError(f"lesson {name} has the unit {lesson.unit!r}")
    problem = next(_problems(lesson), None)
    if problem is not None:
        raise ValueError(f"lesson {name}: {problem}")
    return lesson


def _problems(lesson: Lesson) -> Iterator[str]:
    """What is wrong with its numbers."""
    counts = (lesson.quick.df, lesson.medium.df, lesson.pairs.pairs)
    if not all(isinstance(number, int) and number >= 0 for number in counts):
        yield "its counts are no whole numbers from 0"
    sums = (lesson.quick.ss, lesson.medium.ss, lesson.pairs.variant_ss, lesson.pairs.baseline_ss)
    if not all(_is_number(number) and number >= 0 for number in sums):
        yield "its sums of squares are not from 0"
    if not _is_number(lesson.pairs.products):
        yield "its sum of products is not a number"
    if not _is_number(lesson.min_effect) or lesson.min_effect <= 0:
        yield "its min_effect is not above 0"
    for each in lesson.readings:
        if not all(map(_is_number, (each.value, each.sd, each.slope))) or each.sd <= 0:
            yield "a reading of it has no number, or no sd above 0"
    if lesson.confirmed != 0:
        yield "foreign runs confirm nothing, so `confirmed` must be 0"
    if lesson.counters != Counters() or lesson.candidates != Spread() or lesson.protocol:
        yield "foreign runs are no race of ours, so `counters`, `candidates` and `protocol` must be left out"
    if lesson.is_empty:
        yield "it teaches nothing"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
