"""Does a notice arrive, once, through the real service library in a child; and is a failure harmless?"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from real_home import Home, wait_until

from scheduler.effects import notices as notices_module
from scheduler.effects.notices import MOST_WAITING, Notices, deliver
from scheduler.rounds.notice import Notice, NotifySettings

pytest.importorskip("apprise", reason="apprise is not installed (the extra `notify`)")

NOTICE = Notice(kind="gpu_dirty", title="the GPU cuda:0 is set aside", body="24 MiB\nare in use")


class Receiver:
    """A service on this machine that notes what it is sent."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.is_stuck = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if receiver.is_stuck.is_set():
                    receiver.released.wait(60)
                    return
                receiver.heard.append(told)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"json://127.0.0.1:{self._server.server_address[1]}/hush-hush"

    @property
    def titles(self) -> list[str]:
        return [told["title"] for told in self.heard]

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def test_a_notice_reaches_every_address_that_is_there(receiver: Receiver) -> None:
    sent, refused, unknown = deliver([receiver.url, "json://127.0.0.1:9/pass-word", "no-such://x"], NOTICE)
    assert sent is None
    assert receiver.heard[0]["title"] == NOTICE.title
    assert receiver.heard[0]["message"] == NOTICE.body
    assert refused is not None
    assert "onnection" in refused
    assert "pass-word" not in refused
    assert unknown is not None
    assert "no address that apprise knows" in unknown


def test_addresses_are_looked_at_without_sending(receiver: Receiver) -> None:
    assert deliver([receiver.url, "discord://short"], None)[0] is None
    assert receiver.heard == []


@pytest.mark.fault(
    "a service for notices hangs", moment="a notice is sent", outcome="given up after its time"
)
def test_a_service_that_does_not_answer_is_given_up(receiver: Receiver) -> None:
    receiver.is_stuck.set()
    (error,) = deliver([f"{receiver.url}?rto=60"], NOTICE, seconds=3.0)
    assert error == "no answer within 3 s"


class TestQueue:
    """What the daemon's side of it does, with a delivery of our own."""

    def made(self, folder: Path, deliver: Any, **options: Any) -> tuple[Notices, list[str]]:
        lines: list[str] = []
        settings = NotifySettings(urls=("json://127.0.0.1:9/hush",), **options)
        path = folder / "notices.json"
        return Notices(settings, path, environment={}, report=lines.append, deliver=deliver), lines

    def test_a_failure_is_reported_once_until_it_is_well_again(self, tmp_path: Path) -> None:
        answers = iter([("refused",), ("refused",), (None,), ("refused",)])
        done: list[str] = []

        def answered(_: Any, notice: Notice) -> tuple[str | None, ...]:
            done.append(notice.kind)
            return next(answers)

        notices, lines = self.made(tmp_path, answered)
        for _ in range(4):
            notices.tell(NOTICE)
        notices.close(60)
        assert len(done) == 4
        assert lines == ["NOTIFY json://*** was not reached: refused"] * 2

    def test_a_kind_that_is_not_wanted_is_not_sent(self, tmp_path: Path) -> None:
        sent: list[Notice] = []
        notices, _ = self.made(tmp_path, lambda _, notice: sent.append(notice) or (None,), on=("disk_low",))
        notices.tell(NOTICE)
        notices.close(60)
        assert sent == []

    def test_whoever_tells_never_waits_and_the_queue_is_bounded(self, tmp_path: Path) -> None:
        release = threading.Event()
        notices, lines = self.made(tmp_path, lambda *_: release.wait(60) and (None,))
        for _ in range(MOST_WAITING + 20):
            notices.tell(NOTICE)
        release.set()
        notices.close(60)
        assert [line for line in lines if "dropped" in line] == [
            f"NOTIFY {MOST_WAITING} notices wait to be sent; further ones are dropped"
        ]

    def test_the_limit_outlives_the_daemon_and_the_rest_is_told_as_a_number(self, tmp_path: Path) -> None:
        sent: list[Notice] = []

        def note(_: Any, notice: Notice) -> tuple[None]:
            sent.append(notice)
            return (None,)

        for _ in range(9):
            notices, _ = self.made(tmp_path, note)
            notices.tell(NOTICE)
            notices.close(60)
        assert len(sent) == 6
        kept = json.loads((tmp_path / "notices.json").read_bytes())
        kept["sent"]["gpu_dirty"] = [0.0]
        (tmp_path / "notices.json").write_text(json.dumps(kept))
        notices, _ = self.made(tmp_path, note)
        notices.tell(NOTICE)
        notices.close(60)
        assert sent[-1].body.endswith("3 more of this kind were not sent before this one.")

    def test_a_delivery_that_breaks_is_reported_and_the_next_one_made(self, tmp_path: Path) -> None:
        answers: Iterator[Any] = iter([RuntimeError("no memory"), (None,)])
        done: list[str] = []

        def breaking(_: Any, notice: Notice) -> tuple[str | None, ...]:
            answer = next(answers)
            done.append(notice.kind)
            if isinstance(answer, Exception):
                raise answer
            return answer

        notices, lines = self.made(tmp_path, breaking)
        notices.tell(NOTICE)
        notices.tell(NOTICE)
        notices.close(60)
        assert len(done) == 2
        assert lines == ["NOTIFY gpu_dirty was not sent: RuntimeError: no memory"]

    def test_a_variable_without_an_address_is_reported(self, tmp_path: Path) -> None:
        lines: list[str] = []
        settings = NotifySettings(urls=("env:NOWHERE",))
        notices = Notices(settings, tmp_path / "n", environment={}, report=lines.append)
        notices.tell(NOTICE)
        notices.close(60)
        assert lines == ["NOTIFY the environment variable NOWHERE holds no address; nothing is sent there"]


