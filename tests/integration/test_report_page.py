"""The page of a round in a real browser: nothing breaks, nothing is fetched, and everything can be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.told_round import ToldRound, accepted, by_loss, confirmed, troubled
from headless import Browser, Scheme, chromium

from scheduler.report.publish import publish_index, publish_round
from scheduler.rounds.paths import HomePaths

PROGRAM = chromium()
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="no chromium on this machine (on Debian: apt install chromium)"
)

ROUNDS: dict[str, Callable[[], ToldRound]] = {
    "accepted": accepted,
    "confirmed": confirmed,
    "troubled": troubled,
    "by_loss": by_loss,
}
WIDTHS = (360, 760, 1000, 1280)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
#: WCAG AA for text of normal size
LEAST_CONTRAST = 4.5
#: of a phone's pixels: smaller words in a picture are not read
LEAST_LETTER_PIXELS = 9.0

#: every visible text with the contrast to what is behind it, lowest first
CONTRASTS = """
(() => {
  const numbers = (colour) => {
    const found = colour.match(/^rgba?\\(([^)]+)\\)$/);
    if (!found) throw new Error("not a plain colour: " + colour);
    const [r, g, b, a] = found[1].split(/[ ,/]+/).map(Number);
    return [r, g, b, a === undefined ? 1 : a];
  };
  const over = (top, under) => top.slice(0, 3).map((c, i) => c * top[3] + under[i] * (1 - top[3])).concat(1);
  const background = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      layers.push(numbers(getComputedStyle(at).backgroundColor));
    }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const told = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const words = walker.currentNode.textContent.trim();
    if (!words || ["STYLE", "title"].includes(element.tagName) || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const under = background(element);
    const colour = over(numbers(element.closest("svg") ? style.fill : style.color), under);
    const [low, high] = [luminance(colour), luminance(under)].sort((a, b) => a - b);
    told.push([(high + 0.05) / (low + 0.05), words.slice(0, 60), element.tagName]);
  }
  return told.sort((a, b) => a[0] - b[0]);
})()
"""

#: words of pictures that stick out of the window, and the size of the smallest letters
PICTURES = """
(() => {
  const words = [...document.querySelectorAll("figure svg text")].filter((t) => t.getClientRects().length);
  const out = words.filter((t) => {
    const box = t.getBoundingClientRect();
    return box.left < -0.5 || box.right > innerWidth + 0.5;
  });
  const sizes = words.map((t) => parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a);
  return {out: out.map((t) => t.textContent), smallest: Math.min(...sizes, 99), count: words.length};
})()
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of each round, and the list of all."""
    found: dict[str, Path] = {}
    for name, made in ROUNDS.items():
        home = HomePaths(tmp_path_factory.mktemp(name))
        paths = made().write(home)
        publish_round(paths)
        publish_index(home)
        found[name] = paths.report
        found["index"] = home.index
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    with Browser(PROGRAM, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(params=[*ROUNDS, "index"])
def page(request: pytest.FixtureRequest, pages: dict[str, Path]) -> Path:
    return pages[request.param]


def unfolded(browser: Browser) -> None:
    browser.ask("document.querySelectorAll('details').forEach((one) => { one.open = true; })")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_fails_and_nothing_is_fetched(
    browser: Browser, page: Path, width: int, scheme: Scheme
) -> None:
    browser.open(page, width=width, scheme=scheme)
    unfolded(browser)
    complaints = [
        (method, told)
        for method, told in browser.events
        if method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    ]
    assert complaints == []
    asked = [
        told["request"]["url"] for method, told in browser.events if method == "Network.requestWillBeSent"
    ]
    assert {url for url in asked if not url.startswith("data:")} == {page.resolve().as_uri()}


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_has_to_be_scrolled_sideways(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width=width)
    unfolded(browser)
    assert browser.ask("[innerWidth, document.documentElement.scrollWidth]") == [width, width]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_text_stands_out_from_what_is_behind_it(
    browser: Browser, page: Path, width: int, scheme: Scheme
) -> None:
    browser.open(page, width=width, scheme=scheme)
    unfolded(browser)
    told: list[list[Any]] = browser.ask(CONTRASTS)
    assert len(told) > 5
    assert [text for text in told if text[0] < LEAST_CONTRAST] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_the_words_of_pictures_are_inside_and_large_enough(
    browser: Browser, pages: dict[str, Path], width: int
) -> None:
    for name in ("confirmed", "troubled", "by_loss"):
        browser.open(pages[name], width=width)
        told = browser.ask(PICTURES)
        assert told["count"] > 20
        assert told["out"] == []
        assert told["smallest"] >= LEAST_LETTER_PIXELS


def test_the_schemes_differ_and_pictures_follow_them(browser: Browser, pages: dict[str, Path]) -> None:
    ink = "getComputedStyle(document.querySelector('figure svg text')).fill"
    paper = "getComputedStyle(document.body).backgroundColor"
    seen = []
    for scheme in SCHEMES:
        browser.open(pages["confirmed"], width=1280, scheme=scheme)
        seen.append((browser.ask(ink), browser.ask(paper)))
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] != seen[1][1]


def test_every_picture_tells_a_screen_reader_what_it_is(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["confirmed"], width=1280)
    titles = browser.ask("[...document.querySelectorAll('figure svg')].map((one) => one.ariaLabel)")
    assert len(titles) >= 6
    assert all(titles)


def test_a_picture_can_be_taken_of_every_page(
    browser: Browser, page: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = Path(os.environ.get("ROUNDHOUSE_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    name = request.node.callspec.params["page"]
    for width, scheme in ((1280, "light"), (1280, "dark"), (360, "light")):
        browser.open(page, width=width, scheme=scheme)  # type: ignore[arg-type]
        shot = folder / f"{name}-{width}-{scheme}.png"
        browser.screenshot(shot)
        assert shot.read_bytes().startswith(b"\x89PNG")
        assert shot.stat().st_size > 5000
