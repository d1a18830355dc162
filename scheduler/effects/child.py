"""What does a short-lived program answer? It gets a time limit, and leaves no process behind."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

#: seconds between two looks at whether a program has ended whose pipes someone else holds open
_LOOK_SECONDS = 0.05
#: the same, once it has closed them itself
_ENDING_SECONDS = 0.001
_CHUNK_BYTES = 1 << 16
#: bytes kept of what it wrote to stderr: the end says what went wrong
_STDERR_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildEnd:
    """How a program ended, and what it said."""

    #: exit status, negative for a signal
    returncode: int
    stdout: bytes
    #: the end of it
    stderr: bytes
    #: the limit that it was killed for
    exceeded: Literal["time", "output"] | None = None


def run_child(
    argv: Sequence[str],
    *,
    stdin: bytes,
    seconds: float,
    environment: Mapping[str, str],
    max_stdout_bytes: int,
    cwd: Path | None = None,
    hear: Callable[[bytes], None] | None = None,
    is_wanted: Callable[[], bool] = lambda: True,
) -> ChildEnd:
    """Run `argv` to its end, or kill it after `seconds`, when it says too much, or is wanted no more.

    `hear` gets each line of its output as it comes, and the end has the rest; without, it has all. When this
    returns, or raises OSError because it could not be started, nothing of its session is alive.
    """
    with os.fdopen(os.memfd_create("stdin"), "w+b") as given:
        given.write(stdin)
        given.seek(0)
        process = subprocess.Popen(
            argv,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd=cwd,
            start_new_session=True,
        )
    try:
        exceeded, stdout, stderr = _heard(
            process, time.monotonic() + seconds, max_stdout_bytes, hear, is_wanted
        )
    finally:
        # before it is reaped, so that the number cannot be anyone else's
        _kill_session(process.pid)
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    return ChildEnd(returncode=process.returncode, stdout=stdout, stderr=stderr, exceeded=exceeded)


def _heard(
    process: subprocess.Popen[bytes],
    deadline: float,
    max_stdout_bytes: int,
    hear: Callable[[bytes], None] | None,
    is_wanted: Callable[[], bool],
) -> tuple[Literal["time", "output"] | None, bytes, bytes]:
    """What the program wrote until it ended, or until it exceeded a limit."""
    assert process.stdout is not None
    assert process.stderr is not None
    stdout, stderr = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, stdout)
        selector.register(process.stderr, selectors.EVENT_READ, stderr)
        while time.monotonic() < deadline and is_wanted():
            # asked before the pipes are: it may write and end between the two
            has_ended = _has_ended(process.pid)
            # once both pipes are closed it is about to end
            patience = _LOOK_SECONDS if selector.get_map() else _ENDING_SECONDS
            ready = selector.select(0.0 if has_ended else patience)
            for key, _ in ready:
                chunk = os.read(key.fd, _CHUNK_BYTES)
                buffer: bytearray = key.data
                buffer += chunk
                if not chunk:
                    selector.unregister(key.fileobj)
            del stderr[:-_STDERR_BYTES]
            if hear is not None:
                *lines, rest = bytes(stdout).split(b"\n")
                stdout[:] = rest
                for line in lines:
                    hear(line)
            if len(stdout) > max_stdout_bytes:
                return "output", b"", bytes(stderr)
            if not ready and has_ended:
                return None, bytes(stdout), bytes(stderr)
    return "time", b"", bytes(stderr)


def _has_ended(pid: int) -> bool:
    """Whether the child has ended; it stays to be reaped."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _kill_session(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
