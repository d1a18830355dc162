"""Of daemons that are started at the same moment, one serves the home: again and again, on the clock."""

from __future__ import annotations

import os

import pytest
from fakes.race import race
from real_home import Home

#: a second daemon is to be gone within
LOSING_SECONDS = 1.0


@pytest.mark.amount("races")
@pytest.mark.fault(
    "eight daemons are started on one home",
    moment="at the same time",
    outcome="one serves it; the others name it and exit with 75, within a second",
)
def test_one_of_eight_daemons_wins_every_race(home: Home, amount: int) -> None:
    slowest = most_cpu = 0.0
    for number in range(1, amount + 1):
        ran = race(home)
        assert (len(ran.winners), ran.named) == (1, ran.winners[0]), number
        assert [loser.status for loser in ran.losers] == [os.EX_TEMPFAIL] * 7, number
        slowest = max(slowest, *(loser.seconds for loser in ran.losers))
        most_cpu = max(most_cpu, *(loser.cpu_seconds for loser in ran.losers))
    print(
        f"\n{amount} races of 8 daemons: one winner each, slowest exit of the others {slowest:.2f} s", end=""
    )
    print(f", after {most_cpu:.2f} s of CPU time at most")
    assert slowest < LOSING_SECONDS, "the clock is fair only where nothing else runs"
