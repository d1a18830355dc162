"""How does a daemon become a service that comes back after crashes, logouts and reboots?"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import typer

from scheduler.cli.home import made_home
from scheduler.cli.saying import say
from scheduler.cli.service_arguments import (
    IsSystem,
    Name,
    Prefix,
    Program,
    Root,
    chosen_service,
    place_of,
)
from scheduler.effects.systemctl import Systemctl
from scheduler.effects.unit_files import Service, hidden_part, write
from scheduler.report.printable import one_line
from scheduler.rounds.errors import UsageError
from scheduler.rounds.paths import HomePaths

_LINGER = Path("/var/lib/systemd/linger")


def install_service(
    context: typer.Context,
    name: Name = "roundhouse",
    is_system: IsSystem = False,
    root: Root = None,
    prefix: Prefix = "",
    program: Program = None,
) -> None:
    """Write the unit, with this program and home in it.

    Nothing is started: what to type next is said. Called again it writes what has changed, and no more.
    """
    service = chosen_service(context, name, is_system=is_system, program=program)
    files = service.files(place_of(root, prefix, is_system=is_system), prefix)
    if root is not None:
        _say_written(files, write(files))
        return
    if is_system:
        _require_fit(program)
    systemd = Systemctl(is_system=is_system)
    changed = write(files)
    _say_written(files, changed)
    if is_system:
        for path in files:
            if path.suffix == ".conf":
                systemd.apply(f"systemd-{path.parent.name.removesuffix('.d')}", path)
    else:
        say(f"the home is {one_line(str(made_home(context.obj).root))}")
    systemd.ask("daemon-reload")
    for line in _next_steps(service, is_running=systemd.is_active(name), is_changed=bool(changed)):
        say(line)


def _require_fit(program: Path | None) -> None:
    """Raises UsageError where the system unit could not be written, or its user not start the program."""
    if os.geteuid() != 0:
        raise UsageError(
            f"the system unit needs root: sudo {Path(sys.argv[0]).absolute()} service install --system"
        )
    hidden = None if program is not None else hidden_part()
    if hidden is not None:
        raise UsageError(
            f"the user roundhouse could not read {hidden}: it sees no home folder. Install Roundhouse where"
            " everybody may read it, such as a virtual environment in /opt/roundhouse, and say this there"
        )


def _say_written(files: Mapping[Path, str], changed: tuple[Path, ...]) -> None:
    for path in files:
        say(f"{'wrote' if path in changed else 'unchanged:'} {one_line(str(path))}")


def _next_steps(service: Service, *, is_running: bool, is_changed: bool) -> Iterator[str]:
    systemctl = "systemctl --user" if service.home is not None else "systemctl"
    home = HomePaths(service.home or Path("/var/lib") / service.name)
    if is_running and not is_changed:
        yield f"{service.name} runs already, as it is written"
        return
    yield "next:"
    if is_running:
        yield f"  {systemctl} restart {service.name}    # its run in progress is tried again"
    else:
        yield f"  {systemctl} enable --now {service.name}"
    if service.home is not None and not (_LINGER / getpass.getuser()).exists():
        yield "  loginctl enable-linger    # or it ends with your last session"
    if service.home is None:
        yield "  usermod -aG roundhouse USER    # who may submit, and so run code as roundhouse"
    yield f"  {service.program[0]} --home {one_line(str(home.root))} status"
