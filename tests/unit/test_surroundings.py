"""Free space and the hours set aside forbid a start, and are told only when they change."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from scheduler.decide.inputs import GateChanged
from scheduler.effects import surroundings
from scheduler.effects.surroundings import Surroundings
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.settings import Settings
from scheduler.rounds.windows import Window

NIGHT = Settings(windows=(Window.parse("22:00-07:00"),), disk_floor_mib=100.0)


class Around:
    """A home whose disk and clock the test sets."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free_mib = 5000
        self.now = datetime.fromisoformat("2026-01-05T23:00:00+01:00")
        monkeypatch.setattr(surroundings, "free_mib", lambda _: self.free_mib)
        self._surroundings = Surroundings(HomePaths(home), NIGHT, lambda: self.now)

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
