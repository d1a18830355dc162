"""Which files are the answer of a way of judging? Its documents, and its pages, each whole in one file."""

from __future__ import annotations

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
class _Shown:
    """A block with what the template cannot make of it."""

    kind: str
    block: Block
    svg: Any = None
    legend: tuple[LegendEntry, ...] = ()
    #: of a passage: (text, the word of its mark or nothing)
    parts: tuple[tuple[Any, str], ...] = ()


def render_way(page: Page) -> str:
    """`page` as one file of HTML: escaped, without scripts, and nothing is fetched."""
    sections = [
        (
            section,
            [_shown(block, f"s{number}b{place}") for place, block in enumerate(section.blocks, start=1)],
        )
        for number, section in enumerate(page.sections, start=1)
    ]
    return render("way.html", page=page, sections=sections)


def _shown(block: Block, name: str) -> _Shown:
    kind = _KINDS[type(block)]
    if isinstance(block, Curves):
        drawn = pictures.lines_picture(
            [(_style(line, place), _curve(line)) for place, line in _ordered(block.lines)],
            x_label=block.x_label,
            words=block.title,
            name=name,
            title=f"{block.title} against {block.x_label}",
        )
        return _Shown(kind=kind, block=block, svg=markup(drawn), legend=tuple(_legend(block.lines)))
    if isinstance(block, Passage):
        return _Shown(kind=kind, block=block, parts=tuple(_parts(block)))
    return _Shown(kind=kind, block=block)


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
