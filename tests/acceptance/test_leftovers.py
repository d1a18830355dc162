"""However many runs a daemon has made, it holds what it held after the first few."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
from real_home import Home, wait_until

SPEC = """
round = "{name}"
[policy]
name = "threshold"
d_acc = 100.0
[stages.quick]
max_steps = 1
time_budget_sec = 30
[[tasks]]
name = "sums"
trainer = "command"
[tasks.args]
argv = ["sh", "-c", "echo acc={{x}}"]
metrics = {{ acc = 'acc=(?P<value>[0-9.]+)' }}
[tasks.baseline]
x = 0.5
[tasks.grid]
x = {values}
"""


def held(daemon: psutil.Process) -> tuple[int, int, int, set[str]]:
    """Processes, threads, open files, and segments of shared memory."""
    segments = set(os.listdir("/dev/shm")) if Path("/dev/shm").exists() else set()
    return len(daemon.children(recursive=True)), daemon.num_threads(), daemon.num_fds(), segments


def is_ready(home: Home, daemon: psutil.Process) -> bool:
    """Whether it has told its status, which comes last, and watches its folders, which a thread begins."""
    names = (path.read_text() for path in Path(f"/proc/{daemon.pid}/task").glob("*/comm"))
    return home.paths.status.exists() and any(name.startswith("notify") for name in names)


@pytest.mark.fault(
    "something is left behind by a run",
    moment="over many runs of one daemon",
    outcome="processes, threads, open files and shared memory stay as many as after the first runs",
)
@pytest.mark.timeout(200)
def test_many_runs_leave_no_process_thread_open_file_or_shared_memory(home: Home) -> None:
    daemon = psutil.Process(home.start().pid)
    wait_until(lambda: is_ready(home, daemon), "everything that serves an idle daemon")
    threads = daemon.num_threads()
    home.drop("few", SPEC.format(name="few", values=[0.1, 0.2]))
    home.wait_for("few")
    wait_until(lambda: not daemon.children(recursive=True), "the end of the report's process")
    wait_until(lambda: daemon.num_threads() == threads, f"as many threads as at the start ({threads})")
    before = held(daemon)
    home.drop("many", SPEC.format(name="many", values=[number / 100 for number in range(21, 41)]))
    home.wait_for("many")
    assert len(home.events("many", "run_started")) >= 20
    wait_until(lambda: held(daemon) == before, f"what was held before ({before}, now {held(daemon)})")
