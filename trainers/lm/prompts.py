"""What does a model write when it is given a beginning, and is that language at all?

The suite has a version: raise it with every change of a prompt, a temperature or a measure, because readings
of two versions are not comparable.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

SUITE_VERSION = 1

PROMPTS = (
    "Once upon a time",
    "Long ago, in a quiet village,",
    "One sunny morning,",
    "The little fox was",
    "They walked slowly over the",
    '"Help!" cried',
    "Every evening she would",
    "That night the moon",
)

#: 0 is greedy: always the most likely token
TEMPERATURES = (0.8, 0.0)

# A text is intelligible when it keeps all of these.
LEAST_PRINTABLE = 0.95
LEAST_WORD_LIKE = 0.6
MOST_CHAR_REPETITION = 0.2
MOST_TRIGRAM_REPETITION = 0.5

#: letters of the longest word that is taken for one
_LONGEST_WORD = 20
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_VOWEL = re.compile(r"[aeiouyäöüáéíóúàèìòùâêîôûåæøœ]", re.IGNORECASE)
_AROUND_WORDS = "\"'“”‘’.,;:!?()[]…-–—"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the continuation of one prompt looks like. Shares from 0 to 1."""

    #: of the characters, those that print, spaces and line ends included
    printable: float
    #: of the words, those made of letters as a word is
    word_like: float
    #: of the characters, those that repeat the one before; some 2 % in English
    char_repetition: float
    #: of the runs of three words, those that stood in the text before
    trigram_repetition: float

    @property
    def is_intelligible(self) -> bool:
        return (
            self.printable >= LEAST_PRINTABLE
            and self.word_like >= LEAST_WORD_LIKE
            and self.char_repetition <= MOST_CHAR_REPETITION
            and self.trigram_repetition <= MOST_TRIGRAM_REPETITION
        )


def read(text: str) -> Reading:
    """The measures of a continuation. One without a word is not word-like at all."""
    words = text.split()
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    return Reading(
        printable=_share(sum(_prints(character) for character in text), len(text)),
        word_like=_share(sum(map(_is_word_like, words)), len(words)),
        char_repetition=_share(sum(x == y for x, y in pairwise(text)), len(text) - 1),
        trigram_repetition=_share(len(trigrams) - len(set(trigrams)), len(trigrams)),
    )


def suite_name(prompts: Sequence[str]) -> str:
    """`v1` for the suite's own prompts, `v1-3f9a2c71` for others."""
    if not prompts:
        return f"v{SUITE_VERSION}"
    digest = hashlib.sha256(json.dumps(list(prompts)).encode()).hexdigest()
    return f"v{SUITE_VERSION}-{digest[:8]}"


def _prints(character: str) -> bool:
    # what no bytes of the text could stand for is read as U+FFFD
    return character != "\N{REPLACEMENT CHARACTER}" and (character.isprintable() or character in "\n\t")


def _is_word_like(word: str) -> bool:
    bare = word.strip(_AROUND_WORDS)
    return len(bare) <= _LONGEST_WORD and _WORD.fullmatch(bare) is not None and bool(_VOWEL.search(bare))


def _share(part: int, whole: int) -> float:
    return part / whole if whole > 0 else 0.0
