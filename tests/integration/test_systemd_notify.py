"""What does systemd hear? Real datagrams, on a socket in its place."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_home import Home, wait_until

from scheduler.effects.clock import FakeClock
from scheduler.effects.systemd_notify import SystemdNotify


class Systemd:
    """The end of the line."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        """Every datagram that has come since the last call."""
        said = []
        while True:
            try:
                said.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return said

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["in a file", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    name = f"@roundhouse-test-{os.getpid()}-{tmp_path.name}"
    listening = Systemd(name if request.param == "abstract" else str(tmp_path / "notify"))
    yield listening
    listening.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_readiness_status_and_the_end_are_told(systemd: Systemd) -> None:
    told = SystemdNotify(systemd.address)
    told.status("reading\nrecords \x1b[31m")
    told.ready()
    told.stopping("SIGTERM")
    assert systemd.heard() == [
        "STATUS=reading records",
        "READY=1",
        "STATUS=ending: SIGTERM",
        "STOPPING=1",
    ]


def test_a_status_is_told_when_it_changes_only(systemd: Systemd) -> None:
    told = SystemdNotify(systemd.address)
    for text in ("one", "one", "two", "x" * 5000):
        told.status(text)
    assert systemd.heard() == ["STATUS=one", "STATUS=two", f"STATUS={'x' * 200}"]


def test_the_loop_is_told_to_turn_in_half_the_time_and_says_so_in_a_quarter(
    systemd: Systemd, clock: FakeClock
) -> None:
    told = SystemdNotify(systemd.address, watchdog_seconds=20.0, monotonic=clock.monotonic)
    assert told.next_in() is None, "before the daemon is ready nobody waits for its loop"
    told.ready()
    assert told.next_in() == 10.0
    for seconds in (4.0, 0.5, 0.5, 0.5, 4.5, 9.0):
        clock.advance(seconds)
        told.alive()
    assert systemd.heard() == ["READY=1", *["WATCHDOG=1"] * 3]
    assert told.next_in() == 10.0


def test_what_systemd_could_not_take_is_told_with_the_next(tmp_path: Path) -> None:
    told = SystemdNotify(str(tmp_path / "notify"))
    told.ready()
    told.status("one")
    told.status("two")
    systemd = Systemd(str(tmp_path / "notify"))
    told.alive()
    told.alive()
    assert systemd.heard() == ["READY=1\nSTATUS=two"]
    systemd.close()


def test_a_full_inbox_holds_the_loop_up_for_a_second_at_most(systemd: Systemd) -> None:
    told = SystemdNotify(systemd.address)
    count = 0
    while not told._unsaid:  # the inbox has room for a few hundred
        count += 1
        told.status(f"status {count}")
    assert f"STATUS=status {count - 1}" in systemd.heard()
    told.alive()
    assert systemd.heard() == [f"STATUS=status {count}"]


def test_more_time_is_asked_for_before_the_last_has_run_out(systemd: Systemd, clock: FakeClock) -> None:
    told = SystemdNotify(systemd.address, monotonic=clock.monotonic)
    for seconds, after in ((60.0, 0.0), (60.0, 5.0), (60.0, 1.5), (300.0, 0.0), (60.0, 100.0)):
        clock.advance(after)
        told.wait_for(seconds)
    assert systemd.heard() == [f"EXTEND_TIMEOUT_USEC={seconds}000000" for seconds in (60, 60, 300)]


def test_nothing_is_said_to_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("a socket was made"))
    told = SystemdNotify.from_environment({})
    told.ready()
    told.status("one")
    told.alive()
    told.wait_for(60.0)
    told.stopping("idle")
    assert told.next_in() is None


def test_the_environment_is_read_once_and_children_find_nothing_in_it(systemd: Systemd) -> None:
    environment = {
        "NOTIFY_SOCKET": systemd.address,
        "WATCHDOG_USEC": "20000000",
        "WATCHDOG_PID": str(os.getpid()),
        "PATH": "/bin",
    }
    told = SystemdNotify.from_environment(environment)
    assert environment == {"PATH": "/bin"}
    told.ready()
    assert systemd.heard() == ["READY=1"]
    assert told.next_in() is not None


@pytest.mark.parametrize(
    "watchdog",
    [{"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}],
)
def test_a_watchdog_that_is_another_process_s_or_none_is_not_fed(
    systemd: Systemd, watchdog: dict[str, str]
) -> None:
    told = SystemdNotify.from_environment({"NOTIFY_SOCKET": systemd.address, **watchdog})
    told.ready()
    assert told.next_in() is None


def test_a_daemon_tells_all_of_it_from_its_start_to_its_end(home: Home, tmp_path: Path) -> None:
    systemd = Systemd(str(tmp_path / "notify"))
    said: list[str] = []
    environment = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "1000000"}

    def has_said(line: str) -> bool:
        said.extend(line for datagram in systemd.heard() for line in datagram.split("\n"))
        return line in said

    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        home.start()
    wait_until(lambda: has_said("READY=1"), "READY=1")
    first = said.index("READY=1")
    assert f"STATUS=reading {home.paths.journal}" in said[:first]
    assert "STATUS=nothing runs: the queue is empty" in said[:first]
    assert "EXTEND_TIMEOUT_USEC=60000000" in said[:first]
    assert "WATCHDOG=1" not in said[:first]
    wait_until(lambda: has_said("WATCHDOG=1"), "a sign of life of an idle loop")
    home.drop("night", home.spec("night", seconds=1.0))
    wait_until(lambda: has_said("STATUS=night: sums, quick baseline seed 0"), "the run in the status")
    assert home.stop() == 0
    assert has_said("STOPPING=1")
    systemd.close()
