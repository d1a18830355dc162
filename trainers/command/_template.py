"""What does a template of a command line ask for, and what does it become?"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

#: placeholders that the scheduler fills; a variant cannot set them
GIVEN = ("seed", "steps", "seconds", "bsz", "run_dir", "device")

_TOKEN = re.compile(r"\{\{|\}\}|\{(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)\}|[{}]")


class TemplateError(ValueError):
    """A brace that belongs to nothing."""


def placeholders(template: str) -> set[str]:
    """Names of the placeholders of `template`. Raises TemplateError."""
    found = set()
    for token in _TOKEN.finditer(template):
        if token["name"]:
            found.add(token["name"])
        elif token[0] in "{}":
            raise TemplateError(f"a lone {token[0]} in {template!r}: write {token[0] * 2} for the character")
    return found


def fill(template: str, values: Mapping[str, object]) -> str:
    """`template` with its placeholders filled. Raises KeyError for one that has no value."""

    def replacement(token: re.Match[str]) -> str:
        return text_of(values[token["name"]]) if token["name"] else token[0][0]

    return _TOKEN.sub(replacement, template)


def text_of(value: object) -> str:
    """A value as it stands on a command line: true and false in lower case, numbers as Python writes them."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that is most like `name`; empty where none is."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""
