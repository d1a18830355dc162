"""How does a program run so that it neither outlives nor outspends its run? Lines come out, nothing stays."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from trainers import _processes
from trainers._output import CAP_BYTES, DROPPED
from trainers._secrets import RedactedStream, secrets_of

#: the program is watched at least so often, so that its metrics file is read while it runs
TICK_SECONDS = 0.5

#: after the program's end, for output that is still in the pipe
DRAIN_SECONDS = 0.2

#: for the kernel to end what was killed
KILL_SECONDS = 2.0

#: a line without an end is cut here
LINE_BYTES = 64 * 1024

#: bytes of output kept for the text of a failure
TAIL_BYTES = 16 * 1024

_LINE_END = re.compile(rb"\r\n|\n|\r")

_EXEC = Path(__file__).with_name("_exec.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """A program with everything it is started with."""

    #: absolute path of the program
    program: str
    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]


class Program:
    """A running program, in a process group of its own, with its output on a pipe.

    `lines` says how it goes; leaving the context ends it and all that it started. It dies with the thread
    that made it.
    """

    def __init__(self, invocation: Invocation, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        # This interpreter, with neither site nor environment, asks the kernel for the program's death with
        # ours and then becomes the program; a preexec_fn is not safe beside our threads.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_EXEC), str(os.getpid()), invocation.program, *invocation.argv],
            cwd=invocation.cwd,
            env=dict(invocation.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        assert self._process.stdout is not None
        self._pipe = self._process.stdout.fileno()
        os.set_blocking(self._pipe, False)
        self._exited = os.pidfd_open(self._process.pid)
        self._partial = b""
        self._tail = b""
        self._pipe_is_open = True
        self._shown = RedactedStream(secrets_of(invocation.environment))
        #: bytes of output that may still be copied to our own
        self._room = CAP_BYTES - len(DROPPED)
        #: True once it was asked to end
        self.was_asked_to_end = False

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._process.poll() is None:
                self._terminate()
                deadline = time.monotonic() + self._grace_seconds
                while self._process.poll() is None and time.monotonic() < deadline:
                    self._read(TICK_SECONDS)
        finally:
            self._kill_tree()
            os.close(self._exited)
            self._process.stdout.close()

    @property
    def tail(self) -> str:
        """The last of its output, without secrets of its environment."""
        return self._tail.decode(errors="replace")

    def lines(self, deadline: float, is_stopping: Callable[[], bool]) -> Iterator[str | None]:
        """Lines of output as they come, and None now and then, until it has ended and its output is read.

        At `deadline` (monotonic), or as soon as `is_stopping`, it is asked to end, and killed after the grace
        period. What it says meanwhile comes out as well.
        """
        kill_at: float | None = None
        while self._process.poll() is None:
            now = time.monotonic()
            if kill_at is None and (now >= deadline or is_stopping()):
                self._terminate()
                self.was_asked_to_end = True
                kill_at = now + self._grace_seconds
            if kill_at is not None and now >= kill_at:
                self._kill_tree()
                break
            next_look = min(now + TICK_SECONDS, deadline if kill_at is None else kill_at)
            yield from self._read(max(0.0, next_look - now))
            yield None
        yield from self._drain()

    def wait(self) -> int:
        """Its exit status, negative for a signal. What it left running is killed."""
        self._kill_tree()
        return self._process.wait()

    def _drain(self) -> Iterator[str]:
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._pipe_is_open and (left := deadline - time.monotonic()) > 0:
            yield from self._read(left, also_exit=False)
        self._keep(self._shown.rest())
        if self._partial:
            yield self._partial.decode(errors="replace")
            self._partial = b""

    def _read(self, timeout: float, *, also_exit: bool = True) -> list[str]:
        """Wait for output (or the end), copy it to our own and return the lines that are whole."""
        poller = select.poll()
        if self._pipe_is_open:
            poller.register(self._pipe, select.POLLIN)
        if also_exit:
            poller.register(self._exited, select.POLLIN)
        ready = dict(poller.poll(timeout * 1000))
        if self._pipe not in ready:
            return []
        try:
            data = os.read(self._pipe, LINE_BYTES)
        except BlockingIOError:
            return []
        if not data:
            self._pipe_is_open = False
            return []
        self._keep(self._shown.feed(data))
        *whole, self._partial = _LINE_END.split(self._partial + data)
        self._partial = self._partial[-LINE_BYTES:]
        return [line.decode(errors="replace") for line in whole if line]

    def _keep(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-TAIL_BYTES:]
        self._copy(data)

    def _copy(self, data: bytes) -> None:
        """Print what the program printed, as far as there is room. What comes beyond is read all the same."""
        if self._room <= 0:
            return
        view = memoryview(data[: self._room] + (DROPPED if len(data) >= self._room else b""))
        self._room -= len(data)
        while view:
            view = view[os.write(1, view) :]

    def _terminate(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass

    def _kill_tree(self) -> None:
        """End everything below this worker: as a subreaper it has whatever the program left behind."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGSTOP)  # so that it starts nothing new meanwhile
            _processes.kill_all(self._others, KILL_SECONDS)
            self._process.kill()
            self._process.wait()
        _processes.kill_all(self._others, KILL_SECONDS)

    def _others(self) -> list[_processes.psutil.Process]:
        found = _processes.descendants(os.getpid())
        return [process for process in found if process.pid != self._process.pid]
