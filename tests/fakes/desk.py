"""A desk in the daemon's place: real workers are started from it, and what they say arrives on it."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil

from scheduler.decide.inputs import Input, RunResult, WorkerEnded, WorkerPrepared
from scheduler.effects.cgroup import Cgroups
from scheduler.effects.environment import worker_environment
from scheduler.effects.workers import Workers
from scheduler.rounds.paths import HomePaths
from trainers._wire import ATTEMPT_VARIABLE

GRACE_SECONDS = 1.0
#: its own in every test process: what is left of it is looked for on the whole machine
ATTEMPT = f"round-{os.getpid()}/lr.quick.hot.s0.a1"

T = TypeVar("T", bound=Input)


class Desk:
    """Where a test sits in the daemon's place."""

    def __init__(self, home: Path, groups: Cgroups | None = None) -> None:
        self.home = home
        self.inbox: queue.SimpleQueue[Input] = queue.SimpleQueue()
        self.heard: list[Input] = []
        environment = worker_environment(os.environ)
        self.workers = Workers(
            self.inbox.put,
            HomePaths(home),
            environment=environment,
            grace_seconds=GRACE_SECONDS,
            groups=groups,
        )

    def start(self, script: str, *, seconds: float = 60.0, attempt: str = ATTEMPT, **config: Any) -> int:
        argv = ["/bin/sh", "-c", script]
        return self.workers.start(attempt, prepare_message(self.home, argv, seconds, **config))

    def await_(self, kind: type[T], timeout: float = 20.0) -> T:
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            assert left > 0, f"no {kind.__name__}; heard {self.heard}"
            try:
                event = self.inbox.get(timeout=left)
            except queue.Empty:
                continue
            self.heard.append(event)
            if isinstance(event, kind):
                return event

    def run(self, script: str, **fields: Any) -> WorkerEnded:
        """From the start to the end, with the gate opened and the worker released in between."""
        self.start(script, **fields)
        self.await_(WorkerPrepared)
        self.workers.go(ATTEMPT, self.home / "run")
        self.await_(RunResult)
        self.workers.release(ATTEMPT)
        return self.await_(WorkerEnded)


def prepare_message(home: Path, argv: list[str], seconds: float, **config: Any) -> dict[str, Any]:
    return {
        "mode": "train",
        "home": str(home),
        "trainer": "command",
        "config": {"argv": argv, **config},
        "context": {
            "seed": 0,
            "stage": "quick",
            "max_steps": None,
            "time_budget_sec": seconds,
            "eval_every": None,
            "n_eval": None,
            "bsz": None,
            "device": "cpu",
            "threads": 1,
            "cache_dir": str(home / "cache"),
        },
        "metric": "loss",
        "expect": None,
    }


def marked(attempt: str = ATTEMPT) -> list[int]:
    """Live processes that carry the attempt's mark."""
    found = []
    for process in psutil.process_iter():
        try:
            is_zombie = process.status() == psutil.STATUS_ZOMBIE
            if not is_zombie and process.environ().get(ATTEMPT_VARIABLE, "").endswith(f":{attempt}"):
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            pass
    return found


def wait_for(condition: Callable[[], Any], timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition never came"
        time.sleep(0.01)


def pids_in(path: Path, count: int = 1) -> list[int]:
    wait_for(lambda: path.exists() and len(path.read_text().split()) >= count)
    return [int(word) for word in path.read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
