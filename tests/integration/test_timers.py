"""Do wall-clock events reach the inbox, also when they are late?"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from scheduler.effects.timers import Timers
from scheduler.rounds.errors import SettingsError


@pytest.fixture
def inbox() -> queue.SimpleQueue[str]:
    return queue.SimpleQueue()


@pytest.fixture
def timers(inbox: queue.SimpleQueue[str]) -> Iterator[Timers[str]]:
    timers: Timers[str] = Timers(inbox.put)
    yield timers
    timers.stop()


def test_a_timer_that_is_set_again_is_replaced(inbox: queue.SimpleQueue[str], timers: Timers[str]) -> None:
    timers.start()
    timers.cron({"year": 2000}, lambda: "old", "report")
    timers.cron({"second": "*"}, lambda: "new", "report")
    assert inbox.get(timeout=20) == "new"


def test_an_event_is_posted_at_a_time_of_the_day(inbox: queue.SimpleQueue[str], timers: Timers[str]) -> None:
    timers.cron({"second": "*"}, lambda: "window", "window")
    timers.start()
    threads = set(threading.enumerate())
    assert inbox.get(timeout=20) == "window"
    assert set(threading.enumerate()) == threads, "a timer that is due starts no thread"


def test_nothing_is_posted_before_the_start_or_after_the_stop(inbox: queue.SimpleQueue[str]) -> None:
    timers: Timers[str] = Timers(inbox.put)
    timers.cron({"second": "*"}, lambda: "window", "window")
    assert inbox.empty()
    timers.start()
    assert inbox.get(timeout=20) == "window"
    timers.stop()
    while not inbox.empty():
        inbox.get()
    with pytest.raises(queue.Empty):
        inbox.get(timeout=1.2)
    timers.stop()


def test_an_event_that_is_late_is_posted_all_the_same(inbox: queue.SimpleQueue[str]) -> None:
    # The only thread that posts is held up until well after the one moment of the event.
    is_held, may_go_on = threading.Event(), threading.Event()

    def post(event: str) -> None:
        inbox.put(event)
        if event == "first":
            is_held.set()
            assert may_go_on.wait(20)

    timers: Timers[str] = Timers(post)
    timers.cron({"second": "*"}, lambda: "first", "first")
    moment = datetime.now().astimezone().replace(microsecond=0) + timedelta(seconds=2)
    fields = ("year", "month", "day", "hour", "minute", "second")
    timers.cron({field: getattr(moment, field) for field in fields}, lambda: "once", "once")
    timers.start()
    assert is_held.wait(20)
    while datetime.now().astimezone() < moment + timedelta(seconds=1.5):
        time.sleep(0.05)
    may_go_on.set()
    while (event := inbox.get(timeout=20)) != "once":
        assert event == "first"
    timers.stop()


@pytest.mark.parametrize("fields", [{"hour": 25}, {"minute": "soon"}, {"fortnight": 1}])
def test_a_schedule_that_no_time_can_match_is_refused(timers: Timers[str], fields: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="is not a schedule"):
        timers.cron(fields, lambda: "window", "window")
