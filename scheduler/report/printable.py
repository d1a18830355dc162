"""How does a foreign text fit into a line of a report? Plain, and cut where it is long."""

from __future__ import annotations

from scheduler.effects.plain_text import plain_line


def one_line(text: str, limit: int = 300) -> str:
    """`text` folded to one line of at most `limit` characters, with nothing that steers a terminal."""
    line = " ".join(plain_line(text).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def first_line(text: str, limit: int = 300) -> str:
    """The first line of `text` that says anything: of a recorded error, its message."""
    lines = (one_line(line, limit) for line in text.splitlines())
    return next((line for line in lines if line), "")
