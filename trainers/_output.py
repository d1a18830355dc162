"""Where does what a run prints go? Into a nameless file until the run exists, then into its out.log."""

from __future__ import annotations

import os
import stat
import sys
import threading
from pathlib import Path

from trainers._secrets import redacted, secrets_of

#: bytes of out.log; what a run prints beyond is dropped
CAP_BYTES = 64 * 2**20

#: bytes of output kept with a failure
TAIL_BYTES = 4096

DROPPED = b"\n[output beyond 64 MiB is dropped from here on]\n"


class Output:
    """Owns the descriptors 1 and 2 of a worker. Threads may write to them while they are moved."""

    def __init__(self) -> None:
        # Whoever started the worker gave it a nameless file as its output, and can read it however the worker
        # ends; only a worker started by hand has something else.
        self._nameless = os.dup(1)
        self._log: int | None = None
        self._is_full = False
        self._lock = threading.Lock()

    def begin(self, log: Path) -> None:
        """From now on output lies in `log`; what was printed so far is carried over."""
        with self._lock:
            self._flush()
            descriptor = os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            _write(descriptor, _head(self._nameless))
            self._point_at(descriptor)
            self._log, self._is_full = descriptor, False

    def end(self) -> None:
        """Output belongs to no run any more."""
        with self._lock:
            self._flush()
            if self._log is None:
                return
            if _is_regular(self._nameless):
                os.ftruncate(self._nameless, 0)
                os.lseek(self._nameless, 0, os.SEEK_SET)
            self._point_at(self._nameless)
            os.close(self._log)
            self._log, self._is_full = None, False

    def cap(self) -> None:
        """Cut what was printed back to its cap. Called now and then: a child may have inherited the file."""
        with self._lock:
            descriptor = self._nameless if self._log is None else self._log
            if not _is_regular(descriptor) or os.fstat(descriptor).st_size <= CAP_BYTES:
                return
            os.ftruncate(descriptor, CAP_BYTES - len(DROPPED))
            os.pwrite(descriptor, DROPPED, CAP_BYTES - len(DROPPED))
            if not self._is_full:
                self._is_full = True
                nowhere = os.open(os.devnull, os.O_WRONLY)
                self._point_at(nowhere)
                os.close(nowhere)

    def tail(self) -> str:
        """The last of what was printed."""
        with self._lock:
            self._flush()
            return tail_of(self._nameless if self._log is None else self._log)

    def _point_at(self, descriptor: int) -> None:
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)

    def _flush(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()


def tail_of(descriptor: int, size: int = TAIL_BYTES) -> str:
    """The last `size` bytes of an open regular file as text, without secrets; nothing of anything else."""
    if not _is_regular(descriptor):
        return ""
    start = max(0, os.fstat(descriptor).st_size - size)
    return redacted(os.pread(descriptor, size, start).decode(errors="replace"), secrets_of(os.environ))


def _head(descriptor: int) -> bytes:
    return os.pread(descriptor, CAP_BYTES, 0) if _is_regular(descriptor) else b""


def _is_regular(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
