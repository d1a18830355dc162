"""A timeline accounts for all of a device's time, each second once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes.told_round import ToldRound, accepted
from hypothesis import given
from hypothesis import strategies as st

from scheduler.decide import facts
from scheduler.report.history import History, Moment
from scheduler.report.load import load_history
from scheduler.report.timeline import timelines
from scheduler.rounds.paths import HomePaths

FAILED: dict[str, Any] = {"status": "failed", "failure_class": "crash", "error": "it broke"}


def history_of(told: ToldRound, tmp_path: Path) -> History:
    return load_history(told.write(HomePaths(tmp_path)))


def uses(history: History) -> list[tuple[str, float, float]]:
    [timeline] = timelines(history)
    return [(span.use, span.begin_seconds, span.end_seconds) for span in timeline.spans]


def test_a_run_waits_and_then_keeps_the_device_busy(tmp_path: Path) -> None:
    told = accepted()
    told.seconds += 5
    told.run("quick", "baseline", 0.4, waits=2, seconds=60)
    assert uses(history_of(told, tmp_path)) == [("idle", 0, 5), ("waiting", 5, 7), ("busy", 7, 67)]


def test_time_of_a_failed_attempt_is_failed(tmp_path: Path) -> None:
    told = accepted()
    told.run("quick", "baseline", None, waits=0, seconds=10, **FAILED)
    told.run("quick", "baseline", 0.4, waits=1, seconds=10, attempt=2)
    assert uses(history_of(told, tmp_path)) == [("failed", 0, 10), ("waiting", 10, 11), ("busy", 11, 21)]


def test_a_run_from_the_cache_takes_no_time(tmp_path: Path) -> None:
    told = accepted()
    told.run("quick", "baseline", 0.4, seconds=30, waits=0)
    told.run("quick", "good", 0.4, seconds=3, cached_from="older/x")
    assert uses(history_of(told, tmp_path)) == [("busy", 0, 30), ("idle", 30, 33)]


def test_neighbours_of_one_use_are_one_span(tmp_path: Path) -> None:
    told = accepted()
    for config in ("baseline", "good", "bad"):
        told.run("quick", config, 0.4, waits=0, seconds=10)
    assert uses(history_of(told, tmp_path)) == [("busy", 0, 30)]


def test_a_run_under_way_is_busy_to_the_last_record(tmp_path: Path) -> None:
    told = accepted()
    told.run("quick", "baseline", 0.4, waits=1, seconds=10)
    told.lines.pop()
    told.tell(facts.RoundCancelled(round="night", reason="by hand"))
    assert uses(history_of(told, tmp_path)) == [("waiting", 0, 1), ("busy", 1, 11)]


def test_a_round_without_time_or_runs_has_no_timeline(tmp_path: Path) -> None:
    assert timelines(history_of(accepted(), tmp_path)) == ()


@pytest.mark.parametrize("back_seconds", [5, 5000])
def test_a_clock_that_was_set_back_makes_no_negative_time(tmp_path: Path, back_seconds: float) -> None:
    told = accepted()
    told.run("quick", "baseline", 0.4, seconds=60)
    told.seconds -= back_seconds
    told.run("quick", "good", 0.4, seconds=60)
    history = history_of(told, tmp_path)
    [timeline] = timelines(history)
    assert all(span.seconds > 0 for span in timeline.spans)
    assert timeline.seconds == (history.ended_at - history.began_at).total_seconds() >= 62


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1000), st.floats(0, 1000), st.floats(0, 1000), st.sampled_from(["ok", "failed"])
        ),
        min_size=1,
        max_size=12,
    )
)
def test_every_second_is_told_once(attempts: list[tuple[float, float, float, str]]) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    moments: list[tuple[float, facts.RoundFact]] = []
    for number, (intended, waits, trains, status) in enumerate(attempts, start=1):
        moments += told_attempt(number, intended, waits, trains, status)
    made = [Moment(at=begin, fact=facts.RoundCancelled(round="night", reason=""))]
    made += [Moment(at=begin + timedelta(seconds=at), fact=fact) for at, fact in moments]
    history = History(state=None, moments=tuple(made))  # type: ignore[arg-type]
    whole = (history.ended_at - history.began_at).total_seconds()
    for timeline in timelines(history):
        assert timeline.spans[0].begin_seconds == 0
        assert timeline.spans[-1].end_seconds == whole
        for one, other in zip(timeline.spans, timeline.spans[1:], strict=False):
            assert one.end_seconds == other.begin_seconds
            assert one.use != other.use


def told_attempt(
    number: int, intended: float, waits: float, trains: float, status: Any
) -> list[tuple[float, facts.RoundFact]]:
    where: dict[str, Any] = {"round": "night", "task": "sums", "stage": "quick", "config": "good", "seed": 0}
    where["attempt"] = number
    asked: dict[str, Any] = {"slot": 0, "device": "cpu", "bsz": None, "budget": {}, "protocol": "p"}
    asked |= {"content_key": "k", "run_dir": f"r{number}"}
    return [
        (intended, facts.RunIntended(**where, **asked)),
        (intended + waits, facts.RunStarted(**where, device="cpu", pid=1, start_time=0.0, boot_id="b")),
        (intended + waits + trains, facts.RunFinished(**where, **asked, status=status)),
    ]
