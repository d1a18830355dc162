"""What is an item of a text task: what is asked, what stands around it, and what is the answer?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: of how rows become examples: raise it with every change that alters one
BUILDER_VERSION = 1

#: one cluster in so many only evaluates where there is no source of its own for that
HELD_OUT_SHARE = 5


class UnusableRowError(ValueError):
    """A row that makes no item; the message, which names no row, is counted and shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """A part of a long prompt."""

    text: str
    #: left out last when the prompt is too long
    is_needed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One question, made from one row."""

    #: what makes it the item it is: items with the same key are the same, whatever file they come from
    key: str
    #: what it shares with others, a document or a protein: these are all on one side
    cluster: str
    #: the prompt is `before`, the paragraphs or notes, `after`
    before: str
    after: str
    paragraphs: tuple[Paragraph, ...] = ()
    answer: str
    #: the single characters that an answer is made of, one token each; () where it is free text with an end
    symbols: tuple[str, ...] = ()
    #: how it reads as a note in the prompt of another item
    note: str | None = None
    #: a note that holds this text says too much
    forbidden: str | None = None
    #: what else is needed to judge an answer
    checks: Mapping[str, Any] = field(default_factory=dict)


def digest(text: str) -> str:
    """Orders items and decides on which side they are: nothing drawn enters it."""
    return hashlib.sha256(f"{BUILDER_VERSION}\0{text}".encode(errors="surrogatepass")).hexdigest()


def is_held_out(cluster: str) -> bool:
    return int(digest(f"side\0{cluster}")[:8], 16) % HELD_OUT_SHARE == 0


def words(text: str) -> str:
    """`text` without case, punctuation and spacing, to tell whether two are the same."""
    kept = "".join(letter.lower() if letter.isalnum() else " " for letter in text)
    return " ".join(kept.split())
