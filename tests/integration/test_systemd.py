"""The units under a real systemd: readiness, watchdog, restarts, exit codes, a stop, two users.

The tests share one machine, and one service where they can: a start costs more than what is tested after it.
tests/torture cuts the power of the machine.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator

import pytest
from real_home import wait_until
from systemd_machine import INIT, UID, USER, Machine
from systemd_service import SPEC, Service, machine_with_the_unit

from scheduler.rounds.paths import HomePaths

#: a run that a stop has to look for: half of it has left its session
LONG = 'touch "$HOME/written"; setsid sleep 4321 & sleep 4321; '
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


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    booted = machine_with_the_unit()
    yield booted
    booted.close()


@pytest.fixture
def running(machine: Machine) -> Service:
    """The service that the tests share. It is ready, whatever the test before left of it."""
    service = Service(machine, "roundhouse-shared")
    service.start()
    return service


@pytest.fixture
def service(machine: Machine, request: pytest.FixtureRequest) -> Iterator[Service]:
    """A service that is installed and has not been started."""
    made = Service(machine, f"roundhouse-{request.node.name.removeprefix('test_')[:40]}")
    yield made
    machine.systemctl("stop", made.name)


def test_active_means_ready(machine: Machine) -> None:
    service = Service(machine, "roundhouse-shared")
    machine.systemctl("stop", service.name)
    service.machine.systemctl("start", "--no-block", service.name)
    seen = []

    def active() -> bool:
        seen.append(service.state())
        assert seen[-1] in (("activating", "0"), ("active", "0")), service.journal()
        return seen[-1][0] == "active"

    wait_until(active, "the service is active")
    assert ("activating", "0") in seen
    assert " DAEMON started " in service.log()
    assert service.shown()["StatusText"] == "nothing runs: the queue is empty"
    assert " DAEMON started " in service.journal(), "the journal of the unit tells what launcher.log does"


@pytest.mark.fault(
    "kill -9 of the daemon under systemd", moment="while it waits", outcome="it is started again"
)
def test_a_killed_daemon_comes_back(running: Service) -> None:
    restarts, starts = int(running.shown()["NRestarts"]), running.log().count(" DAEMON started ")
    running.machine.systemctl("kill", "--signal=KILL", "--kill-who=main", running.name)
    running.comes_to("active", restarts=restarts + 1)
    wait_until(lambda: running.log().count(" DAEMON started ") == starts + 1, "the second start")


@pytest.mark.fault(
    "the daemon's loop hangs", moment="while it waits", outcome="systemd kills it and starts it again"
)
def test_a_daemon_whose_loop_stands_still_is_killed_and_comes_back(service: Service) -> None:
    service.drop_in("WatchdogSec=3s")
    service.start()
    first = service.shown()["MainPID"]
    service.machine.run("kill", "-STOP", first)
    service.comes_to("active", restarts=1)
    assert service.shown()["MainPID"] != first
    assert "Fatal Python error: Aborted" in service.journal(), "it says where it stood"
    # Its loop goes on for a moment before it dies, and no dump can follow a thread that runs: others stand.
    assert re.search(r'^  File ".*/scheduler/.*", line \d+ in ', service.journal(), re.MULTILINE)


@pytest.mark.fault(
    "a second daemon on the same home",
    moment="at its start",
    outcome="it ends with 75 and is not started again; the first is not disturbed",
)
def test_a_second_service_on_the_same_home_ends_and_stays_ended(running: Service, machine: Machine) -> None:
    before = running.state()
    second = Service(machine, f"{running.name}-2")
    folder = f"/var/lib/{running.name}"
    second.drop_in(f"Environment=ROUNDHOUSE_HOME={folder}\nReadWritePaths={folder}")
    assert machine.run("systemctl", "start", second.name).returncode != 0
    assert second.state() == ("failed", "0")
    assert second.shown()["ExecMainStatus"] == "75"
    assert "another daemon owns this home: process " in second.journal()
    assert running.state() == before


def test_a_drained_daemon_is_not_started_again(running: Service) -> None:
    starts = running.log().count(" DAEMON started ")
    drained = running.machine.schedctl("--home", f"/var/lib/{running.name}", "drain")
    assert drained.stdout == "draining\n", drained.stderr
    running.comes_to("inactive", restarts=0)
    assert running.log().count(" DAEMON started ") == starts
    assert running.shown()["Result"] == "success"


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
    wait_until(lambda: len(processes(machine, "sleep 4321")) == 2, "both halves of the run", pause=0.1)
    assert (service.home.root / "written").exists(), "the home of its user is the service's to write"
    group = f"/sys/fs/cgroup/system.slice/{service.name}.service"
    held = machine.run("sh", "-c", f"cat {group}/attempt-night_sums.quick.baseline.*/cgroup.procs").stdout
    assert set(processes(machine, "sleep 4321")) <= set(held.split())
    machine.systemctl("stop", service.name)
    assert service.state()[0] == "inactive"
    assert service.shown()["Result"] == "success"
    assert processes(machine, "sleep 4321") == []
    assert not machine.path(group).exists()
    assert [end["status"] for end in service.events("run_finished")] == ["cancelled"]


def test_the_queue_is_the_groups_to_write(machine: Machine) -> None:
    home = Service(machine, "roundhouse").home
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (home.root, home.queue)}
    assert modes == {"roundhouse": 0o2750, "queue": 0o2770}


def test_a_user_has_it_installed_and_removed_in_her_own_systemd(machine: Machine) -> None:
    own = {"XDG_RUNTIME_DIR": f"/run/user/{UID}"}
    home = HomePaths(machine.path(f"/home/{USER}/search 100%"))
    asked = ("--home", f"/home/{USER}/search 100%", "service")

    def systemctl(*arguments: str) -> str:
        return machine.run("systemctl", "--user", *arguments, user=USER, env=own).stdout.strip()

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


def processes(machine: Machine, words: str) -> list[str]:
    return machine.run("pgrep", "--full", "--exact", words).stdout.split()
