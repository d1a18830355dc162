"""How does a process that only prepares stay out of the way of the one that trains, until it is its turn?

Only ways are taken that lead back: without a privilege a niceness can be raised, but never lowered again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

#: the least share of the processor that a session may ask for, and the usual one
LEAST_NICE, USUAL_NICE = 19, 0
#: the kernel takes one change of a session's share in so many seconds; a second one has to come again
CHANGE_SECONDS = 0.11
#: after so many refusals a process stays as it is
MOST_CHANGES = 50


class Priority:
    """The priority of one process, which leads a session of its own, and of all its threads."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._lock = threading.Lock()
        #: what the kernel has yet to be told
        self._wanted_nice: int | None = None

    def lower(self) -> None:
        """Let everything else have the processor and the disk first."""
        self._share(LEAST_NICE)
        if _leads_back():
            _schedule(self._pid, os.SCHED_IDLE)
        _disk(self._pid, psutil.IOPRIO_CLASS_IDLE)

    def restore(self) -> None:
        """Back to the usual share."""
        self._share(USUAL_NICE)
        _schedule(self._pid, os.SCHED_OTHER)
        _disk(self._pid, psutil.IOPRIO_CLASS_NONE)

    def _share(self, nice: int) -> None:
        """The processor's share of the session, where the kernel divides it by sessions."""
        with self._lock:
            is_insisting = self._wanted_nice is not None
            self._wanted_nice = None if _try_share(self._pid, nice) else nice
            if self._wanted_nice is not None and not is_insisting:
                threading.Thread(target=self._insist, name="share", daemon=True).start()

    def _insist(self) -> None:
        for _ in range(MOST_CHANGES):
            time.sleep(CHANGE_SECONDS)
            with self._lock:
                if self._wanted_nice is None or _try_share(self._pid, self._wanted_nice):
                    self._wanted_nice = None
                    return


def _try_share(pid: int, nice: int) -> bool:
    """False where the kernel wants to be asked again later."""
    try:
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))
    except BlockingIOError:
        return False
    except OSError:
        pass  # it is gone, or this kernel divides the processor in another way
    return True


def _leads_back() -> bool:
    """Whether a thread that was made idle may be made a usual one again: tried on one that ends at once."""
    answers: list[bool] = []

    def attempt() -> None:
        own = threading.get_native_id()
        try:
            os.sched_setscheduler(own, os.SCHED_IDLE, os.sched_param(0))
            os.sched_setscheduler(own, os.SCHED_OTHER, os.sched_param(0))
            answers.append(True)
        except OSError:
            answers.append(False)

    thread = threading.Thread(target=attempt, name="priority")
    thread.start()
    thread.join()
    return answers == [True]


def _schedule(pid: int, policy: int) -> None:
    """`policy` for every thread; a new one has that of the thread that made it, so until none has another."""
    others = True
    while others:
        others = False
        for thread_id in _threads(pid):
            try:
                if os.sched_getscheduler(thread_id) != policy:
                    os.sched_setscheduler(thread_id, policy, os.sched_param(0))
                    others = True
            except ProcessLookupError:
                pass
            except PermissionError:
                return


def _disk(pid: int, io_class: int) -> None:
    for thread_id in _threads(pid):
        try:
            psutil.Process(thread_id).ionice(io_class)
        except (psutil.Error, OSError):
            pass  # it is gone, or this kernel does not weigh the disk's users


def _threads(pid: int) -> Iterator[int]:
    try:
        yield from (int(name) for name in os.listdir(f"/proc/{pid}/task"))
    except FileNotFoundError:
        pass
