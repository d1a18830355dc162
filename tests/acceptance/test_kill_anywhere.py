"""A daemon that is killed again and again, at any moment, ends its rounds as if nothing had happened."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest
from real_home import Home, wait_until

KILLS = 50
#: a daemon may live this long before it is killed; a run of these takes about half a second
LONGEST_LIFE_SECONDS = 1.5

RUNS = [
    ("quick", "baseline"),
    ("quick", "good"),
    ("medium", "baseline"),
    ("medium", "good"),
    ("quick", "bad"),
]


@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="at any moment, again and again",
    outcome="every round ends with the verdicts it would have had, and no finished run is repeated",
)
def test_random_kills_change_no_decision_and_repeat_no_finished_run(home: Home) -> None:
    chance = random.Random(0)
    names = ("first", "second")
    # Chance may hit one run again and again; how often that is allowed is not the subject.
    home.paths.settings.write_text(f"{home.paths.settings.read_text()}max_attempts = 50\n")
    for name in names:
        home.drop(name, home.spec(name, seconds=0.2))
    for _ in range(KILLS):
        home.start()
        # The moment of the kill is the subject here, not something waited for.
        time.sleep(chance.uniform(0.0, LONGEST_LIFE_SECONDS))
        home.kill()
    home.start()
    for name in names:
        home.wait_for(name)
        records = home.records(name)
        assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
        ended = [record for record in records if record["event"] == "run_finished"]
        done = Counter((r["stage"], r["config"]) for r in ended if r["status"] == "ok")
        assert done == Counter(RUNS)
        assert {r["status"] for r in ended} <= {"ok", "lost"}
        verdicts = [(r["config"], r["verdict"]) for r in records if r["event"] == "verdict_reached"]
        assert verdicts == [("good", "SUGGESTIVE"), ("bad", "INCONCLUSIVE")]
        assert [r["event"] for r in records].count("round_finished") == 1
        wait_until((home.paths.done / f"{name}.toml").exists, "the move to done/")
        summary = home.paths.round(name).summary_text
        wait_until(
            lambda path=summary: path.exists() and "medium confirmed" in path.read_text(), "the summary"
        )
    assert list(home.paths.queue.glob("*.toml")) == list(home.paths.active.glob("*.toml")) == []
