"""Whatever a run does, and however attempts are held together: stopped, nothing of it is left, in time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fakes.desk import ATTEMPT, Desk
from fakes.escapes import ESCAPES, STOPPED_WORKER, stop
from real_cgroup import made_cgroup, members

from scheduler.decide.inputs import WorkerEnded, WorkerPrepared
from scheduler.effects.cgroup import Cgroups


@pytest.fixture
def way() -> str:
    """How the processes of an attempt are known."""
    return "tree"


@pytest.fixture
def desk(way: str, tmp_path: Path) -> Iterator[Desk]:
    with ExitStack() as stack:
        folder = stack.enter_context(made_cgroup()) if way == "cgroup" else None
        desk = Desk(tmp_path, None if folder is None else Cgroups(folder))
        stack.callback(desk.workers.close)
        yield desk
        assert folder is None or (members(folder), list(folder.glob("attempt-*"))) == (set(), [])


@pytest.mark.parametrize(
    ("way", "kind"),
    [
        *(("tree", kind) for kind in (*ESCAPES, STOPPED_WORKER)),
        # All of them in `make torture`: there is but one way out of a cgroup.
        *(("cgroup", kind) for kind in ("outlives its parent", "forks sessions without end", STOPPED_WORKER)),
    ],
)
@pytest.mark.fault(
    "a run does not want to end: ignores SIGTERM, leaves its session, forks twice or without end, is stopped",
    moment="when the run is stopped",
    outcome="no process of it is left within the grace period and 2 s",
)
def test_nothing_survives_the_end(desk: Desk, kind: str) -> None:
    stopped = stop(desk, kind)
    assert (stopped.ended.survivors, stopped.ended.ended_by, stopped.left) == ((), "cancelled", ())
    assert stopped.is_in_time, stopped.seconds


def test_a_stopped_worker_is_killed_after_the_grace_period(desk: Desk) -> None:
    pid = desk.start("sleep 600")
    desk.await_(WorkerPrepared)
    os.kill(pid, signal.SIGSTOP)
    desk.workers.end(ATTEMPT, "hung")
    desk.workers.end(ATTEMPT, "shutdown")
    ended = desk.await_(WorkerEnded)
    assert (ended.returncode, ended.ended_by) == (-9, "hung")
