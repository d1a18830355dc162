"""Programs that do not want to end, stopped again and again: nothing of them is left, in time."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import pytest
from fakes.desk import GRACE_SECONDS, Desk
from fakes.escapes import ESCAPES, STOPPED_WORKER, stop
from real_cgroup import made_cgroup

from scheduler.effects.cgroup import Cgroups


@pytest.mark.amount("stops")
@pytest.mark.parametrize("way", ["process tree", "cgroup"])
@pytest.mark.fault(
    "a run does not want to end: ignores SIGTERM, leaves its session, forks twice or without end, is stopped",
    moment="when the run is stopped",
    outcome="no process of it is left within the grace period and 2 s",
)
def test_no_stop_leaves_a_survivor(tmp_path: Path, way: str, amount: int) -> None:
    kinds = [*ESCAPES, STOPPED_WORKER]
    seconds: dict[str, list[float]] = defaultdict(list)
    left: dict[str, int] = defaultdict(int)
    for number in range(amount):
        kind = kinds[number % len(kinds)]
        home = tmp_path / str(number)
        home.mkdir()
        with ExitStack() as stack:
            folder = stack.enter_context(made_cgroup()) if way == "cgroup" else None
            desk = Desk(home, None if folder is None else Cgroups(folder))
            stack.callback(desk.workers.close)
            stopped = stop(desk, kind)
        seconds[kind].append(stopped.seconds - GRACE_SECONDS)
        left[kind] += len(stopped.left) + len(stopped.ended.survivors)
    print(f"\n{amount} stops by {way}, seconds beyond the grace period:")
    for kind in kinds:
        times = seconds[kind] or [0.0]
        print(f"  {kind}: {len(seconds[kind])} stops, {left[kind]} survivors, slowest {max(times):+.2f} s")
    assert sum(left.values()) == 0
    assert max(max(times) for times in seconds.values()) < 2.0
