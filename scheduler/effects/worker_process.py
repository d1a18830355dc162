"""What does the daemon hold of one worker? Its process, the pipes to it, and the file it prints into."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from scheduler.decide.inputs import EndedBy
from scheduler.effects.cgroup import Cgroup
from scheduler.effects.priority import Priority
from scheduler.effects.process_tree import ProcessTree
from scheduler.rounds.paths import RunPaths
from trainers import _processes
from trainers._oom_killer import has_grown, oom_kills
from trainers._output import tail_of
from trainers._wire import ATTEMPT_VARIABLE, HUNG_SIGNAL, write_message

#: after SIGKILL, for the kernel to end a process; what is left then hangs in the kernel itself
KILL_SECONDS = 2.0
#: for the exit status of a process that was seen to be gone
REAP_SECONDS = 0.5

#: capacity of the pipe to a worker: a whole `prepare` fits, so that writing never waits for the worker
PIPE_BYTES = 2**20

_CHUNK_BYTES = 64 * 1024


class WorkerProcess:
    """One worker process and the descriptors that lead to it. Its watcher owns it; others only say things.

    Making one raises OSError where the machine has no process, memory or descriptor to spare. Given a group,
    it lives in there with all that it starts.
    """

    def __init__(
        self, attempt_id: str, home: Path, environment: Mapping[str, str], group: Cgroup | None = None
    ) -> None:
        self.attempt_id = attempt_id
        self.run_dir: Path | None = None
        self.ended_by: EndedBy | None = None
        self._say_lock = threading.Lock()
        self._wake = os.eventfd(0)
        # Nameless: what a worker prints before its run exists leaves no trace, and can still be quoted.
        self._output: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 closed with the worker
        to_worker, self._said = os.pipe()
        self._heard, from_worker = os.pipe()
        _widen(self._said)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "trainers", "work", f"--in={to_worker}", f"--out={from_worker}"],
                cwd=home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=(to_worker, from_worker),
                start_new_session=True,
            )
        except OSError:
            for descriptor in (self._said, self._heard, self._wake):
                os.close(descriptor)
            self._output.close()
            raise
        finally:
            os.close(to_worker)
            os.close(from_worker)
        self.pid = self._process.pid
        self._kills_before = oom_kills()
        self.priority = Priority(self.pid)
        self._exited = os.pidfd_open(self.pid)
        # It starts nothing before it is told what to prepare.
        is_held = group is not None and group.take(self.pid)
        if group is not None and not is_held:
            group.remove()
        self.tree = ProcessTree(
            environment[ATTEMPT_VARIABLE],
            self.pid,
            _processes.start_ticks_of(self.pid),
            group if is_held else None,
        )

    def say(self, message: Mapping[str, Any]) -> None:
        """Write a message; to a worker that is gone, nothing."""
        with self._say_lock:
            if self._said < 0:
                return
            try:
                write_message(self._said, message)
            except BrokenPipeError:
                pass

    def hang_up(self) -> None:
        with self._say_lock:
            if self._said >= 0:
                os.close(self._said)
                self._said = -1

    def end(self, ended_by: EndedBy) -> None:
        """Wake the watcher to end the process. The first reason stays."""
        if self.ended_by is None:
            self.ended_by = ended_by
            os.eventfd_write(self._wake, 1)

    def follow(self, hear: Callable[[Mapping[str, Any]], None], grace_seconds: float) -> None:
        """Hear every message until the process has exited, or the grace period after `end` is over."""
        poller = select.poll()
        for descriptor in (self._heard, self._wake, self._exited):
            poller.register(descriptor, select.POLLIN)
        lines = _Lines()
        kill_at: float | None = None
        while True:
            left = None if kill_at is None else max(0.0, kill_at - time.monotonic())
            ready = {descriptor for descriptor, _ in poller.poll(None if left is None else left * 1000)}
            if self._heard in ready:
                data = os.read(self._heard, _CHUNK_BYTES)
                if not data:
                    poller.unregister(self._heard)
                for message in lines.feed(data):
                    hear(message)
            elif self._exited in ready:
                return  # everything it said has been heard
            if self._wake in ready:
                poller.unregister(self._wake)
                self._terminate()
                kill_at = time.monotonic() + grace_seconds
            if kill_at is not None and time.monotonic() >= kill_at:
                return

    def returncode(self) -> int:
        """Exit status, once the tree was killed. A process that hangs in the kernel counts as killed."""
        try:
            return self._process.wait(timeout=REAP_SECONDS)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL

    def was_ended_for_memory(self) -> bool:
        """Whether the kernel has ended something for want of memory since, where no cgroup tells of us alone.

        To be asked of a worker that was ended by SIGKILL, and not by us.
        """
        return has_grown(self._kills_before, oom_kills())

    def output_tail(self) -> str:
        """The end of what was printed: by the run where there was one, else before it."""
        if self.run_dir is not None:
            try:
                with RunPaths(self.run_dir).output.open("rb") as log:
                    if tail := tail_of(log.fileno()):
                        return tail
            except OSError:
                pass  # it died between `go` and its first act
        return tail_of(self._output.fileno())

    def close(self) -> None:
        self.hang_up()
        self._output.close()
        for descriptor in (self._heard, self._exited, self._wake):
            os.close(descriptor)

    def _terminate(self) -> None:
        """For as long as it is not waited for, which only its watcher does, the number is its own."""
        with suppress(ProcessLookupError):
            if self.ended_by == "hung":
                os.kill(self.pid, HUNG_SIGNAL)
            os.killpg(self.pid, signal.SIGTERM)


class _Lines:
    """Whole lines out of chunks; a torn last one is dropped."""

    def __init__(self) -> None:
        self._partial = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        *whole, self._partial = (self._partial + data).split(b"\n")
        return [orjson.loads(line) for line in whole]


def _widen(pipe: int) -> None:
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        pass  # a user with many pipes may not have more; a `prepare` is rarely above 64 KiB anyway
