"""Does each spec end in one place only, also where a daemon was killed between a record and a move?"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from scheduler.decide.facts import RoundAccepted
from scheduler.effects.reception import Reception
from scheduler.effects.spool import Spool
from scheduler.rounds.paths import HomePaths

SPEC = b'round = "night"'
ACCEPTED = RoundAccepted(
    round="night",
    sha256=hashlib.sha256(SPEC).hexdigest(),
    file="n.toml",
    suffix=".toml",
    spec={"id": "night"},
)


@pytest.fixture
def home(tmp_path: Path) -> HomePaths:
    made = HomePaths(tmp_path)
    for folder in made.folders():
        folder.mkdir(parents=True, exist_ok=True)
    return made


@pytest.fixture
def reception(home: HomePaths) -> Reception:
    return Reception(home, Spool(home, quiet_period_seconds=1.0), print, {})


@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="between the record of an acceptance and the move of its file",
    outcome="the next start moves the file, and does not judge it again",
)
def test_a_file_whose_acceptance_is_recorded_is_moved_without_another_check(
    home: HomePaths, reception: Reception
) -> None:
    (home.queue / "n.toml").write_bytes(SPEC)
    reception.finish(ACCEPTED)
    assert (home.active / "night.toml").read_bytes() == SPEC
    assert list(home.queue.glob("*.toml")) == []


def test_another_file_under_that_name_is_left_to_be_checked(home: HomePaths, reception: Reception) -> None:
    (home.queue / "n.toml").write_bytes(b"other")
    reception.finish(ACCEPTED)
    assert (home.queue / "n.toml").exists()
    assert list(home.active.iterdir()) == []


def test_a_file_that_was_moved_and_came_again_is_left_to_be_checked(
    home: HomePaths, reception: Reception
) -> None:
    (home.active / "night.toml").write_bytes(SPEC)
    (home.queue / "n.toml").write_bytes(SPEC)
    reception.finish(ACCEPTED)
    assert (home.queue / "n.toml").exists()


def test_a_file_that_is_gone_is_nothing_to_move(home: HomePaths, reception: Reception) -> None:
    reception.finish(ACCEPTED)
    assert list(home.active.iterdir()) == []
