"""Reports are made one at a time, coalesced, and live ones seldom enough to cost next to nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.effects import reporting
from scheduler.effects.reporting import LIVE_WAIT_FACTOR, Reporting, make_report
from scheduler.rounds.paths import HomePaths

PATIENCE_SECONDS = 20.0
HOME = HomePaths(Path("nowhere"))


class Workshop:
    """Makes nothing, in a time that the test sets, and lets the test wait for it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.seconds = 1.0
        self.made: list[str] = []
        self.has_room = True
        self.at_once = 0
        self.most_at_once = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self._told = threading.Condition()

    def make(self, home: HomePaths, round_id: str) -> bool:
        with self._told:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.made.append(round_id)
            self._told.notify_all()
        assert self.may_go_on.wait(PATIENCE_SECONDS)
        with self._told:
            self.now += self.seconds
            self.at_once -= 1
            return self.has_room

    def wait_for(self, made: list[str]) -> None:
        with self._told:
            assert self._told.wait_for(lambda: self.made == made, PATIENCE_SECONDS), self.made


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


@pytest.fixture
def written() -> threading.Semaphore:
    return threading.Semaphore(0)


@pytest.fixture
def reports(workshop: Workshop, written: threading.Semaphore) -> Iterator[Reporting]:
    made = Reporting(HOME, written.release, make=workshop.make, monotonic=lambda: workshop.now)
    yield made
    workshop.may_go_on.set()
    made.close()


def test_a_report_is_made_and_told(
    reports: Reporting, workshop: Workshop, written: threading.Semaphore
) -> None:
    reports.write("night")
    assert written.acquire(timeout=PATIENCE_SECONDS)
    assert workshop.made == ["night"]
    assert reports.is_done


def test_what_is_asked_for_while_it_is_made_is_made_once_after_it(
    reports: Reporting, workshop: Workshop, written: threading.Semaphore
) -> None:
    workshop.may_go_on.clear()
    reports.write("night")
    workshop.wait_for(["night"])
    for _ in range(5):
        reports.write("night")
    assert not reports.is_done
    workshop.may_go_on.set()
    assert written.acquire(timeout=PATIENCE_SECONDS)
    assert written.acquire(timeout=PATIENCE_SECONDS)
    reports.close()
    assert workshop.made == ["night", "night"]
    assert workshop.most_at_once == 1


def test_a_live_report_waits_ten_times_as_long_as_it_took(
    reports: Reporting, workshop: Workshop, written: threading.Semaphore
) -> None:
    reports.write("night", is_live=True)
    assert written.acquire(timeout=PATIENCE_SECONDS)
    reports.write("night", is_live=True)
    assert reports.is_done  # for all that has to be waited for
    workshop.now += LIVE_WAIT_FACTOR * workshop.seconds - 0.1
    reports.write("night", is_live=True)
    assert reports.is_done
    assert workshop.made == ["night"]
    workshop.now += 0.2
    reports.write("night", is_live=True)
    assert written.acquire(timeout=PATIENCE_SECONDS)
    assert workshop.made == ["night", "night"]


def test_a_live_report_asked_for_while_one_is_made_waits_too(
    reports: Reporting, workshop: Workshop, written: threading.Semaphore
) -> None:
    workshop.may_go_on.clear()
    reports.write("night", is_live=True)
    workshop.wait_for(["night"])
    reports.write("night", is_live=True)
    workshop.may_go_on.set()
    assert written.acquire(timeout=PATIENCE_SECONDS)
    assert reports.is_done
    assert workshop.made == ["night"]


def test_the_report_at_the_end_waits_for_nothing(
    reports: Reporting, workshop: Workshop, written: threading.Semaphore
) -> None:
    reports.write("night", is_live=True)
    assert written.acquire(timeout=PATIENCE_SECONDS)
    reports.write("night", is_live=True)
    reports.write("night")
    reports.write("night", is_live=True)
    assert written.acquire(timeout=PATIENCE_SECONDS)
    assert workshop.made == ["night", "night"]


def test_one_round_does_not_wait_for_the_rest_of_another(
    reports: Reporting, workshop: Workshop, written: threading.Semaphore
) -> None:
    for name in ("night", "day"):
        reports.write(name, is_live=True)
        assert written.acquire(timeout=PATIENCE_SECONDS)
    assert workshop.made == ["night", "day"]


def test_closing_makes_what_still_waits(
    reports: Reporting, workshop: Workshop, written: threading.Semaphore
) -> None:
    reports.write("night", is_live=True)
    assert written.acquire(timeout=PATIENCE_SECONDS)
    reports.write("night", is_live=True)
    reports.close()
    assert workshop.made == ["night", "night"]


@pytest.mark.fault(
    "the disk is full", moment="while a report is made", outcome="it is made again when there is room"
)
def test_a_report_that_found_no_room_is_made_again_when_it_may_have_some(
    reports: Reporting, workshop: Workshop, written: threading.Semaphore
) -> None:
    workshop.has_room = False
    reports.write("night")
    assert written.acquire(timeout=PATIENCE_SECONDS)
    assert not reports.is_done
    workshop.has_room = True
    workshop.now += LIVE_WAIT_FACTOR * workshop.seconds + 0.1
    reports.write("night", is_live=True)  # has the thread look at the test's clock
    assert written.acquire(timeout=PATIENCE_SECONDS)
    assert workshop.made == ["night", "night"]
    assert reports.is_done


def test_a_report_that_finds_no_room_when_all_is_closed_is_left_to_the_next_start(
    reports: Reporting, workshop: Workshop
) -> None:
    workshop.has_room = False
    reports.write("night")
    reports.close()
    assert workshop.made[-1] == "night"
    assert len(workshop.made) <= 2


@pytest.mark.parametrize(("status", "had_room"), [(reporting.NO_ROOM_STATUS, False), (1, True), (0, True)])
def test_only_a_full_disk_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, had_room: bool
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexit {status}\n")
    python.chmod(0o755)
    monkeypatch.setattr(reporting.sys, "executable", str(python))
    assert make_report(HOME, "night") is had_room


def test_a_report_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 60\n")
    python.chmod(0o755)
    monkeypatch.setattr(reporting.sys, "executable", str(python))
    monkeypatch.setattr(reporting, "MAX_SECONDS", 0.2)
    make_report(HOME, "night")
    assert "night took over" in capsys.readouterr().err
