"""Do deadlines fall due when they should, once, and in order?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.effects.clock import Clock, Deadlines, FakeClock, RealClock


def test_nothing_is_due_before_its_time() -> None:
    clock = FakeClock()
    deadlines: Deadlines[str] = Deadlines(clock)
    deadlines.set("budget", 10, "budget passed")
    clock.advance(9.9)
    assert deadlines.due() == []
    assert deadlines.next_in() == pytest.approx(0.1)


def test_a_deadline_is_handed_out_once() -> None:
    clock = FakeClock()
    deadlines: Deadlines[str] = Deadlines(clock)
    deadlines.set("budget", 10, "budget passed")
    clock.advance(10)
    assert deadlines.next_in() == 0.0
    assert deadlines.due() == ["budget passed"]
    assert deadlines.due() == []
    assert deadlines.next_in() is None


def test_setting_a_key_again_replaces_its_deadline() -> None:
    clock = FakeClock()
    deadlines: Deadlines[str] = Deadlines(clock)
    deadlines.set("heartbeat", 5, "first")
    clock.advance(4)
    deadlines.set("heartbeat", 5, "second")
    clock.advance(4)
    assert deadlines.due() == []
    clock.advance(1)
    assert deadlines.due() == ["second"]


def test_a_cancelled_deadline_never_falls_due() -> None:
    clock = FakeClock()
    deadlines: Deadlines[str] = Deadlines(clock)
    deadlines.set("grace", 1, "kill")
    deadlines.cancel("grace")
    deadlines.cancel("never set")
    clock.advance(100)
    assert deadlines.due() == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), max_size=20), st.integers(0, 20))
def test_what_is_due_comes_earliest_first(settings: list[tuple[int, int]], elapsed: int) -> None:
    clock = FakeClock()
    deadlines: Deadlines[tuple[int, int]] = Deadlines(clock)
    last: dict[int, tuple[int, int]] = {}
    for order, (key, seconds) in enumerate(settings):
        deadlines.set(key, seconds, (seconds, order))
        last[key] = (seconds, order)
    clock.advance(elapsed)
    assert deadlines.due() == sorted(event for event in last.values() if event[0] <= elapsed)
    left = [seconds - elapsed for seconds, _ in last.values() if seconds > elapsed]
    assert deadlines.next_in() == min(left, default=None)


def test_a_fake_clock_moves_both_its_hands() -> None:
    clock = FakeClock(datetime(2026, 11, 20, tzinfo=UTC))
    clock.advance(90)
    assert clock.now() == datetime(2026, 11, 20, tzinfo=UTC) + timedelta(seconds=90)
    assert clock.monotonic() == 90


def test_the_real_clock_is_in_utc_and_never_goes_back() -> None:
    clock: Clock = RealClock()
    earlier = clock.monotonic()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() >= earlier
