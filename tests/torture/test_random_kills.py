"""kill -9 of the daemon at random moments, hundreds of times."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from killing import kill_at_random
from real_home import Home

#: two rounds take about so many kills to end, and more would hit a daemon that has nothing to do
KILLS_OF_TWO_ROUNDS = 25


@pytest.mark.amount("kills")
@pytest.mark.timeout(0)
def test_rounds_end_as_ever_however_often_the_daemon_is_killed(
    tmp_path: Path, amount: int, chance: random.Random
) -> None:
    for done in range(0, amount, KILLS_OF_TWO_ROUNDS):
        kills = min(KILLS_OF_TWO_ROUNDS, amount - done)
        home = Home(tmp_path / f"home{done}")
        try:
            kill_at_random(home, kills, chance, prefix=f"k{done}-")
        finally:
            home.close()
        print(f"{done + kills} kills, 0 violations", flush=True)
