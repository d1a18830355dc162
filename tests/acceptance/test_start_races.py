"""Of daemons that are started at the same moment, one serves the home."""

from __future__ import annotations

import os

import pytest
from fakes.race import race
from real_home import Home

RACES = 2
#: what loading all of the daemon takes is several times as much
MOST_CPU_SECONDS = 0.3


@pytest.mark.fault(
    "eight daemons are started on one home",
    moment="at the same time",
    outcome="one serves it; the others name it and exit with 75, within a second",
)
def test_of_eight_daemons_one_wins_and_the_others_leave_before_they_load_anything(home: Home) -> None:
    for _ in range(RACES):
        ran = race(home)
        assert len(ran.winners) == 1
        assert ran.named == ran.winners[0]
        assert [loser.status for loser in ran.losers] == [os.EX_TEMPFAIL] * 7
        assert all(f"process {ran.winners[0]} " in loser.said for loser in ran.losers)
        assert max(loser.cpu_seconds for loser in ran.losers) < MOST_CPU_SECONDS
