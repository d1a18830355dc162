"""Is a dropped file complete, and what does it hold? Asked of one file, at one moment."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
from dataclasses import dataclass
from pathlib import Path

from scheduler.effects.files import open_regular

MAX_SPEC_BYTES = 256 * 1024
#: bytes of a file name that leave room for a number and `.why.txt` within what a disk allows
MAX_NAME_BYTES = 200
SPEC_SUFFIXES = (".toml", ".json")

#: A write sets both times from one reading of the clock, a rename only ctime. The clock ticks every few
#: milliseconds, so that a difference below this says nothing.
_VISIBLY_LATER_NS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A file in the queue that is ready to be parsed."""

    path: Path
    name: str
    #: ".toml" or ".json"
    suffix: str
    data: bytes
    sha256: str
    #: it came by rename or link, so nothing more is coming
    came_complete: bool
    #: a parse failure is the file's, not of a copy still under way: reject it. Otherwise `postpone` it
    is_final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A file in the queue that cannot be a spec, whatever it holds."""

    path: Path
    name: str
    #: what is wrong with it and what to do, for the person who dropped it
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What changes when a file does."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Signature:
        return cls(
            device=status.st_dev,
            inode=status.st_ino,
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            ctime_ns=status.st_ctime_ns,
        )

    @property
    def came_by_rename(self) -> bool:
        """True when something came after the last write: a rename, a link, a copy that sets times last."""
        return self.ctime_ns - self.mtime_ns >= _VISIBLY_LATER_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The bytes of a file that nobody was seen writing."""

    data: bytes
    #: the kernel says that nobody has it open for writing; False where it would not say
    has_no_writer: bool


def is_candidate(name: str) -> bool:
    """True for names that may be specs: the temporary files of editors and copiers are none."""
    return not name.startswith(".") and Path(name).suffix.lower() in SPEC_SUFFIXES


def problem_of(name: str, status: os.stat_result) -> str | None:
    """What keeps a file from ever being a spec, as far as its name and kind tell."""
    if not name.isprintable():
        return "the file name holds bytes that cannot be shown. Rename the file."
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        return f"the file name is longer than {MAX_NAME_BYTES} bytes. Rename the file."
    if stat.S_ISLNK(status.st_mode):
        return "this is a symbolic link, and the queue follows none. Copy the file itself."
    if not stat.S_ISREG(status.st_mode):
        return "this is not a regular file. Put a TOML or JSON file here."
    if status.st_size > MAX_SPEC_BYTES:
        return (
            f"the file has {status.st_size} bytes, and a spec may have {MAX_SPEC_BYTES}. "
            f"Split the round, or generate variants with a grid."
        )
    return None


def read_unless_written(path: Path, expected: Signature) -> Contents | None:
    """The file's bytes, read once; None when it is being written or is not the expected one any more.

    Raises OSError when it cannot be opened, ValueError when it is not a regular file any more.
    """
    with open_regular(path) as file:
        fd = file.fileno()
        if Signature.of(os.fstat(fd)) != expected:
            return None
        has_writer = _has_writer(fd)
        if has_writer:
            return None
        data = file.read(MAX_SPEC_BYTES + 1)
        if len(data) != expected.size or Signature.of(os.fstat(fd)) != expected:
            return None
    return Contents(data=data, has_no_writer=has_writer is False)


def _has_writer(fd: int) -> bool | None:
    """Whether anybody has the file open for writing; None where the kernel will not say.

    After False the lease is held until `fd` is closed, and a new writer waits that long.
    """
    try:
        # A writer that comes while the lease is held makes the kernel send SIGIO, which kills; SIGURG is
        # ignored by default.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        # Another user's file and many file systems allow no lease.
        return True if error.errno == errno.EAGAIN else None
    return False
