"""Would systemd accept the unit, and does it treat exit codes and crashes as the daemon means them?"""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from scheduler.rounds.errors import AlreadyRunningError, CorruptRecordsError, SettingsError

UNIT = Path(__file__).parents[2] / "systemd" / "roundhouse.service"


@pytest.fixture
def service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(UNIT)
    return unit["Service"]


def test_the_unit_is_correct(tmp_path: Path) -> None:
    verifier = shutil.which("systemd-analyze")
    if verifier is None:
        pytest.skip("no systemd-analyze")
    program = tmp_path / ".local" / "bin" / "schedctl"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    verified = subprocess.run(
        [verifier, "--user", "verify", "--man=no", "--recursive-errors=yes", UNIT],
        env=os.environ | {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(runtime)},
        capture_output=True,
        text=True,
    )
    assert (verified.returncode, verified.stderr) == (0, "")


def test_errors_that_need_a_person_are_not_restarted(service: configparser.SectionProxy) -> None:
    final = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert final == {error.exit_code for error in (SettingsError, AlreadyRunningError, CorruptRecordsError)}
    assert service["Restart"] == "always"


def test_a_stop_reaches_the_daemon_first_and_leaves_nothing(service: configparser.SectionProxy) -> None:
    assert service["KillMode"] == "mixed"
    assert service["OOMPolicy"] == "continue"
