"""The page of a round is there while the round runs, and last at its end."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.told_round import by_loss
from real_home import Home, wait_until

from scheduler.effects.reporting import is_current
from scheduler.report.publish import publish_round
from scheduler.rounds.paths import HomePaths


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


@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="between the end of a round and its report",
    outcome="the next start makes the report",
)
def test_a_live_page_is_not_taken_for_the_last_one(tmp_path: Path) -> None:
    told = by_loss()
    paths = told.write(HomePaths(tmp_path))
    whole = paths.records.read_bytes()
    paths.records.write_bytes(b"".join(told.lines[:-1]))
    publish_round(paths)
    assert is_current(paths)
    paths.records.write_bytes(whole)
    assert not is_current(paths)
    publish_round(paths)
    assert is_current(paths)
    paths.report.unlink()
    assert not is_current(paths)
