"""A disk that is full at each of the daemon's first writes, down to a few bytes, or out of inodes."""

from __future__ import annotations

from pathlib import Path

import pytest
from full_disk import Filling, survive
from violations import violations_among

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

    def one(number: int) -> None:
        seconds = survive(tmp_path / f"disk{number}", cases[number])
        if seconds is not None:
            paused.append(seconds)

    violations = violations_among(range(len(cases)), one, AT_ONCE)
    print(f"{len(paused)} full disks ({len(cases) - len(paused)} came after the end of the round),")
    print(f"{violations} violations; the queue went on within {max(paused, default=0.0):.1f} s")
    assert not violations
