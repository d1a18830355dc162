"""How do figures and foreign names fit into a document? As cells that Markdown and HTML take for text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

#: longest text of a cell
_MAX_CHARACTERS = 300


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table and the empty line after it. The head is taken as it is, what the rows say is escaped."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell(text) for text in row)} |"
    yield ""


def cell(text: str) -> str:
    """`text` on one line, with nothing in it that Markdown or HTML would take for its own."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    text = " ".join(plain.split())[:_MAX_CHARACTERS]
    # a ">" opens nothing that a "<" has not begun
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    for char in "\\|*_`[]":
        escaped = escaped.replace(char, "\\" + char)
    return escaped


def number(value: float | None, digits: int = 4) -> str:
    """Four decimals where they fit the size of the number, five digits elsewhere, `-` for None."""
    if value is None:
        return "-"
    fits = value == 0 or 0.01 <= abs(value) < 1000
    return f"{value:.{digits}f}" if fits else f"{value:.5g}"


def file_words(names: Iterable[str]) -> tuple[str, ...]:
    """`names` as parts of file names, all different; what a file name had better not hold becomes `_`."""
    words: list[str] = []
    for name in names:
        word = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")[:100] or "unnamed"
        while word.lower() in {taken.lower() for taken in words}:
            word += "_"
        words.append(word)
    return tuple(words)
