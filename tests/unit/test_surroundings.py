"""Free space and the hours set aside forbid a start, and are told only when they change."""

from __future__ import annotations

import errno
import os
from datetime import datetime
from pathlib import Path

import pytest

from scheduler.decide.inputs import GateChanged
from scheduler.effects import surroundings
from scheduler.effects.reserve import BYTES, Reserve
from scheduler.effects.surroundings import Surroundings
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.settings import Settings
from scheduler.rounds.windows import Window

NIGHT = Settings(windows=(Window.parse("22:00-07:00"),), disk_floor_mib=100.0)


class Around:
    """A home whose disk and clock the test sets."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free_mib = 5000
        self.free_files: int | None = 5000
        self.now = datetime.fromisoformat("2026-01-05T23:00:00+01:00")
        self.reserve = Reserve(home / "reserve")
        monkeypatch.setattr(surroundings, "free_mib", lambda _: self.free_mib)
        monkeypatch.setattr(surroundings, "free_files", lambda _: self.free_files)
        self._surroundings = Surroundings(HomePaths(home), NIGHT, self.reserve, lambda: self.now)

    def disk_refused(self) -> list[GateChanged]:
        return list(self._surroundings.disk_refused())

    def changes(self) -> list[GateChanged]:
        return list(self._surroundings.changes())


@pytest.fixture
def around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Around:
    return Around(tmp_path, monkeypatch)


def test_nothing_is_told_while_nothing_forbids_a_start(around: Around) -> None:
    assert around.changes() == []


def test_a_disk_below_its_floor_is_told_once_and_so_is_its_recovery(around: Around) -> None:
    around.free_mib = 60
    [told] = around.changes()
    assert told.source == "disk"
    assert "60 MiB free, the floor is 100" in str(told.wait_reason)
    around.free_mib = 50
    assert around.changes() == []
    around.free_mib = 5000
    assert around.changes() == [GateChanged(source="disk", wait_reason=None)]


def test_outside_its_hours_nothing_starts(around: Around) -> None:
    around.now = around.now.replace(hour=12)
    [told] = around.changes()
    assert (told.source, "22:00-07:00" in str(told.wait_reason)) == ("window", True)
    around.now = around.now.replace(hour=6)
    assert around.changes() == [GateChanged(source="window", wait_reason=None)]


def test_a_disk_without_inodes_forbids_a_start_and_one_without_a_limit_does_not(around: Around) -> None:
    around.free_files = 20
    [told] = around.changes()
    assert "only 20 more files can be made (inodes)" in str(told.wait_reason)
    around.free_files = None
    assert around.changes() == [GateChanged(source="disk", wait_reason=None)]


def test_room_for_records_is_set_aside_before_anything_starts(around: Around) -> None:
    assert not around.reserve.is_whole
    assert around.changes() == []
    assert around.reserve.is_whole


def test_nothing_is_set_aside_from_below_the_floor(around: Around) -> None:
    around.free_mib = 100 + BYTES // 2**20 - 1
    [told] = around.changes()
    assert "8 MiB are to be set aside" in str(told.wait_reason)
    assert not around.reserve.is_whole
    around.free_mib += 1
    assert around.changes() == [GateChanged(source="disk", wait_reason=None)]
    around.free_mib = 100
    assert around.changes() == []


def test_room_that_cannot_be_set_aside_forbids_a_start(
    around: Around, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", refuse)
        [told] = around.changes()
    assert "cannot be set aside for records (Disk quota exceeded)" in str(told.wait_reason)
    assert around.changes() == [GateChanged(source="disk", wait_reason=None)]


def test_a_full_disk_closes_the_gate_until_its_room_is_set_aside_again(around: Around) -> None:
    assert around.changes() == []
    assert around.reserve.release()
    [told] = around.disk_refused()
    assert told.source == "disk"
    assert "goes on when 108 MiB are free" in str(told.wait_reason)
    around.free_mib = 50
    assert around.changes() == []
    around.free_mib = 5000
    assert around.changes() == [GateChanged(source="disk", wait_reason=None)]
    assert around.reserve.is_whole
