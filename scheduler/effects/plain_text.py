"""What of a text may reach a terminal? Letters, not commands to the terminal that shows them."""

from __future__ import annotations

import re
import unicodedata

#: whole sequences first, so that their parameters do not stay behind as text
_TERMINAL_SEQUENCES = re.compile(
    r"""
      (?:\x1b\]|\x9d) [^\x07\x1b\x9c\n]* (?:\x07|\x1b\\|\x9c)?            # titles, links, clipboard
    | (?:\x1b[PX^_]|[\x90\x98\x9e\x9f]) [^\x1b\x9c\n]* (?:\x1b\\|\x9c)?   # device control and its kin
    | (?:\x1b\[|\x9b) [0-?]* [ -/]* [@-~]?                              # colours, cursor
    | \x1b [ -/]* [0-~]?
    """,
    re.VERBOSE,
)
#: they reorder what is shown, so that it reads as something else
_BIDI = dict.fromkeys(map(ord, "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"))
_LINE_ENDS = re.compile(r"[\r\n\v\f\x85\u2028\u2029\t]+")


def plain_line(text: str) -> str:
    """`text` as one line: line ends and tabs are blanks, whatever steers a terminal is left out."""
    return _letters(_LINE_ENDS.sub(" ", _TERMINAL_SEQUENCES.sub("", text))).strip()


def plain_text(text: str) -> str:
    """`text` line by line: each a `plain_line` that keeps its indentation, each with a newline."""
    lines = [(line, plain_line(line)) for line in text.split("\n")]
    indented = [" " * (len(line) - len(line.lstrip(" "))) + plain for line, plain in lines]
    return "\n".join(indented).rstrip("\n") + "\n"


def harmless(text: str) -> str:
    """`text` with its own lines and blanks, and nothing in it that steers a terminal."""
    lines = _TERMINAL_SEQUENCES.sub("", text).split("\n")
    return "\n".join(_letters(_LINE_ENDS.sub(" ", line)) for line in lines)


def _letters(text: str) -> str:
    shown = (letter for letter in text.translate(_BIDI) if unicodedata.category(letter) != "Cc")
    return "".join(shown).encode("utf-8", "backslashreplace").decode("utf-8")
