"""Where does a text end, and what of it is the answer? Pure functions on text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from trainers.generate.formats import DELIMITERS

#: of `cleaned`: raise it with every change that alters a cleaned text
CLEANING_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStop:
    """A stop sequence in a text."""

    sequence: str
    #: characters before it
    place: int


def first_stop(text: str, sequences: Sequence[str]) -> FoundStop | None:
    """The sequence that begins first in `text`; the longest of several that begin there."""
    found = [
        FoundStop(sequence=sequence, place=place)
        for sequence in sequences
        if (place := text.find(sequence)) >= 0
    ]
    return min(found, key=lambda stop: (stop.place, -len(stop.sequence)), default=None)


def cleaned(raw: str) -> str:
    """The answer alone: up to the first delimiter or the beginning of one, without space around it."""
    found = first_stop(raw, DELIMITERS)
    text = (raw[: found.place] if found else raw).rstrip()
    for delimiter in DELIMITERS:
        for length in range(len(delimiter), 0, -1):
            if text.endswith("\n" + delimiter[:length]):
                text = text[: -length - 1].rstrip()
    return text.strip()


_SENTENCE_END = re.compile(r"[.!?]+[\"'”’)]*(?=\s|$)")


def sentences(text: str) -> int:
    """Sentences that have ended."""
    return len(_SENTENCE_END.findall(text))


def is_cut(text: str) -> bool:
    """Whether the text ends in the middle of a sentence, or is empty."""
    stripped = text.rstrip()
    return not stripped or not re.search(r"[.!?][\"'”’)]*$", stripped)
