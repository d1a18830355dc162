"""A full disk is waited out and told once; anything else, and an end, is not waited for."""

from __future__ import annotations

import errno

import pytest

from scheduler.effects import patience
from scheduler.effects.patience import Patience
from scheduler.effects.records import DiskFullError
from scheduler.rounds.errors import RecordsWriteError


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "RETRY_SECONDS", 0.0)


class Disk:
    """Fails as often as told, then works."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)

    def write(self) -> str:
        if self.failures:
            raise self.failures.pop(0)
        return "written"


@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "no space"), OSError(errno.EDQUOT, "quota"), DiskFullError("no space")]
)
def test_an_effect_is_tried_again_until_there_is_room_and_that_is_told_once(failure: Exception) -> None:
    told: list[str] = []
    disk = Disk(failure, failure, failure)
    assert Patience(told.append, lambda: True).on_full_disk(disk.write) == "written"
    [words] = told
    assert "free some space" in words


def test_another_error_is_not_waited_for() -> None:
    with pytest.raises(PermissionError):
        Patience(print, lambda: True).on_full_disk(Disk(PermissionError(errno.EACCES, "no")).write)


def test_a_daemon_that_was_told_to_stop_does_not_wait_for_space() -> None:
    with pytest.raises(RecordsWriteError, match="told to stop"):
        Patience(print, lambda: False).on_full_disk(Disk(OSError(errno.ENOSPC, "no space")).write)


def test_room_that_was_set_aside_is_given_up_before_anything_is_waited_for() -> None:
    told: list[str] = []
    waits: list[None] = []
    reserve = [True]

    def make_room() -> bool:
        return bool(reserve and reserve.pop())

    patience = Patience(
        told.append, lambda: True, make_room=make_room, still_waiting=lambda: waits.append(None)
    )
    assert patience.on_full_disk(Disk(DiskFullError("no space")).write) == "written"
    assert (len(told), len(waits)) == (1, 0)
    full = OSError(errno.ENOSPC, "no space")
    assert patience.on_full_disk(Disk(full, full).write) == "written"
    assert (len(told), len(waits)) == (2, 2)


def test_a_daemon_that_was_told_to_stop_still_uses_what_was_set_aside() -> None:
    patience = Patience(print, lambda: False, make_room=lambda: True)
    assert patience.on_full_disk(Disk(OSError(errno.ENOSPC, "no space")).write) == "written"
