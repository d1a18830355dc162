"""How does a page read as Markdown? The same words and tables; pictures are left to the page."""

from __future__ import annotations

from collections.abc import Iterator

from scheduler.judging._markdown import cell, table
from scheduler.judging.page import Block, Callout, Curves, Page, Paragraph, Passage, Table


def markdown_of(page: Page) -> str:
    """The whole page, ending with a newline."""
    return "\n".join(_lines(page)).rstrip("\n") + "\n"


def _lines(page: Page) -> Iterator[str]:
    yield from (f"# {cell(page.title)}", "", _text(page.lead), "")
    for config, word in page.words:
        yield f"- {cell(config)}: {cell(word)}" if config else f"- {cell(word)}"
    if page.words:
        yield ""
    for section in page.sections:
        blocks = [line for block in section.blocks for line in _block(block)]
        if blocks:
            yield from (f"## {cell(section.title)}", "", *blocks)


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(text=text):
            yield from (_text(text), "")
        case Callout(title=title, texts=texts):
            yield from (f"**{cell(title)}**", "", *(f"- {_text(text)}" for text in texts))
            if texts:
                yield ""
        case Table(head=head, rows=rows, marked=marked, caption=caption):
            shown = [
                tuple(
                    f"{text} (*)" if place == 0 and row in marked else text
                    for place, text in enumerate(cells)
                )
                for row, cells in enumerate(rows)
            ]
            yield from table([cell(word) for word in head], shown)
            if caption:
                yield from (_text(caption), "")
        case Passage(title=title, text=text, flags=flags):
            words = f" ({', '.join(cell(flag) for flag in flags)})" if flags else ""
            yield from (f"{cell(title)}{words}:", "", *(f"    {line}" for line in text.splitlines()), "")
        case Curves():
            return


def _text(words: str) -> str:
    """`words` on one line, whole, with nothing in it that Markdown or HTML would take for its own."""
    # a cell has a longest text; a sentence has none
    return " ".join(cell(word) for word in words.split())
