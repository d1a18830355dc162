"""Did a round of `real_home` end as it ends when nothing goes wrong?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from real_home import Home, wait_until

from scheduler.report.record_check import checked_home

RUNS = [
    ("quick", "baseline"),
    ("quick", "good"),
    ("medium", "baseline"),
    ("medium", "good"),
    ("quick", "bad"),
]


def ends_as_ever(home: Home, name: str) -> None:
    """Start a daemon on what another one left, and raise AssertionError unless the round ends as ever."""
    home.start()
    home.wait_for(name)
    ended_as_ever(home, name)
    assert home.stop() == 0


def ended_as_ever(home: Home, name: str, *, spoiled: Collection[str] = ("lost",)) -> None:
    """Raise AssertionError unless the round, which is over, has the records it should have.

    Only attempts that failed for one of the classes in `spoiled` may have come to nothing.
    """
    records = home.records(name)
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    ended = [record for record in records if record["event"] == "run_finished"]
    done = Counter((r["stage"], r["config"]) for r in ended if r["status"] == "ok")
    assert done == Counter(RUNS)
    failures = {r["failure_class"] or r["status"] for r in ended if r["status"] != "ok"}
    assert failures <= set(spoiled), failures
    verdicts = [(r["config"], r["verdict"]) for r in records if r["event"] == "verdict_reached"]
    assert verdicts == [("good", "SUGGESTIVE"), ("bad", "INCONCLUSIVE")]
    assert [r["event"] for r in records].count("round_finished") == 1
    wait_until((home.paths.done / f"{name}.toml").exists, "the move to done/")
    summary = home.paths.round(name).summary_text
    wait_until(lambda: summary.exists() and "medium confirmed" in summary.read_text(), "the summary")
    assert {checked.state for checked in checked_home(home.paths)} == {"ok"}
    # The file of another round may still be under way.
    assert not any((folder / f"{name}.toml").exists() for folder in (home.paths.queue, home.paths.active))
