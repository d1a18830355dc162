"""The page of a round takes every text for text, needs nothing but itself, and comes out the same again."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fakes.told_round import ToldRound, accepted, by_loss, confirmed, troubled
from fakes.world import make_round, task

from scheduler.decide import facts
from scheduler.effects.records import decode, encode
from scheduler.report.attachments import find_attachments
from scheduler.report.index import read_index, render_index
from scheduler.report.load import load_history
from scheduler.report.page import render_page
from scheduler.report.publish import publish_index, publish_round
from scheduler.report.svg import COLOURS
from scheduler.rounds.paths import HomePaths, RoundPaths

ROOT = Path(__file__).parents[2]
OLD_RECORDS = ROOT / "tests" / "data" / "records-v1.jsonl"
ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></style></svg><script>",
    "{{ 7 * 7 }} {% raw %}",
    "$\\frac{1}{0}$ a_b^c",
    "\x1b[2Jgone\x07",
    "\u202ekcab",
    "javascript:alert(1)",
]
#: elements without an end
VOID = {"meta", "link", "br", "img", "hr", "path", "use", "line"}


class Page(HTMLParser):
    """What a page is made of. Raises AssertionError where elements are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.references: list[str] = []
        self.styles: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        told = {name: value or "" for name, value in attrs}
        assert not [name for name in told if name.startswith("on")]
        self.ids += [told["id"]] if "id" in told else []
        if tag == "a":
            self.links.append(told["href"])
        self.references += [
            told[name] for name in ("href", "src", "xlink:href") if tag != "a" and name in told
        ]
        self.styles.append(told.get("style", ""))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag, (tag, self._open)

    def handle_data(self, data: str) -> None:
        self.text += data


def html_of(told: ToldRound, home: Path) -> str:
    paths = told.write(HomePaths(home))
    history = load_history(paths)
    return render_page(history, find_attachments(history, paths))


@pytest.fixture(params=[accepted, confirmed, troubled, by_loss], ids=lambda made: made.__name__)
def told(request: pytest.FixtureRequest) -> ToldRound:
    made: Callable[[], ToldRound] = request.param
    return made()


