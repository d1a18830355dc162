"""kill -9 at every call by which the daemon changes a disk, those of a recovery included."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from syscalls import Point, points, require_strace, survive_kill
from violations import violations_among

AT_ONCE = 3


@pytest.mark.amount("syscalls")
@pytest.mark.timeout(0)
def test_a_round_ends_as_ever_whichever_call_the_daemon_died_at(
    tmp_path: Path, amount: int, chance: random.Random
) -> None:
    require_strace()
    known = points(tmp_path)
    chance.shuffle(known)
    chosen = known if amount >= len(known) else known[:amount]
    print(f"{len(chosen)} of {len(known)} points")
    killed: list[Point] = []

    def one(point: Point) -> None:
        if survive_kill(tmp_path / f"{point.call}{point.number}{point.recovers}", point):
            killed.append(point)

    violations = violations_among(chosen, one, AT_ONCE)
    twice = sum(point.recovers is not None for point in killed)
    print(f"{len(killed)} points, {twice} of them twice in a recovery, {violations} violations")
    assert not violations
