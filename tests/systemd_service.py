"""The system unit on a machine of a test: installed as a person would, started, asked, and left alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from real_home import SETTINGS, wait_until
from systemd_machine import USER, Machine, python_reads, why_none

from scheduler.effects.records import read_records
from scheduler.effects.unit_files import quoted
from scheduler.rounds.paths import HomePaths

PROGRAM = Path(sys.executable).with_name("schedctl")
#: for all services but the first: as soon again as a test wants
QUICK = "[Service]\nRestartSec=100ms\n"
#: The unit hides /home, /root and what is in /tmp: there the interpreter of a developer may lie, and the
#: checkout of a build.
REACH = f"""
[Service]
ProtectHome=tmpfs
BindReadOnlyPaths={" ".join(quoted(str(folder)) for folder in python_reads())}
"""

SPEC = """
round = "night"
[stages.quick]
time_budget_sec = 60
[policy]
name = "threshold"
[[tasks]]
name = "sums"
trainer = "command"
[tasks.args]
argv = ["sh", "-c", '''{before}echo "Step 1 | val_acc: {{score}}"''']
metrics = {{ acc = 'val_acc: (?P<value>[0-9.]+)' }}
[tasks.baseline]
score = 0.5
[tasks.variants.good]
score = 0.6
"""


def machine_with_the_unit() -> Machine:
    """A machine that runs, with the system unit installed; skips the test where none can be booted."""
    why = why_none()
    if why is not None:
        pytest.skip(f"no machine can be booted here: {why}")
    umask = os.umask(0o022)  # what is written here is the machine's, whatever a test has left behind
    machine = Machine()
    try:
        machine.write("/etc/systemd/system/roundhouse-.service.d/quick.conf", QUICK)
        for name in ("roundhouse", "roundhouse-"):
            machine.write(f"/etc/systemd/system/{name}.service.d/reach.conf", REACH)
        try:
            machine.boot()
        except AssertionError as error:
            pytest.skip(f"no machine can be booted here: {error}\n{machine.console()}")
        found = machine.run(sys.executable, "-c", "import scheduler.cli", user=USER)
        if found.returncode != 0:
            pytest.skip(f"a user of the machine cannot run {sys.executable}: {found.stderr.strip()}")
        installed = machine.schedctl("service", "install", "--system", "--program", str(PROGRAM))
        assert installed.returncode == 0, installed.stderr
    except BaseException:
        machine.close()
        raise
    finally:
        os.umask(umask)
    return machine


class Service:
    """One system service of the machine, and its home."""

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine, self.name = machine, name
        if name != "roundhouse":
            unit = machine.path("/etc/systemd/system/roundhouse.service").read_text()
            machine.write(f"/etc/systemd/system/{name}.service", unit)
        machine.path(f"/var/lib/{name}").mkdir(parents=True, exist_ok=True)
        machine.write(f"/var/lib/{name}/roundhouse.toml", SETTINGS)
        machine.systemctl("daemon-reload")

    @property
    def home(self) -> HomePaths:
        return HomePaths(self.machine.path(f"/var/lib/{self.name}"))

    def start(self, **options: Any) -> None:
        """Returns once systemd calls the service active."""
        self.machine.systemctl("start", self.name, **options)

    def drop_in(self, text: str) -> None:
        self.machine.write(f"/etc/systemd/system/{self.name}.service.d/test.conf", f"[Service]\n{text}\n")
        self.machine.systemctl("daemon-reload")

    def shown(self) -> dict[str, str]:
        return self.machine.shown(self.name)

    def state(self) -> tuple[str, str]:
        """The state of the unit, and how often it was started again."""
        shown = self.shown()
        return shown["ActiveState"], shown["NRestarts"]

    def comes_to(self, state: str, restarts: int) -> None:
        self._wait(lambda: self.state() == (state, str(restarts)), f"{state} after {restarts} restarts")

    def log(self) -> str:
        return self.home.launcher_log.read_text() if self.home.launcher_log.exists() else ""

    def journal(self) -> str:
        return self.machine.journal("--unit", self.name)

    def drop(self, text: str) -> None:
        """Put the spec of the round `night` into the queue, complete at once."""
        self.machine.write(f"/var/lib/{self.name}/.night.toml", text)
        hidden = self.home.root / ".night.toml"
        hidden.rename(self.home.queue / "night.toml")

    def events(self, event: str) -> list[dict[str, Any]]:
        path = self.home.round("night").records
        return [each for each in read_records(path) if each["event"] == event] if path.exists() else []

    def wait_for(self, event: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._wait(lambda: self.events(event), event)
        return found

    def _wait(self, condition: Callable[[], Any], what: str) -> Any:
        try:
            # Each question starts a program in the machine.
            return wait_until(condition, what, pause=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.journal()}") from error