def test_a_page_is_well_formed_with_unique_ids_and_nothing_remote(told: ToldRound, tmp_path: Path) -> None:
    html = html_of(told, tmp_path)
    page = Page(html)
    assert len(page.ids) == len(set(page.ids))
    assert not {"script", "iframe", "object", "embed", "form", "base", "img"} & set(page.tags)
    assert all(reference.startswith(("#", "data:,")) for reference in page.references)
    assert {reference[1:] for reference in page.references if reference.startswith("#")} <= set(page.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", html)) <= set(page.ids)
    assert "http" not in re.sub(r'http-equiv="[^"]*"', "", html)
    assert "url(" not in re.sub(r"url\(#", "", html)


def test_every_link_is_relative_and_leads_to_a_file(told: ToldRound, tmp_path: Path) -> None:
    home = HomePaths(tmp_path)
    paths = told.write(home)
    paths.resolved.write_text("{}")
    home.launcher_log.write_text("")
    publish_round(paths)
    publish_index(home)
    for file in (paths.report, home.index):
        for link in Page(file.read_text()).links:
            if not link.startswith("#"):
                assert link.startswith(("./", "../"))
                assert (file.parent / link).is_file(), link


def test_the_same_records_give_the_same_bytes_in_another_process(told: ToldRound, tmp_path: Path) -> None:
    home = HomePaths(tmp_path)
    paths = told.write(home)
    command = [sys.executable, "-P", "-m", "scheduler.report", str(tmp_path), "night"]
    files = (paths.report, paths.summary_text, paths.summary_markdown, home.index)
    publish_round(paths)
    publish_index(home)
    made = [file.read_bytes() for file in files]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [file.read_bytes() for file in files] == made


def test_no_colour_of_a_picture_is_left_to_one_scheme(told: ToldRound, tmp_path: Path) -> None:
    page = Page(html_of(told, tmp_path))
    drawn = set(re.findall(r"(?:fill|stroke): ?(#[0-9a-f]+|[a-z]+\([^)]*\)|[a-z]+)", " ; ".join(page.styles)))
    assert all(colour == "none" or colour.startswith("var(--") for colour in drawn), drawn
    style = (ROOT / "scheduler" / "report" / "templates" / "style.css").read_text()
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for name in COLOURS.values():
        assert f"--{name}:" in light
        assert f"--{name}:" in dark.split("\n}\n")[0]


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_foreign_text_becomes_markup(attack: str, tmp_path: Path) -> None:
    quiet = ToldRound(make_round(task(variants=("good", "bad")), title="plain"))
    made = ToldRound(make_round(task(variants=("good", "bad")), title=attack))
    for told, text in ((quiet, "plain"), (made, attack)):
        told.run("quick", "baseline", 0.4)
        told.run("quick", "good", 0.5, cached_from=text)
        told.run("quick", "bad", None, status="failed", failure_class="crash", error=text)
        told.verdict("good", "NEUTRAL", text, warnings=(text,))
    pages = [Page(html_of(told, tmp_path / name)) for told, name in ((quiet, "quiet"), (made, "made"))]
    assert pages[0].tags == pages[1].tags
    assert "\x1b" not in pages[1].text
    assert "\u202e" not in pages[1].text
    assert "{{" not in attack or attack in pages[1].text


def test_what_happened_on_the_device_is_told(tmp_path: Path) -> None:
    told = ToldRound(make_round(task(variants=("good",))))
    stranger = {"pid": 4123, "name": "<b>python</b>", "seconds": 12.0, "memory_mib": None}
    shared = {"seconds": 12.0, "share": 0.2, "by": [stranger]}
    told.run("quick", "baseline", 0.4, throttled={"share": 0.5, "by": {"power brake": 0.5}}, xids=(13,))
    told.run("quick", "good", 0.5, contaminated=shared)
    told.run("quick", "good", 0.5, attempt=2)
    text = " ".join(Page(html_of(told, tmp_path)).text.split())
    assert "quick baseline seed 0: cuda:0 was slowed down for 50 % of its time: power brake" in text
    assert "cuda:0 reported Xid 13: the program used the GPU in a way it cannot execute" in text
    assert "contaminated: <b>python</b> (pid 4123) computed on cuda:0 beside it for 12.0 s, 20 %" in text
    assert "it was run again, and this one does not count" in text
    assert "ok, contaminated" in text


def test_the_name_of_a_variant_is_text_in_a_picture_too(tmp_path: Path) -> None:
    name = "a<b>&$x_1$"
    told = ToldRound(make_round(task(variants=(name,))))
    told.run("quick", "baseline", 0.4)
    told.decide(facts.VariantHeld, "quick", name, 1.0)
    assert Page(html_of(told, tmp_path)).text.count(name) >= 3


def test_the_spec_is_shown_as_it_was_written(tmp_path: Path) -> None:
    told = accepted()
    paths = told.write(HomePaths(tmp_path))
    paths.spec(".toml").write_bytes(b'# <b>\n  indented = "\x1b[31m"\n\xff\n')
    history = load_history(paths)
    html = render_page(history, find_attachments(history, paths))
    assert "# &lt;b&gt;\n  indented = &#34;&#34;\n\ufffd\n" in html


def test_records_of_an_older_version_make_a_page(tmp_path: Path) -> None:
    paths = RoundPaths(tmp_path / "old")
    paths.root.mkdir()
    paths.records.write_bytes(OLD_RECORDS.read_bytes())
    publish_round(paths)
    assert "Verdicts" in Page(paths.report.read_text()).text


def test_only_a_round_in_progress_loads_itself_again(tmp_path: Path) -> None:
    assert 'http-equiv="refresh"' in html_of(accepted(), tmp_path / "open")
    assert 'http-equiv="refresh"' not in html_of(by_loss(), tmp_path / "ended")


def test_documents_of_other_ways_of_judging_are_linked(tmp_path: Path) -> None:
    paths = accepted().write(HomePaths(tmp_path))
    (paths.judged / "sums").mkdir(parents=True)
    (paths.judged / "sums" / "100 % sure?.md").write_text("x")
    (paths.judged / ".hidden.tmp").write_text("x")
    history = load_history(paths)
    page = Page(render_page(history, find_attachments(history, paths)))
    assert [link for link in page.links if "judged" in link] == ["./judged/sums/100%20%25%20sure%3F.md"]


def test_a_page_of_a_great_round_stays_small(tmp_path: Path) -> None:
    assert len(html_of(confirmed(variants=48), tmp_path)) < 600_000


class TestIndex:
    def test_rounds_are_listed_newest_first_with_how_they_ended(self, tmp_path: Path) -> None:
        home = HomePaths(tmp_path)
        for number, (name, told) in enumerate(
            (("first", by_loss()), ("second", troubled()), ("third", accepted()))
        ):
            renamed = home.round(name)
            told.write(home).root.rename(renamed.root)
            records = map(decode, renamed.records.read_bytes().splitlines())
            moved = [{**record, "ts": record["ts"].replace("03-0", f"0{4 + number}-0")} for record in records]
            renamed.records.write_bytes(b"".join(map(encode, moved)))
        lines = read_index(home)
        assert [(line.outcome, line.parked) for line in lines] == [
            ("in progress", 0),
            ("parked", 1),
            ("finished", 0),
        ]
        assert lines[2].verdicts == {"INCONCLUSIVE": 1, "SUGGESTIVE": 1}
        assert "A night of trouble" in Page(render_index(lines)).text

    def test_a_round_with_damaged_records_is_listed_as_such(self, tmp_path: Path) -> None:
        home = HomePaths(tmp_path)
        paths = by_loss().write(home)
        lines = paths.records.read_bytes().splitlines(keepends=True)
        paths.records.write_bytes(b"".join([lines[0], b"damage\n", *lines[1:]]))
        [line] = read_index(home)
        assert (line.id, line.outcome) == ("night", "damaged records")
        assert "damaged records" in render_index((line,))

    def test_an_empty_home_says_how_to_begin(self, tmp_path: Path) -> None:
        (tmp_path / "results").mkdir()
        assert "schedctl demo" in Page(render_index(read_index(HomePaths(tmp_path)))).text
