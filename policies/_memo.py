"""What was worked out before from the same values? The last few answers of a costly pure function."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Memo(Generic[Answer]):
    """Answers by all they depend on. Forgetting one costs time, and changes nothing."""

    __slots__ = ("_answers", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._answers: dict[Hashable, Answer] = {}

    def get(self, known_by: Hashable, work_out: Callable[[], Answer]) -> Answer:
        """The answer known by that; worked out, and kept in place of the oldest one, when there is none."""
        if known_by not in self._answers:
            answer = work_out()
            while len(self._answers) >= self._size:
                del self._answers[next(iter(self._answers))]
            self._answers[known_by] = answer
        return self._answers[known_by]


class Same:
    """The very same object, as part of what an answer is known by.

    An object that can be referred to weakly is not kept alive by that.
    """

    __slots__ = ("_get", "_id")

    def __init__(self, thing: object) -> None:
        self._id = id(thing)
        try:
            self._get: Callable[[], object] = weakref.ref(thing)
        except TypeError:
            self._get = lambda: thing

    @property
    def thing(self) -> object:
        """The object; None once it is gone."""
        return self._get()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self._id == other._id and self._get() is other._get()

    def __hash__(self) -> int:
        return self._id
