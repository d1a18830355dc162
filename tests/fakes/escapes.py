"""Programs that do not want to end, and how a stop of each of them goes."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

from fakes.desk import ATTEMPT, GRACE_SECONDS, Desk, is_running, marked, pids_in

from scheduler.decide.inputs import WorkerEnded, WorkerPrepared

#: by what they do; each writes pids that must be gone, and none answers to SIGTERM within the grace period
ESCAPES = {
    "ignores TERM": "trap '' TERM; echo $$ >> pids; while :; do sleep 1; done",
    "leaves its session": "setsid sh -c 'echo $$ >> pids; exec sleep 600'; sleep 600",
    "forks twice": (
        "(setsid sh -c 'trap \"\" TERM HUP; echo $$ >> pids; while :; do sleep 1; done' &); sleep 600"
    ),
    "loses its mark": "env -i setsid sh -c 'echo $$ >> pids; exec sleep 600' & sleep 600",
    "forks without end": (
        "trap '' TERM; echo $$ >> pids;"
        " f() {{ while :; do (sleep 0.2; sleep 30) & sleep 0.02; done; }}; f & f & wait"
    ),
    "forks sessions without end": (
        "trap '' TERM; echo $$ >> pids;"
        " while :; do setsid env -i sh -c 'trap \"\" TERM HUP; sleep 30' & sleep 0.05; done"
    ),
    "is stopped": "echo $$ >> pids; kill -STOP $$; sleep 600",
    "outlives its parent": (
        "(setsid env -i sh -c '(trap \"\" TERM HUP; echo $$ >> pids; sleep 600; sleep 600) & exit' &);"
        " sleep 600"
    ),
}
#: of the worker itself
STOPPED_WORKER = "is stopped with its worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """How the stop of a run went."""

    ended: WorkerEnded
    #: from the request to the end that was posted
    seconds: float
    #: what still lived then
    left: tuple[int, ...]

    @property
    def is_in_time(self) -> bool:
        return self.seconds < GRACE_SECONDS + 2


def stop(desk: Desk, kind: str) -> Stop:
    """Start a program of that kind, and end its run as cancelled."""
    pid = desk.start(ESCAPES.get(kind, ESCAPES["ignores TERM"]))
    desk.await_(WorkerPrepared)
    desk.workers.go(ATTEMPT, desk.home / "run")
    pids = pids_in(desk.home / "pids")
    assert pid in desk.workers.pids()
    if kind == STOPPED_WORKER:
        os.kill(pid, signal.SIGSTOP)
    began_at = time.monotonic()
    desk.workers.end(ATTEMPT, "cancelled")
    ended = desk.await_(WorkerEnded)
    seconds = time.monotonic() - began_at
    left = {each for each in pids if is_running(each)} | set(marked())
    return Stop(ended=ended, seconds=seconds, left=tuple(sorted(left)))
