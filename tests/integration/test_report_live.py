"""The page of a round is there while the round runs, and last at its end."""

from __future__ import annotations

from pathlib import Path

from real_home import Home, wait_until


def text_of(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def test_the_page_is_the_live_view_of_a_round(home: Home) -> None:
    home.start()
    home.drop("night", home.spec("night", seconds=1.0))
    page = home.paths.round("night").report
    wait_until(lambda: ">in progress<" in text_of(page), "a page while the round runs")
    assert not home.events("night", "round_finished")
    home.wait_for("night")
    wait_until(lambda: ">finished<" in text_of(page), "the page at the end")
    assert "+10.00pp" in page.read_text()
    wait_until(lambda: 'href="./night/report.html"' in text_of(home.paths.index), "the list of rounds")
