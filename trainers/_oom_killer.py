"""Has the kernel ended something for want of memory? It counts what it ends, and the count is read twice.

A process that the out-of-memory killer ends looks like one that a person killed. Only the kernel knows
better, and its log is not for everybody to read; its counters are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_PROC = Path("/proc")
_COUNT = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def oom_kills(pid: int | str = "self", *, cgroups: Path = _CGROUPS, proc: Path = _PROC) -> int | None:
    """Processes that the kernel has ended so far for want of memory; None where it does not tell.

    Those of the cgroup that `pid` is in, where it keeps count, and else those of the whole machine. What
    counts is whether the number has grown.
    """
    for file in (*_cgroup_files(pid, cgroups, proc), proc / "vmstat"):
        try:
            found = _COUNT.search(file.read_text())
        except OSError:
            continue
        if found is not None:
            return int(found[1])
    return None


def has_grown(before: int | None, after: int | None) -> bool:
    """Whether something was ended between two counts."""
    return before is not None and after is not None and after > before


def _cgroup_files(pid: int | str, cgroups: Path, proc: Path) -> Iterator[Path]:
    """Where the cgroup of a process may keep its count; a container sees its own as the root."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield cgroups / path.lstrip("/") / "memory.events"
        elif "memory" in controllers.split(","):
            yield cgroups / "memory" / path.lstrip("/") / "memory.oom_control"
            yield cgroups / "memory" / "memory.oom_control"
