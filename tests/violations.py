"""What is not as it should be, among many cases: told, and counted, and the others go on."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

TOLD_EVERY = 20

Case = TypeVar("Case")


def violations_among(cases: Sequence[Case], check: Callable[[Case], object], at_once: int = 1) -> int:
    """In how many cases `check` raises. Each is printed, and from time to time how far it is."""
    count = 0
    call = _violation_of(check)
    with ThreadPoolExecutor(at_once) as pool:
        found = map(call, cases) if at_once == 1 else pool.map(call, cases)
        for done, (case, violation) in enumerate(zip(cases, found, strict=True), start=1):
            if violation is not None:
                count += 1
                print(f"{case}: {violation}", flush=True)
            if done % TOLD_EVERY == 0:
                print(f"{done} of {len(cases)}, {count} violations", flush=True)
    return count


def _violation_of(check: Callable[[Case], object]) -> Callable[[Case], str | None]:
    """`check`, with what an error says in its place."""

    def call(case: Case) -> str | None:
        try:
            check(case)
        except Exception:  # whatever it is, a case that is as it should be raises nothing
            return traceback.format_exc()
        return None

    return call
