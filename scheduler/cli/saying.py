"""How does anything reach the terminal? By one door, where what would steer it is left behind.

Errors, reasons, names and titles come from specs, programs and other users' files.
"""

from __future__ import annotations

import sys
from typing import Any

from scheduler.effects.plain_text import harmless


def say(text: str = "", *, end: str = "\n", is_problem: bool = False) -> None:
    """Print `text`, on stderr where it is a problem. Only letters and line ends get through."""
    stream = sys.stderr if is_problem else sys.stdout
    stream.write(harmless(text) + end)
    stream.flush()


def say_json(value: Any) -> None:
    """Print `value` for a program, on several lines."""
    # only who asks for it pays for the import
    import json

    say_json_text(json.dumps(value, indent=2) + "\n")


def say_json_text(text: str) -> None:
    """Print a JSON text, whole: what a terminal could take for a command is spelled out as JSON may."""
    sys.stdout.write("".join(c if c == "\n" or c.isprintable() else _spelled_out(c) for c in text))
    sys.stdout.flush()


def _spelled_out(letter: str) -> str:
    """`letter` as JSON spells it in a string: by the numbers of its UTF-16."""
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
