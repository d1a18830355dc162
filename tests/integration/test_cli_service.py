"""schedctl service, where no systemd listens: what it writes and refuses, and what it says to do instead."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from scheduler.cli import main
from scheduler.effects.systemctl import NoSystemdError, Systemctl, SystemdRefusedError

ROOT = Path(__file__).parents[2]
UNIT = "etc/systemd/system/roundhouse.service"
FILES = (UNIT, "etc/sysusers.d/roundhouse.conf", "etc/tmpfiles.d/roundhouse.conf")
Said = pytest.CaptureFixture[str]


def test_the_unit_is_shown_with_this_home_and_nothing_is_written(tmp_path: Path, capsys: Said) -> None:
    assert main(["--home", str(tmp_path / "home"), "service", "show"]) == 0
    shown = capsys.readouterr().out
    assert f"Environment=ROUNDHOUSE_HOME={tmp_path}/home\n" in shown
    assert shown.endswith("WantedBy=default.target\n")
    assert list(tmp_path.iterdir()) == []


class TestPackage:
    def test_the_system_unit_is_written_below_a_folder_once_and_removed_again(
        self, tmp_path: Path, capsys: Said
    ) -> None:
        install = [
            "service",
            "install",
            "--system",
            "--root",
            str(tmp_path),
            "--program",
            "/usr/bin/schedctl",
        ]
        remove = ["service", "remove", "--system", "--root", str(tmp_path)]
        assert main(install) == 0
        assert capsys.readouterr().out == "".join(f"wrote {tmp_path / file}\n" for file in FILES)
        assert "ExecStart=/usr/bin/schedctl daemon\n" in (tmp_path / UNIT).read_text()
        assert {(tmp_path / file).stat().st_mode & 0o777 for file in FILES} == {0o644}
        assert main(install) == 0
        assert capsys.readouterr().out == "".join(f"unchanged: {tmp_path / file}\n" for file in FILES)
        assert main(remove) == 0
        gone = "".join(f"removed {tmp_path / file}\n" for file in FILES)
        assert capsys.readouterr().out == f"{gone}queue and results stay\n"
        assert main(remove) == 0
        assert capsys.readouterr().out == "roundhouse is not installed\n"

    def test_make_hands_its_variables_on(self, tmp_path: Path) -> None:
        if shutil.which("make") is None or not (ROOT / ".venv/bin/schedctl").exists():
            pytest.skip("no make, or no .venv in the checkout")
        # As it is: a test installs nothing into the checkout's environment.
        make = ["make", "--old-file=.venv/.installed", "SYSTEM=1", f"DESTDIR={tmp_path}", "PREFIX=/usr"]
        unit = tmp_path / "usr/lib/systemd/system/second.service"
        subprocess.run([*make, "SERVICE_NAME=second", "install-service"], cwd=ROOT, check=True)
        assert unit.exists()
        subprocess.run([*make, "SERVICE_NAME=second", "uninstall-service"], cwd=ROOT, check=True)
        assert not unit.exists()

    def test_another_home_than_its_own_is_asked_for_in_a_drop_in(self, capsys: Said) -> None:
        assert main(["--home", "/data", "service", "install", "--system", "--root", "/nowhere"]) == 2
        assert "another home is named in a drop-in" in capsys.readouterr().err


class TestRefusals:
    def test_root_is_told_not_to_run_every_spec_as_root(
        self, capsys: Said, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("os.geteuid", lambda: 0)
        assert main(["service", "install"]) == 2
        assert "install as the researcher, without sudo" in capsys.readouterr().err

    @pytest.mark.parametrize("verb", ["install", "remove"])
    def test_a_user_is_told_that_the_system_unit_needs_root(
        self, capsys: Said, monkeypatch: pytest.MonkeyPatch, verb: str
    ) -> None:
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        assert main(["service", verb, "--system"]) == 2
        error = capsys.readouterr().err
        assert "the system unit needs root: sudo /" in error
        assert error.endswith(f" service {verb} --system\n")

    def test_a_user_unit_has_no_root_folder(self, capsys: Said) -> None:
        assert main(["service", "install", "--root", "/nowhere"]) == 2
        assert "--root and --prefix are for --system" in capsys.readouterr().err

    def test_without_systemd_it_says_what_to_do_instead(self, tmp_path: Path) -> None:
        with pytest.raises(NoSystemdError, match=r"no systemctl here. Run `schedctl daemon` in tmux"):
            Systemctl(is_system=True, environment={"PATH": str(tmp_path)})
        with pytest.raises(NoSystemdError, match="was not booted with systemd"):
            self.systemctl(tmp_path, "true", booted=tmp_path / "missing")

    def test_without_a_systemd_of_the_user_it_says_how_to_get_one(self, tmp_path: Path) -> None:
        with pytest.raises(NoSystemdError, match=r"loginctl enable-linger"):
            self.systemctl(tmp_path, "true", is_system=False)

    def test_what_systemd_refuses_is_told_in_its_own_words(self, tmp_path: Path) -> None:
        systemd = self.systemctl(tmp_path, "echo Access denied >&2; false")
        with pytest.raises(SystemdRefusedError, match=r"`systemctl daemon-reload` failed: Access denied"):
            systemd.ask("daemon-reload")

    def systemctl(
        self, folder: Path, does: str, *, booted: Path | None = None, is_system: bool = True
    ) -> Systemctl:
        fake = folder / "systemctl"
        fake.write_text(f"#!/bin/sh\n{does}\n")
        fake.chmod(0o755)
        environment = {"PATH": f"{folder}:{os.environ['PATH']}", "XDG_RUNTIME_DIR": str(folder)}
        return Systemctl(is_system=is_system, environment=environment, booted=booted or folder)
