"""Does a reader of the status always see something whole, and soon what is so?"""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from scheduler.effects.clock import FakeClock
from scheduler.effects.status import StatusFile, read_status


def test_what_is_offered_is_read(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    assert read_status(path) is None
    StatusFile(path).offer({"round": "night", "left_seconds": [60, 90], "acc": float("nan")})
    assert read_status(path) == {"round": "night", "left_seconds": [60, 90], "acc": None}
    assert list(tmp_path.iterdir()) == [path]


def test_an_offer_just_after_another_is_written_with_the_next_flush(tmp_path: Path) -> None:
    clock = FakeClock()
    status = StatusFile(tmp_path / "status.json", 0.5, monotonic=clock.monotonic)
    status.offer({"step": 1})
    assert status.next_in() is None
    clock.advance(0.2)
    status.offer({"step": 2})
    status.offer({"step": 3})
    assert read_status(tmp_path / "status.json") == {"step": 1}
    assert status.next_in() == pytest.approx(0.3)
    clock.advance(0.3)
    assert status.next_in() == pytest.approx(0.0)
    status.flush()
    assert read_status(tmp_path / "status.json") == {"step": 3}
    assert status.next_in() is None


def test_what_has_not_changed_is_not_written_again(tmp_path: Path) -> None:
    clock = FakeClock()
    path = tmp_path / "status.json"
    status = StatusFile(path, monotonic=clock.monotonic)
    status.offer({"step": 1})
    inode = path.stat().st_ino
    clock.advance(10)
    status.offer({"step": 1})
    status.flush()
    assert path.stat().st_ino == inode
    status.offer({"step": 2})
    assert path.stat().st_ino != inode


def test_a_change_that_is_taken_back_is_not_written(tmp_path: Path) -> None:
    clock = FakeClock()
    status = StatusFile(tmp_path / "status.json", monotonic=clock.monotonic)
    status.offer({"step": 1})
    status.offer({"step": 2})
    status.offer({"step": 1})
    assert status.next_in() is None


def test_a_full_disk_leaves_the_old_status_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    path = tmp_path / "status.json"
    status = StatusFile(path, monotonic=clock.monotonic)
    status.offer({"step": 1})
    clock.advance(1)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        status.offer({"step": 2})
    assert read_status(path) == {"step": 1}
    assert status.next_in() == 0.5
    clock.advance(0.5)
    status.offer({"step": 2})
    assert read_status(path) == {"step": 2}
    assert list(tmp_path.iterdir()) == [path]


def test_a_status_takes_the_room_that_was_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    write = os.write
    monkeypatch.setattr(os, "write", full)

    def make_room() -> bool:
        monkeypatch.setattr(os, "write", write)
        return True

    path = tmp_path / "status.json"
    StatusFile(path, make_room=make_room).offer({"step": 1})
    assert read_status(path) == {"step": 1}


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"\xff"])
def test_a_status_that_is_not_whole_is_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "status.json"
    path.write_bytes(data)
    assert read_status(path) is None


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    status = StatusFile(path, 0.0)
    status.offer({"step": 0, "filling": "x" * 50_000})
    is_done = threading.Event()

    def write() -> None:
        for step in range(1, 300):
            status.offer({"step": step, "filling": "x" * 50_000})
        is_done.set()

    writer = threading.Thread(target=write)
    writer.start()
    last = 0
    while not is_done.is_set():
        seen = read_status(path)
        assert seen is not None
        assert seen["step"] >= last
        last = seen["step"]
    writer.join()
    assert read_status(path) == {"step": 299, "filling": "x" * 50_000}
