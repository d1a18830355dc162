"""Is what was set aside really there for a full disk, in bytes and in files?"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from full_disk import mounted_tmpfs

from scheduler.effects.files import free_files
from scheduler.effects.reserve import BYTES, FILES, Reserve


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_tmpfs(tmp_path / "disk", f"size={BYTES + 64 * 1024},nr_inodes=40") as folder:
        yield folder


def written_until_full(path: Path) -> int:
    """Bytes that went into the file until the disk was full."""
    written = 0
    with path.open("ab", buffering=0) as file:
        while True:
            try:
                written += file.write(bytes(4096))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                return written


def test_a_full_disk_takes_as_much_as_was_set_aside(disk: Path) -> None:
    reserve = Reserve(disk / "reserve")
    assert reserve.secure() is None
    written_until_full(disk / "filler")
    assert reserve.release()
    assert written_until_full(disk / "filler") == BYTES
    assert reserve.secure() is not None
    assert not reserve.is_whole
    assert list((disk / "reserve").iterdir()) == []
    (disk / "filler").unlink()
    assert reserve.secure() is None


def test_a_disk_without_inodes_takes_as_many_files_as_were_set_aside(disk: Path) -> None:
    reserve = Reserve(disk / "reserve")
    assert reserve.secure() is None
    left = free_files(disk)
    assert left is not None
    for number in range(left):
        (disk / f"{number}").touch()
    with pytest.raises(OSError, match="No space left"):
        (disk / "one more").touch()
    assert reserve.release()
    for number in range(FILES):
        (disk / f"more {number}").touch()


def test_what_an_earlier_daemon_set_aside_is_taken_over(tmp_path: Path) -> None:
    folder = tmp_path / "reserve"
    assert Reserve(folder).secure() is None
    before = {path: path.stat().st_ino for path in folder.iterdir()}
    (folder / "3").write_bytes(b"cut short")
    again = Reserve(folder)
    assert again.secure() is None
    assert {path: path.stat().st_ino for path in folder.iterdir()} == before
    assert sum(path.stat().st_size for path in folder.iterdir()) == BYTES


def test_nothing_to_give_up_is_told(tmp_path: Path) -> None:
    assert not Reserve(tmp_path / "reserve").release()
