"""A daemon whose disk fills up, for real, just before its n-th write to a file.

    python filling_daemon.py HOME FILLER N KIND LEFT

takes all but LEFT bytes of the disk with files in FILLER, or all of its inodes where KIND is "inodes".
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

PAGE = 4096


def fill_bytes(folder: Path, left: int) -> None:
    folder.mkdir()
    fd = os.open(folder / "filler", os.O_CREAT | os.O_RDWR)
    size, step = 0, 64 * 2**20
    while step >= PAGE:
        try:
            os.posix_fallocate(fd, size, step)
            size += step
        except OSError:
            step //= 2
    os.ftruncate(fd, max(0, size - left))
    os.close(fd)


def fill_inodes(folder: Path, left: int) -> None:
    folder.mkdir()
    for number in range(10**6):
        try:
            os.close(os.open(folder / f"{number}", os.O_CREAT | os.O_WRONLY))
        except OSError:
            break
    for number in range(left):
        (folder / f"{number}").unlink()


FILL: dict[str, Callable[[Path, int], None]] = {"bytes": fill_bytes, "inodes": fill_inodes}


def fill_before(number: int, fill: Callable[[], None]) -> None:
    """Have `fill` called before the process's n-th write to a regular file."""
    write = os.write
    left = number

    def counted(fd: int, data: bytes) -> int:
        nonlocal left
        if stat.S_ISREG(os.fstat(fd).st_mode):
            left -= 1
            if left == 0:
                fill()
        return write(fd, data)

    os.write = counted


def main(home: str, filler: str, number: str, kind: str, left: str) -> int:
    from scheduler.cli import main as schedctl

    fill_before(int(number), lambda: FILL[kind](Path(filler), int(left)))
    return schedctl(["--home", home, "daemon"])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
