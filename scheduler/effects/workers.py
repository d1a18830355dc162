"""How does the daemon start a worker, speak to it, and end it with everything it started?

Every worker is watched by a thread of its own, which only posts. Whatever a worker does, the last thing said
of it is one `WorkerEnded`, after its process tree is gone.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from scheduler.decide.events import (
    EndedBy,
    Input,
    RunEvaluated,
    RunResult,
    WorkerBeat,
    WorkerEnded,
    WorkerPrepared,
)
from scheduler.effects import process_tree
from scheduler.effects.process_tree import ProcessTree
from scheduler.rounds.paths import HomePaths, RunPaths
from trainers._output import tail_of
from trainers._processes import become_subreaper
from trainers._wire import ATTEMPT_VARIABLE, write_message

__all__ = ["Workers", "become_subreaper"]

#: after SIGKILL, for the kernel to end a process; what is left then hangs in the kernel itself
KILL_SECONDS = 2.0

#: capacity of the pipe to a worker: a whole `prepare` fits, so that writing never waits for the worker
PIPE_BYTES = 2**20

_F_SETPIPE_SZ = 1031

_CHUNK_BYTES = 64 * 1024

#: libraries size their thread pools by these when they are loaded
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Workers:
    """All workers of a daemon, by attempt id. No method waits for a worker; unknown attempts are no error,
    because a worker may end at any moment.
    """

    def __init__(
        self,
        post: Callable[[Input], None],
        home: HomePaths,
        *,
        environment: Mapping[str, str],
        grace_seconds: float = 10.0,
    ) -> None:
        self._post = post
        self._home = home
        self._environment = dict(environment)
        self._grace_seconds = grace_seconds
        self._boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._lock = threading.Lock()
        self._workers: dict[str, _Worker] = {}
        self._watchers: dict[str, threading.Thread] = {}
        self._adopted = process_tree.Adopted()

    def start(self, attempt_id: str, prepare: Mapping[str, Any], *, nice: int = 0) -> int:
        """Start a worker that prepares `prepare` and waits at the gate; its pid.

        The worker dies with the calling thread: call it from the thread that lives as long as the daemon.
        """
        threads = str(prepare["context"]["threads"])
        environment = {
            **self._environment,
            **dict.fromkeys(_THREAD_VARIABLES, threads),
            ATTEMPT_VARIABLE: attempt_id,
        }
        worker = _Worker(attempt_id, self._home.root, environment)
        self._adopted.not_these.add(worker.pid)
        if nice:
            os.setpriority(os.PRIO_PROCESS, worker.pid, nice)
        watcher = threading.Thread(
            target=self._watch, args=(worker,), name=f"watch {attempt_id}", daemon=True
        )
        with self._lock:
            self._workers[attempt_id] = worker
            self._watchers[attempt_id] = watcher
        worker.say({"type": "prepare", **prepare})
        watcher.start()
        return worker.pid

    def go(self, attempt_id: str, run_dir: Path) -> None:
        """Open the gate. The record that says so must be on disk."""
        if worker := self._worker(attempt_id):
            worker.run_dir = run_dir
            worker.say({"type": "go", "run_dir": str(run_dir)})

    def stop(self, attempt_id: str, status: str, reason: str) -> None:
        """End the run at its next evaluation, as `pruned` or `cancelled`."""
        if worker := self._worker(attempt_id):
            worker.say({"type": "stop", "status": status, "reason": reason})

    def release(self, attempt_id: str) -> None:
        """Nothing more is asked of the worker: one that waits exits, without a trace if it never ran."""
        if worker := self._worker(attempt_id):
            worker.hang_up()

    def end(self, attempt_id: str, ended_by: EndedBy) -> None:
        """Ask the worker to end, and kill its whole tree after the grace period."""
        if worker := self._worker(attempt_id):
            worker.end(ended_by)

    def alive(self) -> tuple[str, ...]:
        """Attempts whose workers have not yet ended."""
        with self._lock:
            return tuple(self._workers)

    def pids(self) -> set[int]:
        """Every process of every worker, as far as is known now."""
        with self._lock:
            workers = list(self._workers.values())
        return {pid for worker in workers for pid in worker.tree.pids()}

    def end_orphan(self, pid: int, start_time: float, attempt_id: str) -> tuple[int, ...]:
        """Kill what an earlier daemon's worker left behind; the pids that could not be killed.

        Waits, for at most a few seconds. A process that merely has the worker's old pid is left alone.
        """
        return ProcessTree(attempt_id, pid, start_time).kill(2 * KILL_SECONDS)

    def close(self) -> None:
        """End every worker and wait until they are gone, for little more than the grace period."""
        for attempt_id in self.alive():
            self.end(attempt_id, "shutdown")
        deadline = time.monotonic() + self._grace_seconds + 2 * KILL_SECONDS
        with self._lock:
            watchers = list(self._watchers.values())
        for watcher in watchers:
            watcher.join(max(0.0, deadline - time.monotonic()))

    def _worker(self, attempt_id: str) -> _Worker | None:
        with self._lock:
            return self._workers.get(attempt_id)

    def _watch(self, worker: _Worker) -> None:
        """Post what the worker says until it has ended or has to be killed, then see that nothing is left."""
        worker.follow(lambda message: self._hear(worker, message), self._grace_seconds)
        survivors = worker.tree.kill(KILL_SECONDS)
        returncode = worker.returncode()
        self._adopted.reap()
        ended = WorkerEnded(
            attempt_id=worker.attempt_id,
            returncode=returncode,
            survivors=survivors,
            ended_by=worker.ended_by,
            output_tail=worker.output_tail(),
        )
        worker.close()
        with self._lock:
            del self._workers[worker.attempt_id]
            del self._watchers[worker.attempt_id]
        self._adopted.not_these.discard(worker.pid)
        self._post(ended)

    def _hear(self, worker: _Worker, message: Mapping[str, Any]) -> None:
        attempt_id = worker.attempt_id
        match message["type"]:
            case "prepared":
                self._post(
                    WorkerPrepared(
                        attempt_id=attempt_id,
                        pid=worker.pid,
                        start_time=worker.tree.start_time,
                        boot_id=self._boot_id,
                        identity=message["identity"],
                    )
                )
            case "evaluation":
                self._post(_evaluated(attempt_id, message))
            case "heartbeat":
                worker.tree.look()
                self._post(WorkerBeat(attempt_id=attempt_id))
            case "finished":
                self._post(RunResult(attempt_id=attempt_id, result=message["result"]))
            case "failed":
                result = {"status": "failed", "failure": message["failure"]}
                self._post(RunResult(attempt_id=attempt_id, result=result))


class _Worker:
    """One worker process and the descriptors that lead to it. Its watcher owns it; others only say things."""

    def __init__(self, attempt_id: str, home: Path, environment: Mapping[str, str]) -> None:
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
        os.close(to_worker)
        os.close(from_worker)
        self.pid = self._process.pid
        self._exited = os.pidfd_open(self.pid)
        self.tree = ProcessTree(attempt_id, self.pid, process_tree.start_time_of(self.pid))

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
            return self._process.wait(timeout=KILL_SECONDS)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL

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
        try:
            os.killpg(self.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass


class _Lines:
    """Whole lines out of chunks; a torn last one is dropped."""

    def __init__(self) -> None:
        self._partial = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        *whole, self._partial = (self._partial + data).split(b"\n")
        return [orjson.loads(line) for line in whole]


def _widen(pipe: int) -> None:
    import fcntl

    try:
        fcntl.fcntl(pipe, _F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        pass  # a user with many pipes may not have more; a `prepare` is rarely above 64 KiB anyway


def _evaluated(attempt_id: str, message: Mapping[str, Any]) -> RunEvaluated:
    return RunEvaluated(
        attempt_id=attempt_id,
        step=message["step"],
        loss=_number(message["loss"]),
        acc=_number(message["acc"]),
        value=_number(message["value"]),
        train_seconds=message["train_seconds"],
    )


def _number(value: float | str | None) -> float | None:
    return None if value is None else float(value)
