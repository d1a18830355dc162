"""A real daemon and runs that hang, that finish unheard, or that have cgroups of their own."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from fakes.desk import is_running
from real_cgroup import made_cgroup, members
from real_home import Home, wait_until

HUNG_SECONDS = 2
IDLE = """
import time
print("Step 1 | val_acc: 0.5", flush=True)
time.sleep(3600)
"""


@pytest.mark.fault(
    "a program waits for what never comes",
    moment="after its first evaluation",
    outcome="`hung`, with what was seen of it; tried once more, then the task is parked",
)
def test_a_hung_run_is_tried_once_more_and_then_its_task_is_parked(home: Home) -> None:
    settings = home.paths.settings.read_text()
    home.paths.settings.write_text(f"{settings}hung_timeout_seconds = {HUNG_SECONDS}\n")
    (home.paths.root / "idle.py").write_text(IDLE)
    home.start()
    home.drop("stuck", home.spec("stuck").replace('"train.py", "{score}"', '"idle.py", "{score}"'))
    [finished] = home.wait_for("stuck")
    assert finished["outcome"] == "parked"
    ends = home.events("stuck", "run_finished")
    assert [(end["attempt"], end["status"], end["failure_class"]) for end in ends] == [
        (1, "failed", "hung"),
        (2, "failed", "hung"),
    ]
    seen = f"the run made no evaluation for {HUNG_SECONDS} s, in which its processes used 0.0 s of CPU time"
    assert all(end["error"].startswith(seen) for end in ends)
    assert ends[0]["run_dir"] != ends[1]["run_dir"]


@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="after a run has finished, before the daemon heard of it",
    outcome="the result is recovered from the run's folder, and the run is not repeated",
)
def test_a_run_that_finished_unheard_is_recovered_and_not_repeated(home: Home) -> None:
    process = home.start()
    home.drop("night", home.spec("night", seconds=1.0))
    [started] = home.wait_for("night", "run_started")
    [intended] = [r for r in home.events("night", "run_intended") if r["config"] == started["config"]]
    run = home.paths.round("night").run(intended["run_dir"])
    # Between the record and this its worker may still wait at the gate.
    wait_until(run.metrics.exists, "the beginning of the training")
    process.send_signal(signal.SIGSTOP)
    wait_until(run.result.exists, "the result")
    home.kill()
    home.start()
    first, *_ = home.wait_for("night", "run_finished")
    assert (first["config"], first["attempt"], first["status"]) == ("baseline", 1, "ok")
    assert first["is_recovered"] is True
    assert first["acc"] == 0.5
    first, second, *_ = home.wait_for("night", "run_started", count=2)
    assert (first["config"], second["config"]) == ("baseline", "good")


#: puts itself into a cgroup and becomes another program
JOIN = """
import os, sys
with open(sys.argv[1], "w") as procs:
    procs.write(str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


class GroupHome(Home):
    """A home whose daemon is started in a cgroup that is its own."""

    def __init__(self, root: Path, group: Path) -> None:
        super().__init__(root)
        self.group = group

    def command(self, *arguments: str) -> list[str]:
        command = super().command(*arguments)
        if arguments[0] != "daemon":
            return command
        return [sys.executable, "-c", JOIN, str(self.group / "cgroup.procs"), *command]


@pytest.fixture
def group_home(tmp_path: Path) -> Iterator[GroupHome]:
    with made_cgroup() as folder:
        home = GroupHome(tmp_path / "home", folder)
        yield home
        for process in home.processes:
            process.kill()
            process.wait()


#: leaves a child that nothing but the cgroup still ties to the run
STRAY = """
import os, subprocess, time
stray = subprocess.Popen(["env", "-i", "setsid", "sleep", "600"])
open("stray", "w").write(str(stray.pid))
print("Step 1 | val_acc: 0.5", flush=True)
time.sleep(3600)
"""


@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="while a run has children that left every trace of it but their cgroup",
    outcome="the next daemon ends them with the cgroup, and runs the attempt again in a new one",
)
def test_under_a_service_manager_each_attempt_has_a_cgroup_that_is_emptied(group_home: GroupHome) -> None:
    home = group_home
    (home.paths.root / "stray.py").write_text(STRAY)
    daemon = home.start()
    assert (home.group / "daemon/cgroup.procs").read_text().split() == [str(daemon.pid)]
    home.drop("night", home.spec("night").replace('"train.py", "{score}"', '"stray.py", "{score}"'))
    [started] = home.wait_for("night", "run_started")
    stray = int(
        wait_until(lambda: (path := home.paths.root / "stray").exists() and path.read_text(), "the stray")
    )
    [group] = [folder for folder in home.group.glob("attempt-*") if started["pid"] in members(folder)]
    assert stray in members(group)
    os.kill(started["pid"], signal.SIGSTOP)  # a worker that saw its daemon gone would end the stray itself
    home.kill()
    wait_until(lambda: not psutil.pid_exists(started["pid"]), "the end of the worker")
    assert is_running(stray)
    home.start()
    home.wait_for("night", "run_started", count=2)
    assert not group.exists()
    assert not is_running(stray)
    assert home.stop() == 0
    assert list(home.group.glob("attempt-*")) == []
