"""Does the launcher log keep its lines apart, and the daemon alive, whatever happens to the file?"""

from __future__ import annotations

import errno
import io
import os
import re
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scheduler.cli.follow import Tail
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


@pytest.mark.fault(
    "logrotate moves or truncates launcher.log", moment="between two lines", outcome="the next one opens anew"
)
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


def test_a_line_takes_the_room_that_was_set_aside_on_a_full_disk_only(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    error = errno.ENOSPC
    is_full = True

    def full(fd: int, data: bytes) -> int:
        if is_full:
            raise OSError(error, "no")
        return write(fd, data)

    def make_room() -> bool:
        nonlocal is_full
        is_full = False
        return True

    log = LauncherLog(path, make_room=make_room)
    monkeypatch.setattr(os, "write", full)
    log.line("told")
    assert log.dropped == 0
    is_full, error = True, errno.EACCES
    log.line("not told")
    assert is_full
    log.close()
    assert texts(path) == ["told"]


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


def files(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


def all_texts(path: Path) -> list[str]:
    """The lines of every file of the log, oldest first."""
    older = sorted(path.parent.glob(f"{path.name}.*"), key=lambda each: -int(each.suffix[1:]))
    return [text for each in (*older, path) for text in texts(each)]


@pytest.mark.fault(
    "launcher.log grows for months", moment="always", outcome="it is rotated by size; no line is lost"
)
def test_a_file_that_is_full_makes_room_and_the_youngest_older_ones_stay(path: Path) -> None:
    log = LauncherLog(path, max_bytes=200, kept=3)
    lines = [f"line {number:03d}" for number in range(60)]
    for line in lines:
        log.line(line)
    log.close()
    assert files(path) == ["launcher.log", "launcher.log.1", "launcher.log.2", "launcher.log.3"]
    assert all(each.stat().st_size <= 200 for each in path.parent.iterdir())
    kept = all_texts(path)
    assert kept == lines[-len(kept) :]


def test_a_line_that_is_longer_than_a_file_may_be_gets_one_of_its_own(path: Path) -> None:
    log = LauncherLog(path, max_bytes=50, kept=9)
    for text in ("a" * 100, "short", "b" * 100):
        log.line(text)
    log.close()
    assert all_texts(path) == ["a" * 100, "short", "b" * 100]
    assert len(files(path)) == 3


def test_without_older_files_the_log_begins_again(path: Path) -> None:
    log = LauncherLog(path, max_bytes=40, kept=0)
    for text in ("one", "two", "three"):
        log.line(text)
    log.close()
    assert files(path) == ["launcher.log"]
    assert texts(path) == ["three"]


@pytest.mark.fault(
    "kill -9 of the daemon", moment="while launcher.log is rotated", outcome="every line is kept"
)
@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_rotation_that_was_cut_off_loses_no_line(
    path: Path, renames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """As final as a signal."""

    log = LauncherLog(path, max_bytes=60, kept=5)
    lines = [f"line {number}" for number in range(5)]
    for line in lines[:4]:
        log.line(line)
    assert len(files(path)) > 2
    real_replace, done = Path.replace, []

    def replace(self: Path, target: Path) -> Path:
        if len(done) == renames:
            raise Killed
        done.append(target)
        return real_replace(self, target)

    def write_until_killed() -> None:
        for line in ("cut off",) * 9:
            log.line(line)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace)
        with pytest.raises(Killed):
            write_until_killed()
    log.close()
    after = LauncherLog(path, max_bytes=60, kept=5)
    after.line(lines[4])
    after.close()
    assert [text for text in all_texts(path) if text != "cut off"] == lines


def test_lines_of_many_threads_all_survive_rotations(path: Path) -> None:
    log = LauncherLog(path, max_bytes=2000, kept=100)

    def write(name: str) -> None:
        for number in range(100):
            log.line(f"{name} {number}")

    writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    log.close()
    found = all_texts(path)
    assert len(found) == 400
    assert [text for text in found if text.startswith("b ")] == [f"b {number}" for number in range(100)]


def test_a_folder_that_forbids_the_rotation_costs_no_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LauncherLog(path, max_bytes=60, kept=5)

    def forbidden(*_: object) -> Path:
        raise PermissionError(errno.EACCES, "no")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", forbidden)
        for number in range(4):
            log.line(f"line {number}")
    log.close()
    assert texts(path) == [f"line {number}" for number in range(4)]


def test_a_follower_that_slept_through_rotations_misses_nothing(path: Path) -> None:
    log = LauncherLog(path, max_bytes=100, kept=20)
    log.line("first")
    tail = Tail(path)
    seen = list(tail.new_lines())
    for number in range(20):
        log.line(f"line {number}")
    seen += tail.new_lines()
    log.line("last")
    seen += tail.new_lines()
    tail.close()
    log.close()
    assert len(files(path)) > 4
    said = [line.split(" ", 2)[2] for line in seen]
    assert said == ["first", *(f"line {number}" for number in range(20)), "last"]
