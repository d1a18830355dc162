"""Have two runs failed the same way? By the class and what was said, numbers and names of their own aside."""

from __future__ import annotations

import re
from collections.abc import Iterable

from scheduler.decide.facts import RunFinished

#: tells that a process ended, and nothing of why: the last line of its output says more
_BARE = re.compile(r"^the (?:worker|program) (?:was killed|exited|ended)[^:]*$")
_OWN = re.compile(r"0x[0-9a-f]+|/tmp/\S+|\d+")


def is_same_failure(one: RunFinished, other: RunFinished) -> bool:
    """Whether two failures have the same class and say the same."""
    return one.failure_class == other.failure_class and _signature(one) == _signature(other)


def times_alike(ends: Iterable[RunFinished | None], last: RunFinished) -> int:
    """How many of a run's attempts failed the same way as its last one, that one included."""
    return sum(end is not None and end.has_failed and is_same_failure(end, last) for end in ends)


def _signature(run: RunFinished) -> str:
    error = (run.error or "").replace(run.run_dir, "#")
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    if not lines:
        return ""
    told = lines[0] if not _BARE.match(lines[0]) else f"{lines[0]}\n{lines[-1]}"
    return _OWN.sub("#", told)