def test_the_verb_sends_to_every_address_and_shows_none(home: Home, receiver: Receiver) -> None:
    unset = home.schedctl("notify", "--test")
    assert unset.returncode == 2
    with home.paths.settings.open("a") as settings:
        settings.write(f'[notify]\nurls = ["{receiver.url}", "env:NIGHT"]\n')
    shown = home.schedctl("notify")
    assert "json://***" in shown.stdout
    tested = home.schedctl("notify", "--test")
    assert tested.returncode == 1
    assert "env:NIGHT: the variable holds no address here" in tested.stdout
    assert "json://***: sent" in tested.stdout
    assert "hush" not in tested.stdout + tested.stderr + shown.stdout
    assert receiver.titles == ["roundhouse: a test from home"]


@pytest.mark.fault(
    "an address for notices cannot be reached", moment="a round ends", outcome="logged; the others get theirs"
)
@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="a round has ended and was told of",
    outcome="a notice of the restart; the round is not told of again",
)
def test_a_daemon_tells_of_a_round_and_of_its_own_restart_each_once(home: Home, receiver: Receiver) -> None:
    with home.paths.settings.open("a") as settings:
        settings.write(f'[notify]\nurls = ["{receiver.url}", "json://127.0.0.1:9/hush-hush"]\n')
    home.drop("night", home.spec("night"))
    home.start()
    wait_until(lambda: len(receiver.heard) == 1, "the notice of the round")
    assert "round night finished" in receiver.titles[0]
    assert str(home.paths.round("night").report) in receiver.heard[0]["message"]
    wait_until(lambda: " NOTIFY " in home.log(), "the line about the address that is not there")
    home.kill()
    home.start()
    wait_until(lambda: len(receiver.heard) == 2, "the notice of the restart")
    assert "the daemon is back" in receiver.titles[1]
    home.stop()
    with home.paths.settings.open("r+") as settings:
        changed = settings.read().replace("disk_floor_mib = 1\n", "disk_floor_mib = 1e9\n")
        settings.seek(0)
        settings.write(changed)
    home.start()
    wait_until(lambda: len(receiver.heard) == 3, "the notice of the disk")
    assert "the disk is nearly full" in receiver.titles[2]
    home.stop()
    assert len(receiver.heard) == 3
    dead = [line for line in home.log().splitlines() if " NOTIFY " in line]
    assert len(dead) == 3  # once a daemon
    assert all("json://*** was not reached" in line for line in dead)
    assert "hush" not in home.log() + home.output() + home.paths.status.read_text()


def test_the_daemon_itself_never_loads_the_service_library() -> None:
    assert "apprise" not in vars(notices_module)
