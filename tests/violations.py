"""What was not as it should be, told at the end of hours rather than at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Case = TypeVar("Case")


def violation_of(check: Callable[[Case], object]) -> Callable[[Case], str | None]:
    """`check`, with what an AssertionError says in the place of the error."""

    def call(case: Case) -> str | None:
        try:
            check(case)
        except AssertionError as error:
            return str(error) or "an assertion without words"
        return None

    return call
