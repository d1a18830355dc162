"""Does what a way of judging shows become one file that holds no markup but ours?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from scheduler.judging import exhibit_names
from scheduler.judging.page import Callout, Curves, Line, Mark, Page, Paragraph, Passage, Section, Table
from scheduler.judging.protocol import Judged, Label
from scheduler.report import exhibits
from scheduler.report.documents import documents_of, render_way
from scheduler.report.exhibits import read_exhibits

HOSTILE = "<script>alert(1)</script>\x1b[31m"


def page(*blocks: Any) -> Page:
    return Page(title="Band", lead="It repeats.", sections=(Section(title="Runs", blocks=blocks),))


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.names.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_no_text_of_a_model_becomes_markup() -> None:
    html = render_way(
        Page(
            title=HOSTILE,
            lead=HOSTILE,
            words=((HOSTILE, HOSTILE),),
            sections=(
                Section(
                    title=HOSTILE,
                    blocks=(
                        Paragraph(text=HOSTILE),
                        Callout(title=HOSTILE, texts=(HOSTILE,)),
                        Table(head=(HOSTILE,), rows=((HOSTILE,),), caption=HOSTILE),
                        Passage(
                            title=HOSTILE,
                            text=HOSTILE,
                            flags=(HOSTILE,),
                            marks=(Mark(begin=0, end=8, word=HOSTILE),),
                        ),
                        Curves(
                            title=HOSTILE,
                            x_label=HOSTILE,
                            lines=(Line(label=HOSTILE, x=(0, 1), mean=(1, 2)),),
                        ),
                    ),
                ),
            ),
        )
    )
    tags = Tags(html)
    assert "script" not in tags.names
    assert "\x1b" not in html
    assert tags.text.count("alert(1)") >= 10


def test_a_passage_keeps_its_line_ends_and_shows_where_its_marks_are() -> None:
    html = render_way(
        page(Passage(title="s1", text="one\n\ntwo & three", marks=(Mark(begin=5, end=8, word="runaway"),)))
    )
    assert '<pre>one\n\n<mark title="runaway">two</mark> &amp; three</pre>' in html


def test_marks_that_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        Passage(
            title="s", text="abcdef", marks=(Mark(begin=0, end=3, word="a"), Mark(begin=2, end=4, word="b"))
        )


def test_a_row_that_does_not_fit_its_head_is_refused() -> None:
    with pytest.raises(ValueError, match="another number of cells"):
        Table(head=("a", "b"), rows=(("1",),))


def test_the_baseline_of_a_picture_is_drawn_last_and_named_first() -> None:
    lines = (
        Line(label="wide", x=(0.5, 1.0), mean=(1.0, 2.0), low=(0.5, 1.5), high=(1.5, 2.5)),
        Line(label="baseline", x=(0.5, 1.0), mean=(1.0, 1.5), is_baseline=True),
    )
    html = render_way(page(Curves(title="loss", x_label="M tokens", lines=lines)))
    legend = html[html.index('<ul class="legend">') : html.index("</ul>")]
    assert legend.index("--baseline") < legend.index("baseline</li>") < legend.index("wide</li>")
    assert html.rindex("stroke: var(--baseline)") > html.rindex("stroke: var(--series-1)")


@pytest.mark.parametrize(("labels", "legends"), [(("a", "b"), 1), (("a", "c"), 2)])
def test_pictures_side_by_side_share_a_legend_that_fits_all_of_them(
    labels: tuple[str, str], legends: int
) -> None:
    def curves(*names: str) -> Curves:
        lines = tuple(Line(label=name, x=(0, 1), mean=(1, 2)) for name in names)
        return Curves(title="loss", x_label="step", lines=lines)

    html = render_way(page(curves("a", "b"), curves(*labels)))
    assert html.count('<ul class="legend">') == legends
    assert html.count("<figure>") == 2


@pytest.mark.parametrize("sides", [{"low": (1.0,)}, {"low": (1.0, 2.0)}, {"mean": (1.0,)}])
def test_a_line_with_sides_of_different_lengths_is_refused(sides: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match="different lengths"):
        Line(**{"label": "l", "x": (1.0, 2.0), "mean": (1.0, 2.0), **sides})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Judged):
    @property
    def way(self) -> str:
        return "mine"

    def labels(self) -> tuple[Label, ...]:
        return ()

    def to_json(self) -> dict[str, Any]:
        return {"x": 1}

    def markdown(self) -> str:
        return "# mine\n"

    def pages(self) -> Mapping[str, Page]:
        return {"mine": page(Paragraph(text="words"))}


def test_pages_stand_beside_the_documents_of_a_way() -> None:
    documents = documents_of(Answer())
    assert sorted(documents) == ["mine.html", "mine.json", "mine.md"]
    assert documents == documents_of(Answer())
    assert documents["mine.html"].startswith("<!doctype html>")


def test_rows_that_are_torn_or_no_objects_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "emergence").mkdir()
    (tmp_path / "emergence" / "steps.jsonl").write_text('{"step": 1}\n[2]\n\n{"step": 3}\n{"st')
    assert read_exhibits(tmp_path, ["emergence/steps.jsonl", "missing.jsonl"]) == {
        "emergence/steps.jsonl": ({"step": 1}, {"step": 3})
    }


def test_a_file_without_end_is_read_up_to_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exhibits, "MAX_BYTES", 25)
    (tmp_path / "long.jsonl").write_text('{"step": 1}\n' * 1000)
    assert read_exhibits(tmp_path, ["long.jsonl"]) == {"long.jsonl": ({"step": 1}, {"step": 1})}


def test_ways_that_ask_for_no_files_get_none() -> None:
    assert exhibit_names(["significance", "no_such_way"]) == ()
