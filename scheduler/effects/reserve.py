"""Is there always room for the records of a run in flight? Space and files are set aside before it starts."""

from __future__ import annotations

import os
from pathlib import Path

from scheduler.effects.files import free_files, free_mib

#: as many new files can be made on a disk that has no inode left
FILES = 16
FILE_BYTES = 512 * 1024
BYTES = FILES * FILE_BYTES


class Reserve:
    """Preallocated files that hold nothing. Given to the disk when it is full, and taken again afterwards."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.parent
        self._files = tuple(folder / f"{number}" for number in range(FILES))
        #: whether everything is set aside, as far as is known
        self.is_whole = False
        #: whether the disk was full, and has this now
        self.is_in_use = False

    def secure(self) -> OSError | None:
        """Set aside whatever is not; None when all of it is, else why not. Then nothing is kept back."""
        try:
            for file in self._files:
                if not file.exists() or file.stat().st_size != FILE_BYTES:
                    _allocate(file)
        except OSError as error:
            self._remove()
            return error
        self.is_whole, self.is_in_use = True, False
        return None

    def release_if_needed(self) -> None:
        """Give everything to a disk that is full now."""
        if free_mib(self._folder) < 1 or free_files(self._folder) == 0:
            self.release()

    def release(self) -> bool:
        """Give everything to the disk, which was full; whether there was anything."""
        self.is_in_use = True
        return self._remove()

    def _remove(self) -> bool:
        self.is_whole = False
        is_freed = False
        for file in self._files:
            try:
                file.unlink()
                is_freed = True
            except FileNotFoundError:
                continue
        return is_freed


def _allocate(file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    try:
        os.posix_fallocate(fd, 0, FILE_BYTES)
    finally:
        os.close(fd)
