"""However much a run prints, it cannot fill the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.daemon import Worker
from fakes.printing import printed_by_command

from trainers._output import CAP_BYTES, DROPPED

CHATTY = '''
"""A trainer that prints more than anyone reads while it prepares."""
import subprocess
from trainers.contract import Evaluation, Fingerprint, TrainerConfig

class Config(TrainerConfig):
    pass

def fingerprint(config):
    return Fingerprint(digest="d")

def prepare(config, context):
    subprocess.run(["head", "-c", "80000000", "/dev/zero"], check=True)
    import time
    time.sleep(1.0)
    return config

def train(prepared, context):
    yield Evaluation(step=3, loss=1.0, acc=0.5)
'''


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    (tmp_path / "trainers").mkdir()
    (tmp_path / "trainers" / "chatty.py").write_text(CHATTY)
    worker = Worker(tmp_path)
    yield worker
    worker.close()


@pytest.mark.fault("a program prints without end", moment="a run", outcome="64 MiB are kept, the run goes on")
def test_a_program_that_prints_too_much_is_read_to_its_end_and_kept_up_to_the_cap(worker: Worker) -> None:
    size, result = printed_by_command(worker, 200_000_000)
    assert size <= CAP_BYTES + len(DROPPED)
    assert (result["status"], result["acc"]) == ("ok", 0.5)
    assert (worker.home / "run" / "out.log").read_bytes().rstrip().endswith(DROPPED.strip())


@pytest.mark.fault("a trainer prints without end", moment="preparing", outcome="64 MiB are kept")
def test_what_is_printed_while_preparing_is_capped_too(worker: Worker) -> None:
    worker.prepare(trainer="chatty")
    worker.hear("prepared")
    assert os.fstat(worker.output.fileno()).st_size <= CAP_BYTES
    worker.say("go", run_dir=str(worker.home / "run"))
    assert worker.hear("finished")["result"]["status"] == "ok"
    assert (worker.home / "run" / "out.log").stat().st_size <= CAP_BYTES + len(DROPPED)
