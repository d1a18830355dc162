"""Which files are the answer of a way of judging? Its documents, and its pages, each whole in one file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scheduler.effects.plain_text import harmless
from scheduler.judging.page import Block, Callout, Curves, Line, Page, Paragraph, Passage, Table
from scheduler.judging.protocol import Judged
from scheduler.report import pictures
from scheduler.report.curves import NAMED_AT_MOST, Curve
from scheduler.report.pictures import LegendEntry
from scheduler.report.templating import markup, preformatted, render

_KINDS = {Paragraph: "paragraph", Callout: "callout", Table: "table", Curves: "curves", Passage: "passage"}


def documents_of(answer: Judged) -> dict[str, str]:
    """Contents by file name. The same answer gives the same bytes."""
    pages = {f"{stem}.html": render_way(page) for stem, page in answer.pages().items()}
    return {**answer.documents(), **pages}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """A block of curves, drawn."""

    svg: Any
    caption: str
    legend: tuple[LegendEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A block, or pictures that follow each other, with what the template cannot make of it."""

    kind: str
    block: Block
    #: side by side
    pictures: tuple[_Picture, ...] = ()
    #: that all of the pictures have; empty where each needs its own
    legend: tuple[LegendEntry, ...] = ()
    #: of a passage: (text, the word of its mark or nothing)
    parts: tuple[tuple[Any, str], ...] = ()


def render_way(page: Page) -> str:
    """`page` as one file of HTML: escaped, without scripts, and nothing is fetched."""
    sections = [
        (section, list(_all_shown(section.blocks, f"s{number}")))
        for number, section in enumerate(page.sections, start=1)
    ]
    return render("way.html", page=page, sections=sections)


def _all_shown(blocks: Sequence[Block], name: str) -> Iterator[_Shown]:
    numbered = enumerate(blocks, start=1)
    for kind, group in itertools.groupby(numbered, key=lambda each: _KINDS[type(each[1])]):
        members = list(group)
        drawn = [_picture(block, f"{name}b{n}") for n, block in members if isinstance(block, Curves)]
        if drawn:
            legends = {picture.legend for picture in drawn}
            shared = drawn[0].legend if len(legends) == 1 and len(drawn[0].legend) > 1 else ()
            yield _Shown(kind=kind, block=members[0][1], pictures=tuple(drawn), legend=shared)
            continue
        for _, block in members:
            parts = tuple(_parts(block)) if isinstance(block, Passage) else ()
            yield _Shown(kind=kind, block=block, parts=parts)


def _picture(block: Curves, name: str) -> _Picture:
    drawn = pictures.lines_picture(
        [(_style(line, place), _curve(line)) for place, line in _ordered(block.lines)],
        x_label=block.x_label,
        words=block.title,
        name=name,
        title=f"{block.title} against {block.x_label}",
    )
    return _Picture(svg=markup(drawn), caption=block.caption, legend=tuple(_legend(block.lines)))


def _ordered(lines: Sequence[Line]) -> Iterator[tuple[int | None, Line]]:
    """Each line with its place among the colours; the baseline has none, and is drawn last."""
    others = [line for line in lines if not line.is_baseline]
    yield from reversed(list(enumerate(others)))
    yield from ((None, line) for line in lines if line.is_baseline)


def _style(line: Line, place: int | None) -> pictures.LineStyle:
    if place is None:
        return pictures.LineStyle(colour="baseline", width=2.6)
    if place >= NAMED_AT_MOST:
        return pictures.LineStyle(colour="faint", width=1.0)
    return pictures.LineStyle(colour=f"series-{place + 1}", dashes=pictures.DASHES[place])


def _curve(line: Line) -> Curve:
    return Curve(
        config=line.label,
        seeds=(0, 1) if line.low else (0,),
        steps=line.x,
        mean=line.mean,
        low=line.low or line.mean,
        high=line.high or line.mean,
    )


def _legend(lines: Sequence[Line]) -> Iterator[LegendEntry]:
    for place, line in sorted(_ordered(lines), key=lambda item: -1 if item[0] is None else item[0]):
        style = _style(line, place)
        width = 3 if place is None else 2
        yield LegendEntry(label=line.label, colour=style.colour, dashes=style.dashes, width=width)


def _parts(passage: Passage) -> Iterator[tuple[Any, str]]:
    """The text cut at its marks."""
    begin = 0
    for mark in passage.marks:
        yield _words(passage.text[begin : mark.begin]), ""
        yield _words(passage.text[mark.begin : mark.end]), mark.word
        begin = mark.end
    yield _words(passage.text[begin:]), ""


def _words(text: str) -> Any:
    return preformatted(harmless(text))
