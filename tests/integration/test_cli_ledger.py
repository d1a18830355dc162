"""`schedctl ledger` shows what a home has learnt, exports it, and takes a lesson out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from real_home import Home, wait_until

from policies._delta import SeedPairs
from policies._ledger import Lesson
from policies._race_level import Counters
from policies._variance import Spread
from scheduler.cli import main
from scheduler.decide import facts
from scheduler.decide.codec import to_fields
from scheduler.effects.control import take
from scheduler.effects.ledger_reading import lessons_in
from scheduler.effects.records import Journal


def schedctl(home: Home, *arguments: str) -> int:
    return main(["--home", str(home.paths.root), *arguments])


def lesson(winners: float) -> Lesson:
    """Of a race with so many winners; of no race where there is none."""
    return Lesson(
        unit="pp",
        min_effect=1.0,
        quick=Spread(ss=6.0, df=2),
        medium=Spread(ss=8.0, df=4),
        pairs=SeedPairs(),
        readings=(),
        confirmed=0,
        counters=Counters(winners=winners, nulls=4.0, medium_runs=20.0) if winners else Counters(),
    )


@pytest.fixture
def learnt(home: Home) -> Home:
    """A home with two lessons, of which one replaced an older one, and a third that was forgotten."""
    journal, _ = Journal.open(home.paths.ledger)
    for fact in (
        facts.LessonLearnt(source="night/sums", lesson=lesson(winners=9.0)),
        facts.LessonLearnt(source="gone/sums", lesson=lesson(winners=5.0)),
        facts.LessonLearnt(source="night/sums", lesson=lesson(winners=2.0)),
        facts.LessonLearnt(source="toy@0123456789ab", lesson=lesson(winners=0.0), is_foreign=True),
        facts.LessonForgotten(source="gone/sums", reason="a broken eval set"),
    ):
        journal.append(to_fields(fact))
    journal.close()
    return home


def test_what_counts_is_shown_with_what_follows_from_it(
    learnt: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert schedctl(learnt, "ledger", "show") == 0
    told = capsys.readouterr().out
    assert "2 lessons, 1 of them foreign" in told
    assert "noise in pp, of one run: quick unknown before 10 tasks" in told
    assert (
        "races: 2 winners, about 4 tested candidates without an effect, the time of 20.0 medium runs" in told
    )
    assert "a race that began now: level explore 0.078, default 0.056, strict 0.033" in told
    assert "night/sums" in told
    assert "race: 2 winners, 4 nulls, 20.0 medium runs; level then 0.056, stopping rate 0.0294" in told
    assert "gone/sums" not in told


def test_an_export_holds_every_lesson_that_counts(learnt: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert schedctl(learnt, "ledger", "export") == 0
    told = json.loads(capsys.readouterr().out)
    assert [entry["source"] for entry in told] == ["night/sums", "toy@0123456789ab"]
    assert told[0]["lesson"]["counters"] == {"winners": 2.0, "nulls": 4.0, "medium_runs": 20.0}


def test_a_home_that_has_learnt_nothing_says_so(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert schedctl(home, "ledger", "show") == 0
    assert "learnt nothing yet" in capsys.readouterr().out


def test_a_lesson_is_forgotten_by_the_daemon_for_good(
    learnt: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert schedctl(learnt, "ledger", "forget", "night/sums", "--reason", "a leak") == 0
    assert schedctl(learnt, "ledger", "forget", "nobody/knows") == 0
    assert "the daemon is down" in capsys.readouterr().out
    assert [request.source for request in take(learnt.paths)] == ["night/sums", "nobody/knows"]
    learnt.start()
    wait_until(lambda: learnt.log().count("REQUEST ") == 2, "both answers")
    assert learnt.stop() == 0
    assert "REQUEST forgot the lesson night/sums" in learnt.log()
    assert "REQUEST no lesson is called 'nobody/knows'" in learnt.log()
    assert [entry.source for entry in lessons_in(learnt.paths.ledger)] == ["toy@0123456789ab"]


@pytest.mark.parametrize("source", ["../x", "a/b/c", "", "x" * 200, "a b"])
def test_a_source_that_cannot_be_one_is_refused(
    home: Home, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert schedctl(home, "ledger", "forget", source) == 2
    assert "cannot be that of a lesson" in capsys.readouterr().err
    assert take(home.paths) == []


def test_no_ledger_is_no_lesson(tmp_path: Path) -> None:
    assert lessons_in(tmp_path / "ledger.jsonl") == ()
