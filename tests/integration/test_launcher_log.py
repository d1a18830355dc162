"""Does the launcher log keep its lines apart, and the daemon alive, whatever happens to the file?"""

from __future__ import annotations

import errno
import io
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scheduler.effects.launcher_log import MAX_LINE_LENGTH, LauncherLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "launcher.log"


def texts(path: Path) -> list[str]:
    """What the lines say, without their times."""
    return [line.split(" ", 2)[2] for line in path.read_text().splitlines()]


def test_a_line_shows_local_time_with_its_offset(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        log = LauncherLog(path, now=lambda: datetime(2026, 11, 20, 12, 5, 1, tzinfo=UTC))
        log.line("RUN task=sudoku4")
        log.close()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert path.read_text() == "2026-11-20 13:05:01+0100 RUN task=sudoku4\n"


def test_lines_are_appended_to_what_is_there(path: Path) -> None:
    for text in ("one", "two"):
        log = LauncherLog(path)
        log.line(text)
        log.close()
    assert texts(path) == ["one", "two"]
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d{4} one\n", path.read_text())


def test_a_text_stays_one_line_and_steers_no_terminal(path: Path) -> None:
    log = LauncherLog(path)
    log.line("FAIL \x1b[2J\u202eerror=first\nsecond\x07 " + "x" * 10_000)
    log.close()
    [text] = texts(path)
    assert text.startswith("FAIL error=first second xxx")
    assert len(text) == MAX_LINE_LENGTH
    assert text.endswith(" ...")


@pytest.mark.parametrize("how", ["renamed", "removed", "replaced", "truncated"])
def test_a_rotation_by_somebody_else_loses_no_line(path: Path, how: str) -> None:
    log = LauncherLog(path)
    log.line("before")
    if how == "truncated":
        os.truncate(path, 0)
    elif how == "removed":
        path.unlink()
    else:
        path.rename(path.with_suffix(".1"))
    if how == "replaced":
        path.write_text("")
    log.line("after")
    log.close()
    assert texts(path) == ["after"]
    if how in ("renamed", "replaced"):
        assert texts(path.with_suffix(".1")) == ["before"]


def test_lines_that_a_full_disk_swallows_are_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = LauncherLog(path)
    log.line("before")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        for _ in range(3):
            log.line("lost")
    assert log.dropped == 3
    log.line("after")
    log.close()
    assert log.dropped == 0
    assert texts(path) == ["before", "LOG dropped=3 (the disk was full)", "after"]


def test_a_line_that_was_cut_short_is_not_glued_to_the_next(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LauncherLog(path)
    real_write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, data: real_write(fd, data[:35]))
        log.line("a line that is cut")
    log.line("after")
    log.close()
    assert len(texts(path)) == 3
    assert texts(path)[-1] == "after"


def test_a_missing_folder_is_survived_and_the_file_made_when_it_is_back(path: Path) -> None:
    log = LauncherLog(path.parent / "results" / "launcher.log")
    log.line("lost")
    (path.parent / "results").mkdir()
    log.line("after")
    log.close()
    assert texts(path.parent / "results" / "launcher.log")[-1] == "after"


def test_an_echo_gets_every_line_until_it_is_gone(path: Path) -> None:
    echo = io.StringIO()
    log = LauncherLog(path, echo=echo)
    log.line("one")
    assert echo.getvalue() == path.read_text()
    echo.close()
    log.line("two")
    log.close()
    assert texts(path) == ["one", "two"]
