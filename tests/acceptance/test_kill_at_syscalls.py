"""A sample of the calls at which tests/torture/test_syscalls.py kills a daemon."""

from __future__ import annotations

from pathlib import Path

import pytest
from syscalls import Point, require_strace, survive_kill


@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="at any call that changes a disk, those of a recovery included",
    outcome="the round ends with the verdicts it would have had",
)
def test_a_daemon_that_died_twice_in_its_recovery_is_recovered(tmp_path: Path) -> None:
    require_strace()
    assert survive_kill(tmp_path / "home", Point("fsync", 3, recovers="medium"))
