"""A daemon keeps little of a round that has ended, and yet a person's retry ends as if it had kept all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from real_home import TRAIN, Home, wait_until

from scheduler.effects import control
from scheduler.effects.ended_file import read_ended

#: a trainer that fails until a person has mended what it needs
MOODY = "import os, sys\nos.path.exists('mended') or sys.exit('the data is not there')\n" + TRAIN


def parked(home: Home, name: str) -> None:
    """A round that has ended, with its only task parked."""
    (home.paths.root / "train.py").write_text(MOODY)
    home.start()
    home.drop(name, home.spec(name))
    [ended] = home.wait_for(name)
    assert ended["outcome"] == "parked"
    wait_until(home.paths.round(name).ended.exists, "what is kept of the round")
    assert read_ended(home.paths.round(name)) is not None


def retried(home: Home, name: str) -> list[tuple[Any, ...]]:
    """What is recorded from the retry on, without what differs from one time to another."""
    (home.paths.root / "mended").touch()
    assert home.schedctl("retry", name).returncode == 0
    home.wait_for(name, count=2)
    records = home.records(name)
    [start] = [n for n, record in enumerate(records) if record["event"] == "task_retried"]
    told = ("event", "stage", "config", "attempt", "status", "value", "verdict", "reason", "outcome")
    return [tuple(record.get(field) for field in told) for record in records[start:]]


def restart(home: Home) -> None:
    assert home.stop() == 0
    home.start()


def restart_without_the_file(home: Home) -> None:
    assert home.stop() == 0
    home.paths.round("night").ended.unlink()
    home.start()


def restart_with_a_damaged_file(home: Home) -> None:
    home.kill()
    path = home.paths.round("night").ended
    path.write_bytes(path.read_bytes().replace(b'"night"', b'"light"'))
    home.start()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """How a retry ends that the same daemon serves."""
    home = Home(tmp_path_factory.mktemp("unbroken"))
    try:
        parked(home, "night")
        return retried(home, "night")
    finally:
        for process in home.processes:
            process.kill()
            process.wait()


@pytest.mark.parametrize("between", [restart, restart_without_the_file, restart_with_a_damaged_file])
def test_a_retry_of_a_parked_round_after_a_restart_ends_as_without_one(
    home: Home, unbroken: list[tuple[Any, ...]], between: Callable[[Home], None]
) -> None:
    parked(home, "night")
    sound = home.paths.round("night").ended.read_bytes()
    between(home)
    assert home.paths.round("night").ended.read_bytes() == sound
    assert "parked" in home.schedctl("status").stdout
    found = retried(home, "night")
    assert found == unbroken
    assert found[-1][-1] == "finished"
    wait_until(lambda: home.paths.round("night").ended.read_bytes() != sound, "what is kept of the new end")


def test_a_retry_of_damaged_records_is_answered_and_the_daemon_lives(home: Home) -> None:
    parked(home, "night")
    path = home.paths.round("night").records
    path.write_bytes(b"x" + path.read_bytes()[1:])
    assert home.schedctl("retry", "night").returncode == 78
    control.send(home.paths, "retry", round="night")  # the damage may come after that look
    wait_until(lambda: "cannot be retried" in home.log(), "the answer")
    assert "line 1" in home.log()
    (home.paths.root / "mended").touch()
    home.drop("other", home.spec("other"))
    home.wait_for("other")
