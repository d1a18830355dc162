"""Does a request of schedctl reach the daemon exactly as it was made, also across a crash?"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from scheduler.decide.inputs import RequestMade
from scheduler.effects.control import discard, send, take
from scheduler.rounds.paths import HomePaths


@pytest.fixture
def home(tmp_path: Path) -> HomePaths:
    home = HomePaths(tmp_path)
    for folder in home.folders():
        folder.mkdir(parents=True, exist_ok=True)
    return home


def test_requests_are_taken_in_the_order_they_were_made(home: HomePaths) -> None:
    ids = [
        send(home, "pause", reason="lunch"),
        send(home, "resume"),
        send(home, "cancel", round="night", task=None),
        send(home, "retry", round="night", task="sudoku4"),
    ]
    assert take(home) == [
        RequestMade(id=ids[0], verb="pause", reason="lunch"),
        RequestMade(id=ids[1], verb="resume"),
        RequestMade(id=ids[2], verb="cancel", round="night"),
        RequestMade(id=ids[3], verb="retry", round="night", task="sudoku4"),
    ]


def test_a_result_is_forgotten_by_its_round_or_its_key(home: HomePaths) -> None:
    send(home, "forget", round="night")
    send(home, "forget", key="0123456789abcdef")
    assert [(request.round, request.key) for request in take(home)] == [
        ("night", None),
        (None, "0123456789abcdef"),
    ]


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [("forget", {}), ("forget", {"key": "../x"}), ("forget", {"key": 3}), ("pause", {"key": "0" * 16})],
)
def test_a_key_is_a_content_key_and_belongs_to_forget(
    home: HomePaths, verb: str, arguments: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match="key"):
        send(home, verb, **arguments)


def test_a_request_stays_until_it_is_discarded(home: HomePaths) -> None:
    first, second = send(home, "pause"), send(home, "resume")
    assert [request.id for request in take(home)] == [first, second]
    discard(home, first)
    discard(home, first)
    assert [request.id for request in take(home)] == [second]


def test_a_request_can_be_made_before_the_daemon_ever_ran(tmp_path: Path) -> None:
    home = HomePaths(tmp_path)
    home.queue.mkdir()
    send(home, "pause")
    assert len(take(home)) == 1


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("explode", {}),
        ("cancel", {}),
        ("retry", {"task": "a"}),
        ("cancel", {"round": "../etc"}),
        ("cancel", {"round": ""}),
        ("pause", {"force": "yes"}),
        ("pause", {"reason": "x" * 501}),
    ],
)
def test_a_request_that_would_be_refused_is_not_sent(
    home: HomePaths, verb: str, arguments: dict[str, str]
) -> None:
    with pytest.raises(ValueError):
        send(home, verb, **arguments)
    assert list(home.control.iterdir()) == []


NAME = "1795181809363192566-0123456789ab.json"


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        (NAME, b"", "not a request"),
        (NAME, b'{"verb": "pause"', "not a request"),
        (NAME, b"[]", "JSON object"),
        (NAME, b'{"verb": "explode"}', "explode"),
        (NAME, b'{"verb": ["pause"]}', "verb"),
        (NAME, b'{"verb": "pause", "colour": 1}', "colour"),
        (NAME, b'{"verb": "cancel", "round": "a/b"}', "a/b"),
        (NAME, b'{"verb": "cancel", "round": 7}', "7"),
        (NAME, b'{"verb": "cancel"}', "needs a round"),
        (NAME, b'{"verb": "pause", "reason": 1}', "reason"),
        (NAME, b'{"verb": "pause"}' + b" " * 20_000, "16 KiB"),
        ("pause.json", b'{"verb": "pause"}', "name"),
        ("1795181809363192566-..%2f0123456.json", b'{"verb": "pause"}', "name"),
    ],
)
def test_what_is_no_request_is_rejected_with_the_reason(
    home: HomePaths, name: str, data: bytes, why: str
) -> None:
    (home.control / name).write_bytes(data)
    request_id = send(home, "pause")
    assert [request.id for request in take(home)] == [request_id]
    assert (home.rejected / name).read_bytes() == data
    assert why in (home.rejected / f"{name}.why.txt").read_text()


@pytest.mark.fault("a link, pipe or folder as a request", moment="any", outcome="rejected, never waited for")
def test_links_pipes_and_folders_are_rejected_without_waiting(home: HomePaths, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b'{"verb": "pause"}')
    names = [NAME.replace("1795", start) for start in ("1791", "1792", "1793")]
    (home.control / names[0]).symlink_to(tmp_path / "secret")
    os.mkfifo(home.control / names[1])
    (home.control / names[2]).mkdir()
    started = time.monotonic()
    assert take(home) == []
    assert time.monotonic() - started < 5
    assert list(home.control.iterdir()) == []
    assert all(os.path.lexists(home.rejected / name) for name in names)


def test_a_request_that_is_being_published_is_left_alone(home: HomePaths) -> None:
    (home.control / f".{NAME}.1a2b3c4d.tmp").write_bytes(b"{")
    assert take(home) == []
    assert list(home.rejected.iterdir()) == []
