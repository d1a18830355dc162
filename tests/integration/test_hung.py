"""What is seen of a run that gives no sign of life: what it computes, and where it stands at its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.desk import ATTEMPT, Desk, prepare_message

from scheduler.decide.inputs import WorkerBeat, WorkerEnded, WorkerLookedAt, WorkerPrepared

TRAINER = '''
"""A trainer that gives no sign of life, in one way or another."""
import threading
from trainers.contract import Evaluation, Fingerprint, TrainerConfig

class Config(TrainerConfig):
    way: str

def fingerprint(config):
    return Fingerprint(digest="none")

def prepare(config, context):
    return config

def wait_for_what_never_comes():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()

def train(config, context):
    if config.way == "deadlocked":
        wait_for_what_never_comes()
    sum(range(10**12))  # one call, in which no other thread gets a turn
    yield Evaluation(step=1, loss=1.0)
'''


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "trainers").mkdir()
    (tmp_path / "trainers" / "mute.py").write_text(TRAINER)
    desk = Desk(tmp_path)
    yield desk
    desk.workers.close()


def begin(desk: Desk, way: str) -> None:
    message = prepare_message(desk.home, [], 600.0) | {"trainer": "mute", "config": {"way": way}}
    desk.workers.start(ATTEMPT, message)
    desk.await_(WorkerPrepared)
    desk.workers.go(ATTEMPT, desk.home / "run")


def test_a_run_that_cannot_speak_is_seen_to_compute(desk: Desk) -> None:
    begin(desk, "busy")
    readings = []
    while len(readings) < 2 or readings[-1] - readings[0] < 0.5:
        desk.workers.look(ATTEMPT, "heartbeat")
        readings.append(desk.await_(WorkerLookedAt).cpu_seconds)
    assert not any(isinstance(event, WorkerBeat) for event in desk.heard[-3:])
    desk.workers.end(ATTEMPT, "hung")
    ended = desk.await_(WorkerEnded)
    assert (ended.ended_by, ended.returncode, ended.survivors) == ("hung", -9, ())
    assert "in train" in ended.output_tail


def test_a_run_that_waits_for_ever_is_heard_and_ends_with_the_place_where_it_stood(desk: Desk) -> None:
    begin(desk, "deadlocked")
    first = desk.await_(WorkerBeat).cpu_seconds
    second = desk.await_(WorkerBeat).cpu_seconds
    assert first is not None
    assert second is not None
    assert second - first < 0.1
    desk.workers.end(ATTEMPT, "hung")
    assert "in wait_for_what_never_comes" in desk.await_(WorkerEnded).output_tail
    assert "in wait_for_what_never_comes" in (desk.home / "run/out.log").read_text()


def test_a_command_that_hangs_is_quoted_without_our_own_stack(desk: Desk) -> None:
    desk.start("echo at the wall; exec sleep 600")
    desk.await_(WorkerPrepared)
    desk.workers.go(ATTEMPT, desk.home / "run")
    desk.await_(WorkerBeat)
    desk.workers.end(ATTEMPT, "hung")
    assert desk.await_(WorkerEnded).output_tail == "at the wall\n"


def test_nobody_looks_at_a_worker_that_is_gone(desk: Desk) -> None:
    desk.workers.look("r/gone", "hung")
    assert desk.inbox.empty()
