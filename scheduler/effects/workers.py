"""How does the daemon start a worker, speak to it, and end it with everything it started?

Every worker is watched by a thread of its own, which only posts. Whatever a worker does, the last thing said
of it is one `WorkerEnded`, after its process tree is gone.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scheduler.decide.inputs import (
    EndedBy,
    Input,
    LookKind,
    RunEvaluated,
    RunResult,
    SurvivorsEnded,
    WorkerBeat,
    WorkerEnded,
    WorkerLookedAt,
    WorkerPrepared,
)
from scheduler.effects import process_tree
from scheduler.effects.cgroup import Cgroups
from scheduler.effects.process_tree import (
    ProcessTree,
    Survivors,
    boot_id,
    kill_marked,
    start_time_of,
)
from scheduler.effects.worker_process import KILL_SECONDS, WorkerProcess
from scheduler.rounds.paths import HomePaths
from trainers._failures import failure_of
from trainers._processes import become_subreaper
from trainers._wire import ATTEMPT_VARIABLE

__all__ = ["Workers", "become_subreaper"]

#: libraries size their thread pools by these when they are loaded
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

#: between two looks at processes that could not be killed
SURVIVOR_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A worker of an earlier daemon on this boot, as its records tell it."""

    attempt_id: str
    pid: int
    start_ticks: int | None


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
        groups: Cgroups | None = None,
    ) -> None:
        """With `groups`, every worker gets a cgroup of its own."""
        self._post = post
        self._home = home
        self._environment = dict(environment)
        self._grace_seconds = grace_seconds
        self._groups = groups
        self._boot_id = boot_id()
        self._lock = threading.Lock()
        self._workers: dict[str, WorkerProcess] = {}
        self._watchers: dict[str, threading.Thread] = {}
        self._adopted = process_tree.Adopted()

    def start(self, attempt_id: str, prepare: Mapping[str, Any], *, is_ahead: bool = False) -> int:
        """Start a worker that prepares `prepare` and waits at the gate; its pid, -1 where there can be none.

        One that prepares ahead of its time lets everything else go first, until it is told to hurry.

        The worker dies with the calling thread: call it from the thread that lives as long as the daemon.
        """
        threads = str(prepare["context"]["threads"])
        environment = {
            **self._environment,
            **dict.fromkeys(_THREAD_VARIABLES, threads),
            ATTEMPT_VARIABLE: self._mark(attempt_id),
        }
        group = None if self._groups is None else self._groups.make(attempt_id)
        try:
            worker = WorkerProcess(attempt_id, self._home.root, environment, group)
        except OSError as error:
            if group is not None:
                group.remove()
            self._post_unborn(attempt_id, error)
            return -1
        self._adopted.not_these.add(worker.pid)
        if is_ahead:
            worker.priority.lower()
        watcher = threading.Thread(
            target=self._watch, args=(worker,), name=f"watch {attempt_id}", daemon=True
        )
        with self._lock:
            self._workers[attempt_id] = worker
            self._watchers[attempt_id] = watcher
        worker.say({"type": "prepare", **prepare})
        watcher.start()
        return worker.pid

    def go_on(self, attempt_id: str, following: str, prepare: Mapping[str, Any]) -> None:
        """Have the worker of an attempt that has ended serve the `following` one; a new one if it is gone."""
        with self._lock:
            worker = self._workers.pop(attempt_id, None)
            if worker is not None:
                worker.attempt_id = following
                self._workers[following] = worker
                self._watchers[following] = self._watchers.pop(attempt_id)
        if worker is None:
            self.start(following, prepare)
        else:
            worker.say({"type": "prepare", **prepare})

    def hurry(self, attempt_id: str) -> None:
        """A worker that prepares ahead is wanted now."""
        if worker := self._worker(attempt_id):
            worker.priority.restore()

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

    def look(self, attempt_id: str, kind: LookKind) -> None:
        """Post what the worker's processes have used of the processor by now."""
        if worker := self._worker(attempt_id):
            seconds = worker.tree.cpu_seconds()
            self._post(WorkerLookedAt(attempt_id=attempt_id, kind=kind, cpu_seconds=seconds))

    def end_leftovers(self, known: Iterable[Orphan] = ()) -> tuple[int, ...]:
        """Kill what an earlier daemon of this home left behind; the pids that could not be killed.

        Waits for a few seconds at most; what hangs in the kernel is watched from then on, and its end is
        posted. To be called before there is a worker. A process that merely has the number of an old one is
        left alone.
        """
        survivors: set[int] = set()
        for group in () if self._groups is None else self._groups.leftovers():
            group.kill(KILL_SECONDS)
            survivors |= group.pids()
            group.remove()
        for orphan in known:
            tree = ProcessTree(self._mark(orphan.attempt_id), orphan.pid, orphan.start_ticks)
            survivors |= set(tree.kill(KILL_SECONDS))
        survivors |= set(kill_marked(str(self._home.root.resolve()), KILL_SECONDS))
        if survivors:
            left = Survivors(survivors)
            threading.Thread(target=self._outlast, args=(left,), name="leftovers", daemon=True).start()
        return tuple(sorted(survivors))

    def close(self) -> None:
        """End every worker and wait until they are gone, for little more than the grace period."""
        for attempt_id in self.alive():
            self.end(attempt_id, "shutdown")
        deadline = time.monotonic() + self._grace_seconds + 2 * KILL_SECONDS
        with self._lock:
            watchers = list(self._watchers.values())
        for watcher in watchers:
            watcher.join(max(0.0, deadline - time.monotonic()))

    def _mark(self, attempt_id: str) -> str:
        """Names an attempt on the whole machine: another home may have a round and a run of the same name."""
        return f"{self._home.root.resolve()}:{attempt_id}"

    def _worker(self, attempt_id: str) -> WorkerProcess | None:
        with self._lock:
            return self._workers.get(attempt_id)

    def _watch(self, worker: WorkerProcess) -> None:
        """Post what the worker says until it has ended or has to be killed, then see that nothing is left."""
        worker.follow(lambda message: self._hear(worker, message), self._grace_seconds)
        oom_kills = worker.tree.oom_kills()
        survivors = worker.tree.kill(KILL_SECONDS)
        returncode = worker.returncode()
        if not oom_kills and returncode == -signal.SIGKILL and worker.ended_by is None:
            oom_kills = int(worker.was_ended_for_memory())
        self._adopted.reap()
        output_tail = worker.output_tail()
        worker.close()
        with self._lock:
            attempt_id = worker.attempt_id  # from here on it can serve no other
            del self._workers[attempt_id]
            del self._watchers[attempt_id]
        self._adopted.not_these.discard(worker.pid)
        self._post(
            WorkerEnded(
                attempt_id=attempt_id,
                returncode=returncode,
                survivors=survivors,
                ended_by=worker.ended_by,
                output_tail=output_tail,
                oom_kills=oom_kills,
            )
        )
        if survivors:
            self._outlast(Survivors(survivors))
            worker.tree.kill(0.0)
            worker.returncode()

    def _outlast(self, survivors: Survivors) -> None:
        """Post the end of processes that cannot be killed yet, whenever it comes."""
        while not survivors.are_gone():
            time.sleep(SURVIVOR_SECONDS)
        self._post(SurvivorsEnded(pids=survivors.pids))

    def _post_unborn(self, attempt_id: str, error: OSError) -> None:
        """A machine without memory, processes or descriptors to spare fails the attempt, not the daemon."""
        failure = failure_of(error).to_json() | {"class": "lost"}
        self._post(RunResult(attempt_id=attempt_id, result={"status": "failed", "failure": failure}))
        self._post(WorkerEnded(attempt_id=attempt_id, returncode=-1, output_tail=failure["message"]))

    def _hear(self, worker: WorkerProcess, message: Mapping[str, Any]) -> None:
        attempt_id = worker.attempt_id
        match message["type"]:
            case "prepared":
                self._post(
                    WorkerPrepared(
                        attempt_id=attempt_id,
                        pid=worker.pid,
                        start_time=start_time_of(worker.pid),
                        start_ticks=worker.tree.start_ticks,
                        boot_id=self._boot_id,
                        identity=message["identity"],
                        keep_step=message.get("keep_step"),
                    )
                )
            case "evaluation":
                self._post(_evaluated(attempt_id, message))
            case "heartbeat":
                self._post(WorkerBeat(attempt_id=attempt_id, cpu_seconds=worker.tree.cpu_seconds()))
            case "finished":
                oom_kills = worker.tree.oom_kills()
                self._post(RunResult(attempt_id=attempt_id, result=message["result"], oom_kills=oom_kills))
            case "failed":
                result = {"status": "failed", "failure": message["failure"]}
                whole = message.get("text", "")
                self._post(RunResult(attempt_id=attempt_id, result=result, error_text=whole))


def _evaluated(attempt_id: str, message: Mapping[str, Any]) -> RunEvaluated:
    return RunEvaluated(
        attempt_id=attempt_id,
        step=message["step"],
        loss=_number(message["loss"]),
        acc=_number(message["acc"]),
        value=_number(message["value"]),
        train_seconds=message["train_seconds"],
        scores_digest=message.get("scores_digest"),
        n_eval=message.get("n_eval"),
        chance=_number(message.get("extra", {}).get("chance")),
    )


def _number(value: float | str | None) -> float | None:
    return None if value is None else float(value)
