"""Is the metrics file always whole, soon true, and cheap; and does it go on where a daemon was killed?"""

from __future__ import annotations

import errno
import time
from pathlib import Path

import pytest
from fakes.world import make_round, ok, play
from prometheus_client.parser import text_string_to_metric_families
from real_home import Home, wait_until

from scheduler.decide import codec, facts
from scheduler.decide.state import State, fold
from scheduler.effects import metrics as metrics_module
from scheduler.effects.clock import FakeClock
from scheduler.effects.metrics import ALIVE_SECONDS, CHANGED_SECONDS, MetricsFile
from scheduler.effects.records import Journal
from scheduler.rounds.paths import HomePaths


def read(path: Path) -> dict[str, float]:
    """Samples without labels, or with one as `name{value}`."""
    families = text_string_to_metric_families(path.read_text()) if path.exists() else ()
    return {
        sample.name + "".join(f"{{{value}}}" for value in sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.fixture
def home_paths(tmp_path: Path) -> HomePaths:
    paths = HomePaths(tmp_path)
    paths.results.mkdir()
    return paths


def made(paths: HomePaths, clock: FakeClock) -> MetricsFile:
    return MetricsFile(
        paths,
        version="1",
        disk_floor_mib=1.0,
        last_run_finished_at=None,
        monotonic=clock.monotonic,
        now=clock.monotonic,
    )


def test_news_is_written_soon_and_nothing_new_as_a_sign_of_life(home_paths: HomePaths) -> None:
    clock, state = FakeClock(), State()
    file = made(home_paths, clock)
    file.offer(state, "the queue is empty", None)
    assert read(home_paths.metrics)["roundhouse_queue_waiting_info{the queue is empty}"] == 1
    paused = fold(state, facts.QueuePaused(reason="x"))
    file.offer(paused, "paused", None)
    assert read(home_paths.metrics)["roundhouse_queue_paused"] == 0
    clock.advance(CHANGED_SECONDS)
    file.offer(paused, "paused", None)
    assert read(home_paths.metrics)["roundhouse_queue_paused"] == 1
    before = home_paths.metrics.stat().st_ino
    clock.advance(ALIVE_SECONDS - 1)
    file.offer(paused, "paused", None)
    assert home_paths.metrics.stat().st_ino == before
    assert file.next_in() == pytest.approx(1.0)
    clock.advance(1.0)
    file.offer(paused, "paused", None)
    assert home_paths.metrics.stat().st_ino != before
    file.close(paused, "SIGTERM")
    assert read(home_paths.metrics)["roundhouse_up"] == 0


@pytest.mark.fault("the disk is full", moment="metrics are written", outcome="the old file stays, whole")
def test_a_full_disk_leaves_the_file_before(home_paths: HomePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    file = made(home_paths, clock)
    file.offer(State(), None, None)
    before = home_paths.metrics.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(metrics_module, "replace", full)
    clock.advance(ALIVE_SECONDS)
    file.offer(State(), "waiting", None)
    assert home_paths.metrics.read_bytes() == before


def record(paths: HomePaths) -> list[facts.RoundFact]:
    """Put the records of a round that has ended into the home; returns what they tell."""
    folder = paths.round("night")
    folder.root.mkdir()
    journal, _ = Journal.open(folder.records)
    told = [
        fact
        for fact in play(lambda intended: ok(0.5), make_round()).facts
        if isinstance(fact, facts.RoundFact)
    ]
    for fact in told:
        journal.append(codec.to_fields(fact))
    journal.close()
    return told


@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="between two rounds",
    outcome="counters of metrics.prom go on where they were",
)
def test_counters_go_on_after_a_kill(home: Home) -> None:
    told = record(home.paths)
    home.start()
    ran = wait_until(lambda: read(home.paths.metrics), "the metrics")
    home.kill()
    ends = [fact for fact in told if isinstance(fact, facts.RunFinished)]
    assert ran["roundhouse_runs_total{ok}"] == len(ends) > 0
    assert ran["roundhouse_run_seconds_total"] == 1.5 * len(ends)
    assert ran["roundhouse_up"] == 1
    home.paths.metrics.unlink()
    home.start()
    again = wait_until(lambda: read(home.paths.metrics), "the metrics after the restart")
    for name, value in ran.items():
        if "_total" in name or "verdicts" in name:
            assert again[name] == value, name
    last = "roundhouse_last_run_finished_timestamp_seconds"
    assert again[last] == pytest.approx(ran[last], abs=5.0)  # of an ended round its own end is known
    assert time.time() - again[last] < 600
    assert home.stop() == 0
    assert read(home.paths.metrics)["roundhouse_up"] == 0
