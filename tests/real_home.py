"""A real home with a real daemon on it, as a user sees them, and waiting on conditions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scheduler.effects.records import read_records
from scheduler.rounds.paths import HomePaths

#: patient enough for a busy machine; a test that passes does not wait for it
PATIENCE_SECONDS = 90.0

SETTINGS = """
device = "cpu"
quiet_period_seconds = 2.0
rescan_seconds = 1.0
grace_seconds = 1.0
disk_floor_mib = 1
"""

TRAIN = """
import sys, time
score, seconds = float(sys.argv[1]), float(sys.argv[2])
for step in (1, 2):
    print(f"Step {step} | val_acc: {score / 2 * step:.4f}", flush=True)
    time.sleep(seconds / 2)
"""

SPEC = """
round = "{name}"
[stages.quick]
time_budget_sec = 60
[stages.medium]
time_budget_sec = 120
[policy]
name = "threshold"
d_acc = 0.3
[[tasks]]
name = "sums"
trainer = "command"
[tasks.args]
inputs = ["train.py"]
argv = ["python3", "train.py", "{{score}}", "{{pause}}"]
metrics = {{ acc = 'val_acc: (?P<value>[0-9.]+)' }}
[tasks.baseline]
score = 0.5
pause = {seconds}
[tasks.variants.good]
score = 0.6
pause = {seconds}
[tasks.variants.bad]
score = 0.4
pause = {seconds}
"""


def wait_until(
    condition: Callable[[], Any],
    what: str = "the condition",
    seconds: float = PATIENCE_SECONDS,
    *,
    pause: float = 0.02,
) -> Any:
    """The first true value of `condition`, asked for again and again."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(pause)
    raise AssertionError(f"{what} did not come true within {seconds:g} s")


#: asks schedctl in the test's own process: exit status, stdout and stderr
Ask = Callable[..., tuple[int, str, str]]


class Home:
    """A home and the daemon on it, as a user sees them."""

    def __init__(self, root: Path, output: Path | None = None) -> None:
        self.paths = HomePaths(root)
        #: where daemons print; elsewhere than on the disk of a home that fills up or goes away
        self._output = output or root / "daemon.out"
        for folder in self.paths.folders():
            folder.mkdir(parents=True, exist_ok=True)
        self.paths.settings.write_text(SETTINGS)
        (root / "train.py").write_text(TRAIN)
        self.processes: list[subprocess.Popen[str]] = []

    def schedctl(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a verb on this home to its end."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.paths.root,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
            **options,
        )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-P", "-m", "scheduler.cli", "--home", str(self.paths.root), *arguments]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A daemon in the background, past its start."""
        starts = self._starts()
        process = self.spawn(self.command("daemon", *arguments))
        wait_until(
            lambda: self.log().count("DAEMON started") > starts or process.poll() is not None,
            "the daemon's start",
        )
        assert process.poll() is None, self.output()
        return process

    def spawn(self, command: list[str]) -> subprocess.Popen[str]:
        """A process in the background that is gone when the test is over; what it says is in `output`."""
        with self._output.open("a") as output:
            process = subprocess.Popen(
                command,
                cwd=self.paths.root,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        self.processes.append(process)
        return process

    def close(self) -> None:
        """End whatever was spawned."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _starts(self) -> int:
        return self.log().count("DAEMON started")

    def kill(self) -> None:
        """kill -9 of the daemon."""
        self.processes[-1].send_signal(signal.SIGKILL)
        self.processes[-1].wait()

    def stop(self) -> int:
        """An orderly end of the daemon."""
        self.processes[-1].send_signal(signal.SIGTERM)
        return self.processes[-1].wait(timeout=PATIENCE_SECONDS)

    def spec(self, name: str, seconds: float = 0.0) -> str:
        return SPEC.format(name=name, seconds=seconds)

    def set(self, key: str, value: str) -> None:
        """Set a key of the settings, for the next daemon."""
        lines = self.paths.settings.read_text().splitlines()
        kept = [line for line in lines if line.partition("=")[0].strip() != key]
        self.paths.settings.write_text("\n".join([*kept, f"{key} = {value}", ""]))

    def drop(self, name: str, text: str) -> None:
        """Put a spec into the queue by rename, so that it is taken at once."""
        self.drop_file(f"{name}.toml", text.encode())

    def drop_file(self, name: str, data: bytes) -> None:
        """The same for any file."""
        temporary = self.paths.root / ".dropped"
        temporary.write_bytes(data)
        past = time.time() - 10
        os.utime(temporary, (past, past))
        temporary.rename(self.paths.queue / name)

    def records(self, round_id: str) -> list[dict[str, Any]]:
        path = self.paths.round(round_id).records
        return list(read_records(path)) if path.exists() else []

    def events(self, round_id: str, event: str) -> list[dict[str, Any]]:
        return [record for record in self.records(round_id) if record["event"] == event]

    def wait_for(self, round_id: str, event: str = "round_finished", count: int = 1) -> list[dict[str, Any]]:
        """The records of `event`, once there are `count` of them."""
        found: list[dict[str, Any]] = wait_until(
            lambda: len(found := self.events(round_id, event)) >= count and found,
            f"{event} of {round_id}\n{self.output()}\n",
        )
        return found

    def log(self) -> str:
        return self.paths.launcher_log.read_text() if self.paths.launcher_log.exists() else ""

    def output(self) -> str:
        return self._output.read_text() if self._output.exists() else ""
