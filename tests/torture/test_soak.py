"""A daemon that makes thousands of runs holds what it held after the first few."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from real_home import Home, wait_until

#: runs of a round; what is kept of a round that has ended is little, and this finds what is not
ROUND = 500
#: the first of them fill what every daemon has: imports, pools of memory, the largest state of a round
WARM_UP = 2 * ROUND
MOST_BYTES_A_RUN = 1024

#: whoever does nothing but answer is the cheapest worker there is
TRAINER = """
from collections.abc import Iterator

from trainers.contract import Context, Evaluation, Fingerprint, TrainerConfig


class Config(TrainerConfig):
    x: float = 0.5


def fingerprint(config: Config) -> Fingerprint:
    return Fingerprint(digest="trivial")


def prepare(config: Config, context: Context) -> Config:
    return config


def train(prepared: Config, context: Context) -> Iterator[Evaluation]:
    yield Evaluation(step=1, loss=1.0 - prepared.x, acc=prepared.x)
"""

SPEC = """
round = "{name}"
[policy]
name = "threshold"
d_acc = 100.0
[stages.quick]
max_steps = 1
time_budget_sec = 30
[[tasks]]
name = "trivial"
trainer = "trivial"
[tasks.baseline]
x = {base}
[tasks.grid]
x = {values}
"""


def specs(runs: int) -> Iterator[tuple[str, str]]:
    """Rounds of different runs, so many in all."""
    for first in range(0, runs, ROUND):
        count = min(ROUND, runs - first)
        values = [(first + number + 1) / (2 * runs) for number in range(1, count)]
        name = f"soak{first:06d}"
        yield name, SPEC.format(name=name, base=(first + 1) / (2 * runs), values=values)


def held(daemon: psutil.Process) -> tuple[int, int, int, int, set[str]]:
    """Processes, zombies, threads, open files, and segments of shared memory."""
    children = daemon.children(recursive=True)
    zombies = sum(child.status() == psutil.STATUS_ZOMBIE for child in children)
    segments = set(os.listdir("/dev/shm")) if Path("/dev/shm").exists() else set()
    return len(children), zombies, daemon.num_threads(), daemon.num_fds(), segments


@pytest.mark.fault(
    "something is left behind by a run",
    moment="over 10,000 runs of one daemon",
    outcome="no process, thread, open file or shared memory is left, and memory grows by at most 1 KiB a run",
)
@pytest.mark.amount("runs")
def test_thousands_of_runs_leave_nothing_and_cost_no_memory(home: Home, amount: int) -> None:
    home.paths.trainers.mkdir()
    (home.paths.trainers / "trivial.py").write_text(TRAINER)
    daemon = psutil.Process(home.start().pid)
    done, before, bytes_before, runs_before = 0, None, 0, 0
    for name, text in specs(WARM_UP + amount):
        home.drop(name, text)
        wait_until(lambda name=name: home.events(name, "round_finished"), f"the end of {name}", seconds=1e5)
        wait_until(lambda: not daemon.children(recursive=True), "the end of the report's process")
        done += len(home.events(name, "run_started"))
        if before is None and done >= WARM_UP:
            before, bytes_before, runs_before = held(daemon), daemon.memory_info().rss, done
        print(f"{done} runs, {daemon.memory_info().rss / 2**20:.1f} MiB, {held(daemon)[:4]}")
    assert before is not None
    assert done - runs_before >= amount
    wait_until(lambda: held(daemon) == before, f"what was held before ({before}, now {held(daemon)})")
    grown = daemon.memory_info().rss - bytes_before
    bytes_a_run = grown / (done - runs_before)
    print(f"{bytes_a_run:.0f} bytes a run over {done - runs_before} runs, {held(daemon)[2]} threads")
    assert bytes_a_run <= MOST_BYTES_A_RUN
