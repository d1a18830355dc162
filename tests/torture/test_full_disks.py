"""A disk that is full at each of the daemon's first writes, down to a few bytes, or out of inodes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from full_disk import Filling, survive
from violations import violation_of

#: bytes are taken in pages by a file system in memory
LEFT = (0, 4096, 8192)
#: one home keeps about half a core busy
AT_ONCE = 3


def fillings(count: int) -> list[Filling]:
    """`count` full disks, and a few without inodes."""
    full = [Filling(before_write=n, left=LEFT[n % len(LEFT)]) for n in range(1, count + 1)]
    return [*full, *(Filling(before_write=n, kind="inodes", left=n % 3) for n in range(2, count + 1, 10))]


@pytest.mark.amount("full_disks")
@pytest.mark.timeout(0)
def test_the_queue_pauses_and_goes_on_whichever_write_meets_the_full_disk(
    tmp_path: Path, amount: int
) -> None:
    cases = fillings(amount)
    paused: list[float] = []
    violations = []

    def one(number: int) -> None:
        seconds = survive(tmp_path / f"disk{number}", cases[number])
        if seconds is not None:
            paused.append(seconds)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number, violation in enumerate(pool.map(violation_of(one), range(len(cases)))):
            if violation is not None:
                violations.append((cases[number], violation))
                print(f"\n{cases[number]}: {violation}", flush=True)
    print(
        f"\n{len(paused)} full disks of {len(cases)} before the round was over, {len(violations)} violations;"
    )
    print(f"went on within {max(paused):.1f} s")
    assert not violations
