"""`schedctl import` leaves lessons for the daemon, which learns each of them once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from real_home import Home, wait_until

from scheduler.cli import main
from scheduler.effects.control import discard, send, take
from scheduler.effects.records import read_records

SAMPLES = Path(__file__).parents[1] / "data"
LATER, EARLY = SAMPLES / "foreign-later.jsonl", SAMPLES / "foreign-early.jsonl"
DATA = os.environ.get("ROUNDHOUSE_DATA")


def schedctl(home: Home, *arguments: str | Path) -> int:
    return main(["--home", str(home.paths.root), *map(str, arguments)])


def test_lessons_reach_the_daemon_as_they_were_learnt(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert schedctl(home, "import", LATER) == 0
    told = capsys.readouterr().out
    assert "1 task: noise from 4 degrees of freedom at quick and 2 at medium, 2 matched effects" in told
    assert "the daemon is down; import is stored" in told
    [request] = take(home.paths)
    assert request.verb == "import"
    [(name, lesson)] = request.lessons.items()
    assert name.startswith("toy_probe@")
    assert (lesson.quick.df, lesson.medium.df, lesson.confirmed) == (4, 2, 0)
    discard(home.paths, request.id)


def test_a_daemon_learns_a_file_once_and_marks_it_as_foreign(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed = tmp_path / "renamed.jsonl"
    renamed.write_bytes(LATER.read_bytes())
    assert schedctl(home, "import", LATER) == 0
    assert schedctl(home, "import", renamed, EARLY) == 0
    home.start()
    wait_until(lambda: home.log().count("REQUEST foreign lessons") == 2, "both answers")
    assert home.stop() == 0
    learnt = [record for record in read_records(home.paths.ledger) if record["event"] == "lesson_learnt"]
    assert [(record["source"].partition("@")[0], record["is_foreign"]) for record in learnt] == [
        ("toy_probe", True),
        ("copy", True),
    ]
    log = home.paths.launcher_log.read_text()
    assert "REQUEST foreign lessons: 1 learnt, 0 known already" in log
    assert "REQUEST foreign lessons: 1 learnt, 1 known already" in log
    assert list(home.paths.control.glob("*.json")) == []


def test_bad_lines_are_left_out_and_told(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text("oops\n" + LATER.read_text())
    assert schedctl(home, "import", file) == 0
    assert "records.jsonl:1: is not JSON" in capsys.readouterr().err
    assert len(take(home.paths)) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [("no records\n", "nothing was imported"), ('{"event": "round_accepted"}\n', "teach nothing")],
)
def test_files_that_teach_nothing_are_refused(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text(text)
    assert schedctl(home, "import", file) == 2
    assert words in capsys.readouterr().err
    assert take(home.paths) == []


def test_only_an_import_may_be_long(home: Home) -> None:
    lessons = {
        f"toy{number}@0123456789ab": {
            "unit": "pp",
            "min_effect": 1.0,
            "quick": {"ss": 1.0, "df": 2},
            "medium": {"ss": 0.0, "df": 0},
            "pairs": {"products": 0.0, "variant_ss": 0.0, "baseline_ss": 0.0, "pairs": 0},
            "readings": [],
            "confirmed": 0,
        }
        for number in range(200)
    }
    send(home.paths, "import", lessons=lessons)
    assert [len(request.lessons) for request in take(home.paths)] == [200]
    with pytest.raises(ValueError, match="unknown keys: lessons"):
        send(home.paths, "pause", lessons={"a": 1})
    with pytest.raises(ValueError, match="larger than 16 KiB"):
        send(home.paths, "pause", lessons=lessons)


@pytest.mark.skipif(DATA is None, reason="ROUNDHOUSE_DATA names no folder of real records")
def test_rounds_of_one_seed_teach_effects_and_no_noise(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert DATA is not None
    files = sorted((Path(DATA) / "future_seed").glob("*.jsonl"))
    assert schedctl(home, "import", *files) == 0
    told = capsys.readouterr().out
    assert "11 tasks: noise from 0 degrees of freedom at quick and 0 at medium" in told
    [request] = take(home.paths)
    assert len(request.lessons) == 11
