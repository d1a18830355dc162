"""How is systemd told of a new unit, and what keeps it from listening?"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from scheduler.rounds.errors import RoundhouseError

#: exists on a machine that systemd has booted
_BOOTED = Path("/run/systemd/system")
_PATIENCE_SECONDS = 120.0


class NoSystemdError(RoundhouseError):
    """No systemd can be asked to look after a daemon."""


class SystemdRefusedError(RoundhouseError):
    """systemd did not do what it was asked for."""


class Systemctl:
    """The systemd of the machine, or this user's own."""

    def __init__(
        self, *, is_system: bool, environment: Mapping[str, str] = os.environ, booted: Path = _BOOTED
    ) -> None:
        """Raises NoSystemdError, which says what to do instead."""
        if shutil.which("systemctl", path=environment.get("PATH")) is None:
            raise NoSystemdError("there is no systemctl here. " + _INSTEAD)
        if not booted.is_dir():
            raise NoSystemdError("this machine was not booted with systemd (is it a container?). " + _INSTEAD)
        self._command = ["systemctl"] if is_system else ["systemctl", "--user"]
        self._environment = dict(environment)
        if not is_system:
            self._environment["XDG_RUNTIME_DIR"] = str(_runtime_folder(environment))

    def ask(self, *arguments: str) -> str:
        """What systemctl answers. Raises SystemdRefusedError where it fails."""
        done = self._run(*self._command, *arguments)
        if done.returncode != 0:
            command = " ".join([*self._command, *arguments])
            raise SystemdRefusedError(f"`{command}` failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout.strip()

    def is_active(self, name: str) -> bool:
        """Whether the unit runs, or is about to."""
        return self._run(*self._command, "is-active", name).stdout.strip() in ("active", "activating")

    def apply(self, program: str, path: Path) -> None:
        """Have systemd-sysusers or systemd-tmpfiles make what the file at `path` asks for."""
        options = ["--create"] if program == "systemd-tmpfiles" else []
        done = self._run(program, *options, str(path))
        if done.returncode != 0:
            raise SystemdRefusedError(f"`{program} {path}` failed: {done.stderr.strip()}")

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_PATIENCE_SECONDS,
                check=False,
            )
        except FileNotFoundError as error:
            raise NoSystemdError(f"there is no {command[0]} here; install the package that has it") from error
        except subprocess.TimeoutExpired as error:
            raise SystemdRefusedError(
                f"`{' '.join(command)}` does not answer; is the machine busy?"
            ) from error


_INSTEAD = (
    "Run `schedctl daemon` in tmux, or under the supervisor you have;"
    " `schedctl service show` prints the unit that systemd would get."
)


def _runtime_folder(environment: Mapping[str, str]) -> Path:
    """Where this user's systemd listens. Raises NoSystemdError."""
    usual = f"/run/user/{os.getuid()}"
    for folder in (Path(environment.get("XDG_RUNTIME_DIR") or usual), Path(usual)):
        if (folder / "systemd" / "private").exists():
            return folder
    raise NoSystemdError(
        "no systemd of yours is running: log in directly (not with su or sudo), or have it kept running with"
        " `sudo loginctl enable-linger $USER`; then try again"
    )
