"""A daemon that is killed again and again, at any moment, ends its rounds as if nothing had happened."""

from __future__ import annotations

import random

import pytest
from killing import kill_at_random
from real_home import Home

KILLS = 50


@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="at any moment, again and again",
    outcome="every round ends with the verdicts it would have had, and no finished run is repeated",
)
def test_random_kills_change_no_decision_and_repeat_no_finished_run(home: Home) -> None:
    kill_at_random(home, KILLS, random.Random(0))
