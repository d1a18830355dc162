"""A disk whose power can be cut: a file system in a file, shut down without its log."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from real_home import wait_until

#: nothing that is not in the journal of the file system, and on the disk, is there afterwards
_FS_IOC_SHUTDOWN = 0x8004587D
_WITHOUT_LOG = 2
#: the smallest that each can be made
_MIB = {"ext4": 48, "xfs": 320}
_MAKE = {"ext4": ("mkfs.ext4", "-q", "-F"), "xfs": ("mkfs.xfs", "-q", "-f")}


class Disk:
    """One file system, mounted on `folder`."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image = image
        self.folder = folder

    def mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.folder))

    def cut(self) -> None:
        """What was not made durable is lost, and whoever writes hears of an error from now on."""
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _FS_IOC_SHUTDOWN, struct.pack("I", _WITHOUT_LOG))
        finally:
            os.close(fd)

    def unmount(self) -> None:
        """Once nobody has anything open on it any more."""
        command = ["umount", str(self.folder)]
        wait_until(
            lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0, "umount"
        )

    def switch_on(self) -> None:
        """The disk as a machine finds it that starts after the cut."""
        self.unmount()
        self.mount()


@contextmanager
def made_disk(kind: str, folder: Path) -> Iterator[Disk]:
    """An empty file system of the kind, "ext4" or "xfs". Skips where none can be made, mounted and cut."""
    if shutil.which(_MAKE[kind][0]) is None:
        pytest.skip(f"needs the program {_MAKE[kind][0]}")
    folder.mkdir()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.NamedTemporaryFile(dir=memory, prefix="roundhouse-disk-") as image:
        image.truncate(_MIB[kind] * 2**20)
        _run(*_MAKE[kind], image.name)
        disk = Disk(Path(image.name), folder)
        try:
            disk.mount()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"needs the right to mount a loop device ({error.stderr.decode().strip()})")
        try:
            _require_cut(disk)
            yield disk
        finally:
            with contextlib.suppress(AssertionError):
                disk.unmount()
            subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


def _require_cut(disk: Disk) -> None:
    try:
        disk.cut()
    except OSError as error:
        pytest.skip(f"needs a file system that can be shut down ({error.strerror})")
    disk.switch_on()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
