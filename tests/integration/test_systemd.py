"""The units under a real systemd: readiness, watchdog, restarts, exit codes, a stop, a power cut, two users.

Each test has a service of its own, and the machine that they share is booted in half a second.
"""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_home import SETTINGS, wait_until
from systemd_machine import INIT, UID, USER, Machine, why_none

from scheduler.effects.records import read_records
from scheduler.rounds.paths import HomePaths

PROGRAM = Path(sys.executable).with_name("schedctl")
#: for all services but the first: as soon again, and as soon noticed, as a test wants
QUICK = "[Service]\nRestartSec=100ms\n"
#: the interpreter of a developer may lie in a home folder, like other people's data
REACH = f"""
[Service]
ProtectHome=tmpfs
BindReadOnlyPaths={Path(sys.base_prefix).resolve()} {Path(sys.prefix)}
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
#: a run that a stop has to look for: half of it has left its session
LONG = "setsid sleep 4321 & sleep 4321; "


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

    def start(self) -> None:
        """Returns once systemd calls the service active."""
        self.machine.systemctl("start", self.name)

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
        wait_until(lambda: self.state() == (state, str(restarts)), f"{state}\n{self.journal()}", pause=0.1)

    def log(self) -> str:
        return self.home.launcher_log.read_text() if self.home.launcher_log.exists() else ""

    def journal(self) -> str:
        return self.machine.journal("--unit", self.name)

    def drop(self, text: str) -> None:
        self.machine.write(f"/var/lib/{self.name}/.night.toml", text)
        hidden = self.home.root / ".night.toml"
        hidden.rename(self.home.queue / "night.toml")

    def events(self, event: str) -> list[dict[str, Any]]:
        path = self.home.round("night").records
        return [each for each in read_records(path) if each["event"] == event] if path.exists() else []

    def wait_for(self, event: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = wait_until(lambda: self.events(event), f"{event}\n{self.journal()}")
        return found


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    why = why_none()
    if why is not None:
        pytest.skip(f"no machine can be booted here: {why}")
    booted = Machine()
    try:
        booted.write("/etc/systemd/system/roundhouse-.service.d/quick.conf", QUICK)
        for folder in ("roundhouse", "roundhouse-"):
            booted.write(f"/etc/systemd/system/{folder}.service.d/reach.conf", REACH)
        booted.boot()
        installed = booted.schedctl("service", "install", "--system", "--program", str(PROGRAM))
        assert installed.returncode == 0, installed.stderr
        yield booted
    finally:
        booted.close()


@pytest.fixture
def service(machine: Machine, request: pytest.FixtureRequest) -> Iterator[Service]:
    """A service that is installed and has not been started."""
    made = Service(machine, f"roundhouse-{request.node.name.removeprefix('test_')[:40]}")
    yield made
    machine.systemctl("stop", made.name)


def test_active_means_ready(service: Service) -> None:
    service.machine.systemctl("start", "--no-block", service.name)
    seen = []
    while not seen or seen[-1] != "active":
        seen.append(service.shown()["ActiveState"])
        assert seen[-1] in ("activating", "active"), service.journal()
    assert "activating" in seen
    assert " DAEMON started " in service.log()
    assert service.shown()["StatusText"] == "nothing runs: the queue is empty"
    assert " DAEMON started " in service.journal(), "the journal of the unit tells what launcher.log does"


@pytest.mark.fault(
    "kill -9 of the daemon under systemd", moment="while it waits", outcome="it is started again"
)
def test_a_killed_daemon_comes_back(service: Service) -> None:
    service.start()
    service.machine.systemctl("kill", "--signal=KILL", "--kill-who=main", service.name)
    service.comes_to("active", restarts=1)
    wait_until(lambda: service.log().count(" DAEMON started ") == 2, "the second start")


@pytest.mark.fault(
    "the daemon's loop hangs", moment="while it waits", outcome="systemd kills it and starts it again"
)
def test_a_daemon_whose_loop_stands_still_is_killed_and_comes_back(service: Service) -> None:
    service.drop_in("WatchdogSec=1s")
    service.start()
    first = service.shown()["MainPID"]
    service.machine.run("kill", "-STOP", first)
    service.comes_to("active", restarts=1)
    assert service.shown()["MainPID"] != first
    assert "Fatal Python error: Aborted" in service.journal(), "it says where it stood"
    assert "in _next_item" in service.journal()


def test_a_drained_daemon_is_not_started_again(service: Service) -> None:
    service.start()
    drained = service.machine.schedctl("--home", f"/var/lib/{service.name}", "drain")
    assert drained.stdout == "draining\n", drained.stderr
    service.comes_to("inactive", restarts=0)
    assert service.shown()["Result"] == "success"


@pytest.mark.fault(
    "a second daemon on the same home",
    moment="at its start",
    outcome="it ends with 75 and is not started again; the first is not disturbed",
)
def test_a_second_service_on_the_same_home_ends_and_stays_ended(service: Service, machine: Machine) -> None:
    service.start()
    second = Service(machine, f"{service.name}-2")
    folder = f"/var/lib/{service.name}"
    second.drop_in(f"Environment=ROUNDHOUSE_HOME={folder}\nReadWritePaths={folder}")
    assert machine.run("systemctl", "start", second.name).returncode != 0
    assert second.state() == ("failed", "0")
    assert second.shown()["ExecMainStatus"] == "75"
    assert "another daemon owns this home: process " in second.journal()
    assert service.state() == ("active", "0")


@pytest.mark.fault(
    "settings that cannot be used",
    moment="at the start of the service",
    outcome="it ends with 64 and the reason in its journal, and is not started again",
)
def test_bad_settings_end_the_service_with_the_reason(service: Service, machine: Machine) -> None:
    machine.write(f"/var/lib/{service.name}/roundhouse.toml", 'device = "gpu"\n')
    assert machine.run("systemctl", "start", service.name).returncode != 0
    assert service.state() == ("failed", "0")
    assert service.shown()["ExecMainStatus"] == "64"
    assert "device: must be" in service.journal()


@pytest.mark.fault(
    "the service is stopped",
    moment="during a run with processes that left its session",
    outcome="no process is left; the run is tried again after the next start",
)
def test_a_stop_leaves_no_process(service: Service, machine: Machine) -> None:
    service.start()
    service.drop(SPEC.format(before=LONG))
    service.wait_for("run_started")
    wait_until(lambda: len(processes(machine, "sleep 4321")) == 2, "both halves of the run")
    group = f"/sys/fs/cgroup/system.slice/{service.name}.service"
    held = machine.run("sh", "-c", f"cat {group}/attempt-night_sums.quick.baseline.*/cgroup.procs").stdout
    assert set(processes(machine, "sleep 4321")) <= set(held.split())
    machine.systemctl("stop", service.name)
    assert service.state()[0] == "inactive"
    assert service.shown()["Result"] == "success"
    assert processes(machine, "sleep 4321") == []
    assert not machine.path(group).exists()
    assert [end["status"] for end in service.events("run_finished")] == ["cancelled"]


def test_members_of_the_group_submit_and_the_hardened_unit_runs_what_they_ask_for(machine: Machine) -> None:
    service = Service(machine, "roundhouse")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (service.home.root, service.home.queue)}
    assert modes == {"roundhouse": 0o2750, "queue": 0o2770}
    service.start()
    machine.write(f"/home/{USER}/night.toml", SPEC.format(before=""))
    submit = ("--home", "/var/lib/roundhouse", "submit", f"/home/{USER}/night.toml")
    assert "no permission" in machine.schedctl(*submit, user=USER).stderr
    machine.run("usermod", "--append", "--groups", "roundhouse", USER)
    submitted = machine.schedctl(*submit, user=USER)
    assert submitted.returncode == 0, submitted.stderr
    service.wait_for("round_finished")
    assert [end["status"] for end in service.events("run_finished")] == ["ok", "ok"]
    told = machine.schedctl("--home", "/var/lib/roundhouse", "show", "night", user=USER)
    assert "good" in told.stdout, told.stderr
    machine.systemctl("stop", "roundhouse")


def test_a_user_has_it_installed_and_removed_in_her_own_systemd(machine: Machine) -> None:
    own = {"XDG_RUNTIME_DIR": f"/run/user/{UID}"}
    home = HomePaths(machine.path(f"/home/{USER}/search 100%"))
    asked = ("--home", f"/home/{USER}/search 100%", "service")

    def systemctl(*arguments: str) -> str:
        return machine.run("systemctl", "--user", *arguments, user=USER, env=own).stdout.strip()

    without = machine.schedctl(*asked, "install", user=USER)
    assert "no systemd of yours is running: log in directly" in without.stderr
    machine.write("/etc/systemd/system/ada.service", USER_SYSTEMD)
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "ada")
    installed = machine.schedctl(*asked, "install", user=USER)
    assert installed.returncode == 0, installed.stderr
    assert "  systemctl --user enable --now roundhouse\n" in installed.stdout
    assert "  loginctl enable-linger " in installed.stdout
    systemctl("enable", "--now", "roundhouse")
    assert systemctl("is-active", "roundhouse") == "active"
    assert " DAEMON started " in home.launcher_log.read_text()
    again = machine.schedctl(*asked, "install", user=USER)
    assert "unchanged: " in again.stdout
    assert "roundhouse runs already, as it is written\n" in again.stdout
    removed = machine.schedctl(*asked, "remove", user=USER)
    assert removed.stdout.endswith("queue and results stay\n"), removed.stderr
    assert systemctl("is-active", "roundhouse") == "inactive"
    assert " STOP " in home.launcher_log.read_text()
    machine.systemctl("stop", "ada")


#: what a login starts for a user: user@.service, without the PAM of a machine that nobody logs in to
USER_SYSTEMD = f"""
[Service]
Type=notify
User={USER}
RuntimeDirectory=user/{UID}
RuntimeDirectoryMode=0700
Environment=XDG_RUNTIME_DIR=/run/user/{UID}
ExecStart={INIT} --user
Delegate=yes
KillMode=mixed
"""


@pytest.mark.timeout(200)
@pytest.mark.fault(
    "a power cut of the whole machine",
    moment="while a run trains",
    outcome="after the next boot the attempt is lost, the run is tried again and the round ends",
)
def test_after_a_power_cut_the_round_goes_on(machine: Machine) -> None:
    service = Service(machine, "roundhouse-reboot")
    service.machine.systemctl("enable", service.name)
    service.start()
    flag = f"/var/lib/{service.name}/rebooted"
    service.drop(SPEC.format(before=f"test -e {flag} || sleep 4321; "))
    service.wait_for("run_started")
    machine.cut_power()
    machine.write(flag, "")
    machine.boot()
    service.wait_for("round_finished")
    lost, *rest = service.events("run_finished")
    assert (lost["status"], lost["attempt"]) == ("lost", 1)
    assert [end["status"] for end in rest] == ["ok", "ok"]
    assert service.state() == ("active", "0")
    machine.systemctl("disable", "--now", service.name)


def processes(machine: Machine, words: str) -> list[str]:
    return machine.run("pgrep", "--full", "--exact", words).stdout.split()
