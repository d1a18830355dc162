"""A daemon that is killed again and again, at any moment, while it works on two rounds."""

from __future__ import annotations

import random
import time

from ended_round import ended_as_ever
from real_home import Home

#: a daemon may live this long before it is killed; a run of these takes about half a second
LONGEST_LIFE_SECONDS = 1.5


def kill_at_random(home: Home, kills: int, chance: random.Random, prefix: str = "") -> None:
    """Raise AssertionError unless two rounds end as ever after so many kills."""
    names = (f"{prefix}first", f"{prefix}second")
    # Chance may hit one run again and again; how often that is allowed is not the subject.
    home.set("max_attempts", "100")
    for name in names:
        home.drop(name, home.spec(name, seconds=0.2))
    for _ in range(kills):
        home.start()
        # The moment of the kill is the subject here, not something waited for.
        time.sleep(chance.uniform(0.0, LONGEST_LIFE_SECONDS))
        home.kill()
    home.start()
    for name in names:
        home.wait_for(name)
        ended_as_ever(home, name)
    home.kill()
