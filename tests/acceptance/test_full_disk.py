"""A disk that fills up under a daemon pauses the queue, is told, and the queue goes on by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from full_disk import Filling, survive


@pytest.mark.fault(
    "a full disk",
    moment="at any write of the daemon",
    outcome="the queue pauses, says so, and goes on by itself",
)
@pytest.mark.fault(
    "no inodes left",
    moment="at any write of the daemon",
    outcome="the queue pauses, says so, and goes on by itself",
)
@pytest.mark.parametrize(
    "filling", [Filling(before_write=40), Filling(before_write=22, kind="inodes")], ids=["bytes", "inodes"]
)
def test_a_queue_whose_disk_is_full_pauses_and_goes_on(tmp_path: Path, filling: Filling) -> None:
    assert survive(tmp_path / "disk", filling) is not None
