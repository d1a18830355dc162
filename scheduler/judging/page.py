"""What may stand on the page of a way of judging? Values only: the report makes a page of them.

A page is for a person. What it says stands in the way's documents too; what it adds are pictures and samples.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """One or several sentences."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Callout:
    """What nobody may overlook: a warning, or why a figure is no evidence."""

    title: str
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows below a head, all of one length."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    #: columns that hold figures, counted from 0
    figures: frozenset[int] = frozenset()
    #: rows that stand out, counted from 0
    marked: frozenset[int] = frozenset()
    caption: str = ""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.head) for row in self.rows):
            raise ValueError(f"a row of the table {self.head} has another number of cells than its head")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a picture, with the band in which the seeds lie; all of one length."""

    label: str
    x: tuple[float, ...]
    mean: tuple[float, ...]
    #: lowest and highest over seeds; empty without a band
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    #: drawn thick, in ink, as what the others are held against
    is_baseline: bool = False

    def __post_init__(self) -> None:
        lengths = {len(self.x), len(self.mean), *(len(side) for side in (self.low, self.high) if side)}
        if len(lengths) != 1 or bool(self.low) != bool(self.high):
            raise ValueError(f"the line {self.label!r} has sides of different lengths")


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """A picture of lines: the baseline, and others in the colours of their order."""

    title: str
    #: what lies below the picture, such as "step"
    x_label: str
    lines: tuple[Line, ...]
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A part of a passage that stands out, and why."""

    begin: int
    end: int
    word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A text as a model wrote it, with its line ends."""

    title: str
    text: str
    #: in order, none overlapping another
    marks: tuple[Mark, ...] = ()
    #: in a few words each, such as `runaway`
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        end = 0
        for mark in self.marks:
            if not end <= mark.begin <= mark.end <= len(self.text):
                raise ValueError(f"the marks of the passage {self.title!r} overlap, or lie outside of it")
            end = mark.end


Block = Paragraph | Callout | Table | Curves | Passage


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: tuple[Block, ...]
    #: shown only when somebody asks for it
    is_folded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page, its answer first."""

    title: str
    #: the answer in a sentence or two
    lead: str
    #: (the config or nothing, its word), such as ("wide", "WINNER"): shown at the top
    words: tuple[tuple[str, str], ...] = ()
    sections: tuple[Section, ...] = ()
