"""A cgroup of a test's own, where the machine lets us make one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scheduler.effects.cgroup import Cgroup, own_folder


@contextmanager
def made_cgroup() -> Iterator[Path]:
    """An empty cgroup marked as delegated, below the one that the tests run in; it is gone afterwards."""
    proc = Path("/proc/self")
    own = own_folder((proc / "cgroup").read_text(), (proc / "mountinfo").read_text())
    if own is None:
        pytest.skip("no cgroup of version 2 is mounted")
    folder = own / f"roundhouse-test-{secrets.token_hex(4)}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made below {own}: {error.strerror}")
    group = Cgroup(folder)
    try:
        try:
            os.setxattr(folder, "user.delegate", b"1")
        except OSError as error:
            pytest.skip(f"a cgroup cannot be marked as delegated here: {error.strerror}")
        if not (folder / "cgroup.kill").exists():
            pytest.skip("this kernel has no cgroup.kill")
        yield folder
    finally:
        group.kill(5.0)
        group.remove()


def members(folder: Path) -> set[int]:
    """Every process in a cgroup or below it."""
    return Cgroup(folder).pids()
