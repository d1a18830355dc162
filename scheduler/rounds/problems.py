"""What is wrong with a file a person wrote, where in it, and what was found there?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from scheduler.rounds.redaction import looks_secret

#: where in a file: keys of tables and positions in lists
Path = tuple[str | int, ...]

#: stands for "there is no value to show"
NOTHING: Final = object()

#: problems shown of one file; the rest is counted
MAX_PROBLEMS = 100
#: characters shown of a value or a key
MAX_SHOWN = 60
#: characters shown of one problem
MAX_LENGTH = 400

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing to correct. `str()` gives `path: message (found value)`."""

    path: Path
    message: str
    #: the value at `path`; NOTHING where there is none to show
    found: Any = NOTHING
    #: name of the task that `path` leads into, where it has one
    task: str | None = None

    def __str__(self) -> str:
        place = f"{shown_path(self.path)}: " if self.path else ""
        found = "" if self.found is NOTHING else f" (found {_shown_at(self.path, self.found)})"
        task = f" [task {printable(self.task)}]" if self.task else ""
        return shortened(f"{place}{self.message}{found}", MAX_LENGTH) + task

    @property
    def is_absence(self) -> bool:
        """Whether the problem is that nothing stands at `path`."""
        return self.message.startswith("is missing")

    def is_within(self, path: Path) -> bool:
        """Whether the problem lies at `path` or below it."""
        return self.path[: len(path)] == path


def shown_path(path: Path) -> str:
    """The path as its users write it: `tasks[0].variants.hot.lr`, with odd keys in quotes."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            key = part if _BARE_KEY.fullmatch(part) else json.dumps(printable(part), ensure_ascii=False)
            text += ("." if text else "") + shortened(key, MAX_SHOWN + 4)
    return text


def shown(value: Any) -> str:
    """A value as it may be shown in a message: short, on one line, without control characters."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple) and any(isinstance(item, dict | list | tuple) for item in value):
        return f"a list of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**MAX_SHOWN:
        return "a very large number"
    if isinstance(value, str):
        return json.dumps(shortened(printable(value), MAX_SHOWN), ensure_ascii=False)
    return shortened(printable(json.dumps(value, ensure_ascii=False, default=str)), MAX_SHOWN)


def printable(text: str) -> str:
    """The text without anything that could move a cursor, reverse a line or fail to encode."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def shortened(text: str, length: int) -> str:
    """At most `length` characters of the text, with an ellipsis where it was cut."""
    return text if len(text) <= length else text[: length - 3] + "..."


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be."""
    # only a broken file pays for the import
    from difflib import get_close_matches

    by_lower = {name.lower(): name for name in known}
    found = get_close_matches(word[:MAX_SHOWN].lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def unknown_words(kind: str, word: str, known: Sequence[str]) -> str:
    """`unknown key; did you mean "max_steps"?`, or the known ones where none is near."""
    guess = nearest(word, known)
    if guess is not None:
        return f'unknown {kind}; did you mean "{guess}"?'
    return f"unknown {kind}; known here: {', '.join(known)}"


def without_followers(first: Iterable[Problem], later: Iterable[Problem]) -> list[Problem]:
    """All problems, without the later ones that only follow from a first one.

    What lies in a value that has a problem is not reported again, nor is something missing of which a part is
    there but wrong.
    """
    first = list(first)
    wrong = {problem.path for problem in first}
    around_wrong = {path[:length] for path in wrong for length in range(len(path))}
    kept = [
        problem
        for problem in later
        if not any(problem.path[:length] in wrong for length in range(1, len(problem.path) + 1))
        and not (problem.is_absence and problem.path in around_wrong)
    ]
    return first + kept


def rendered(problems: Iterable[Problem | str]) -> tuple[str, ...]:
    """The problems as text, each once, at most MAX_PROBLEMS of them and the number of the others."""
    # a grid can repeat a problem thousands of times; only what is shown is made into text
    first_by_place: dict[object, Problem | str] = {}
    for problem in problems:
        place = problem if isinstance(problem, str) else (problem.path, problem.message)
        first_by_place.setdefault(place, problem)
    texts = [str(problem) for problem in list(first_by_place.values())[:MAX_PROBLEMS]]
    more = len(first_by_place) - MAX_PROBLEMS
    return (*texts, *([f"... and {more} more problems"] if more > 0 else []))


def _shown_at(path: Path, value: Any) -> str:
    """The value, unless a name on the way to it says that it is secret."""
    if any(isinstance(part, str) and looks_secret(part) for part in path):
        return "a value that is not shown"
    return shown(value)
