"""Does the kernel hold the processes of an attempt together for us? It does where a cgroup was given to us.

A cgroup is only used when a service manager has marked it as delegated (`Delegate=yes`), and when nobody else
lives in it. Everywhere else, attempts are known by their process trees alone.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

#: what systemd writes on a cgroup that it leaves to the service in it
_DELEGATED_MARKS = ("user.delegate", "trusted.delegate")
#: the daemon's own, since a group that has groups below it may hold no process itself
_DAEMON_GROUP = "daemon"
_ATTEMPT_PREFIX = "attempt-"
_NAME_LENGTH = 120
_POLL_SECONDS = 0.005


def delegated_groups() -> Cgroups | None:
    """The groups that this process may make, after it has moved into one of them; None where it may not.

    To be called once, before anything else runs in this process or below it.
    """
    try:
        folder = own_folder(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text())
        if folder is None or not _is_ours(folder):
            return None
        _move_down(folder)
    except OSError:
        return None
    return Cgroups(folder)


def own_folder(cgroup: str, mountinfo: str) -> Path | None:
    """Where the own cgroup of version 2 lies, by the texts of /proc/self; None where there is none."""
    own = next((line[3:] for line in cgroup.splitlines() if line.startswith("0::/")), None)
    if own is None or own.startswith("/.."):  # it lies outside of what this namespace shows
        return None
    for root, mount_point in _mounts(mountinfo):
        if Path(own).is_relative_to(root):
            return Path(mount_point) / Path(own).relative_to(root)
    return None


def _mounts(mountinfo: str) -> Iterator[tuple[str, str]]:
    """Root and mount point of every cgroup2 file system."""
    for line in mountinfo.splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.split(" ", 1)[0] == "cgroup2":
            _, _, _, root, mount_point, *_ = fields.split(" ")
            yield _plain(root), _plain(mount_point)


def _plain(field: str) -> str:
    """With blanks, which the kernel writes as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _is_ours(folder: Path) -> bool:
    if not any(_has_mark(folder, name) for name in _DELEGATED_MARKS):
        return False
    # A terminal or a container may be marked as well; what shares it would not expect us to rule there.
    alone = (folder / "cgroup.procs").read_text().split() == [str(os.getpid())]
    return alone and (folder / "cgroup.kill").exists()


def _has_mark(folder: Path, name: str) -> bool:
    try:
        return os.getxattr(folder, name) == b"1"
    except OSError:
        return False


def _move_down(folder: Path) -> None:
    """Into a group of our own below it."""
    leaf = folder / _DAEMON_GROUP
    leaf.mkdir(exist_ok=True)
    (leaf / "cgroup.procs").write_text(str(os.getpid()))
    with suppress(OSError):  # only to learn of memory that the kernel fell short of
        (folder / "cgroup.subtree_control").write_text("+memory")


class Cgroups:
    """The groups below one that is ours. Groups without our prefix are left alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)

    def make(self, name: str) -> Cgroup | None:
        """A group for a worker, named for people; None where the kernel gives no more."""
        word = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:_NAME_LENGTH]
        path = self._folder / f"{_ATTEMPT_PREFIX}{word}.{os.getpid()}-{next(self._numbers)}"
        try:
            path.mkdir()
        except OSError:
            return None
        return Cgroup(path)

    def leftovers(self) -> list[Cgroup]:
        """Groups of workers, made by whoever ruled here before."""
        return [Cgroup(path) for path in sorted(self._folder.glob(f"{_ATTEMPT_PREFIX}*"))]


class Cgroup:
    """The group of one worker: whatever it starts is born in it, and leaves it only by ending."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def take(self, pid: int) -> bool:
        """Move a process in, with all that it will start; False where that cannot be."""
        try:
            (self.path / "cgroup.procs").write_text(str(pid))
        except OSError:
            return False
        return True

    def pids(self) -> set[int]:
        """Every process in it or in a group below it."""
        found: set[int] = set()
        for folder, _, _ in os.walk(self.path):
            with suppress(OSError):
                found |= {int(pid) for pid in Path(folder, "cgroup.procs").read_text().split()}
        return found

    def cpu_seconds(self) -> float:
        """What all its processes have used so far, those that have ended included."""
        return _count(self.path / "cpu.stat", "usage_usec") / 1e6

    def oom_kills(self) -> int:
        """How many of its processes the kernel killed for want of memory, where it says."""
        return _count(self.path / "memory.events", "oom_kill")

    def kill(self, wait_seconds: float) -> None:
        """Kill everything in it at once, and wait until it is empty or the time is up."""
        deadline = time.monotonic() + wait_seconds
        with suppress(OSError):
            (self.path / "cgroup.kill").write_text("1")
            while self.is_populated() and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)

    def is_populated(self) -> bool:
        """Whether any process lives in it."""
        return _count(self.path / "cgroup.events", "populated") > 0

    def remove(self) -> None:
        """Take it away with the groups that were made in it; one with a process in it stays."""
        for folder, _, _ in os.walk(self.path, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)


def _count(file: Path, name: str) -> int:
    """The number behind `name`; 0 in a file that is gone or does not say."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)
