"""Which tokens of a completion plan, and which execute? Those of a planning phrase plan.

`span` marks the tokens of the phrase. `window` is how its users have always found them: a window of five
tokens slides along, and where it holds a phrase it is marked up to the phrase's end, with what stands before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

Mode = Literal["window", "span"]

PHRASES = (
    "wait let me",
    "let me think",
    "on second thought",
    "let me check",
    "let me verify",
    "is this right",
    "double check",
    "try another approach",
    "go back and",
    "start over",
    "that's not right",
    "that doesn't work",
    "another way to",
    "or we could",
    "what if we",
    "notice that",
    "the key is",
    "the key insight",
)

#: tokens in a window
WINDOW = 5

#: each phrase wherever it begins, also inside of another
_PATTERNS = tuple(re.compile(rf"(?=\b({re.escape(phrase)})\b)", re.IGNORECASE) for phrase in PHRASES)


def planning_mask(tokens: Sequence[str], mode: Mode = "window") -> list[bool]:
    """For each token, written as text, whether it plans. Marks of subwords at its ends do not matter."""
    return list(_mask(tuple(tokens), mode))


@lru_cache(maxsize=65536)
def _mask(tokens: tuple[str, ...], mode: Mode) -> tuple[bool, ...]:
    words = [token.replace("▁", " ").replace("Ġ", " ").strip() for token in tokens]
    spans = _spans(words)
    mask = [False] * len(words)
    for first, last in spans:
        begin = max(0, last - WINDOW + 1) if mode == "window" else first
        for place in range(min(begin, first), last + 1):
            mask[place] = True
    return tuple(mask)


def _spans(words: Sequence[str]) -> list[tuple[int, int]]:
    """First and last token of every phrase."""
    begins, text = [], ""
    for word in words:
        text += " " if text and word else ""
        begins.append(len(text))
        text += word
    found = []
    for match in (match for pattern in _PATTERNS for match in pattern.finditer(text)):
        first, last = match.span(1)
        inside = [
            place
            for place, (begin, word) in enumerate(zip(begins, words, strict=True))
            if word and begin < last and begin + len(word) > first
        ]
        found.append((inside[0], inside[-1]))
    return found
