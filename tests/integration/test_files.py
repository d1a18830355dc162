"""Is a published file whole or absent, whatever fails on the way?"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from scheduler.effects import files


def test_a_published_file_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "round.json"
    files.publish(path, b"old")
    files.publish(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_file_and_folder_are_synced_in_the_order_that_survives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    real_fsync, real_rename = os.fsync, Path.replace

    def fsync(fd: int) -> None:
        steps.append("fsync folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "fsync file")
        real_fsync(fd)

    def rename(self: Path, target: Path) -> Path:
        steps.append("rename")
        return real_rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    files.publish(tmp_path / "spec.toml", b"x")
    assert steps == ["fsync file", "rename", "fsync folder"]


@pytest.mark.parametrize("function", ["write", "fsync"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    path = tmp_path / "spec.toml"
    files.publish(path, b"old")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patched:
        patched.setattr(os, function, full)
        with pytest.raises(OSError, match="full"):
            files.publish(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_short_write_is_followed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, data: real_write(fd, bytes(data[:3])))
        files.publish(tmp_path / "x", b"0123456789")
    assert (tmp_path / "x").read_bytes() == b"0123456789"


def test_only_old_leftovers_are_swept(tmp_path: Path) -> None:
    old, new = (files.temporary_beside(tmp_path / "spec.toml") for _ in range(2))
    for path in (old, new, tmp_path / "spec.toml", tmp_path / ".hidden.tmp"):
        path.write_bytes(b"")
        os.utime(path, (0, 0))
    os.utime(new)
    assert files.sweep_leftovers(tmp_path) == 1
    assert not old.exists()
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.toml"
    if kind == "link":
        path.symlink_to("/etc/hostname")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises((OSError, ValueError)):
        files.open_regular(path)


def test_free_space_is_told_in_whole_mib(tmp_path: Path) -> None:
    assert 0 < files.free_mib(tmp_path) < 2**40


def test_a_local_folder_is_no_network_file_system_even_before_it_exists() -> None:
    assert files.is_network_filesystem(Path("/proc/self/not/there")) is None
