"""How does systemd forget the daemon?"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from scheduler.cli.saying import say
from scheduler.cli.service_arguments import IsSystem, Name, Prefix, Root, chosen_service, place_of
from scheduler.effects.systemctl import Systemctl
from scheduler.effects.unit_files import remove, require_ours
from scheduler.report.printable import one_line
from scheduler.rounds.errors import UsageError


def remove_service(
    context: typer.Context,
    name: Name = "roundhouse",
    is_system: IsSystem = False,
    root: Root = None,
    prefix: Prefix = "",
) -> None:
    """Stop the service and delete its unit.

    Queue, results and the user that owns them stay.
    """
    service = chosen_service(context, name, is_system=is_system)
    paths = tuple(service.files(place_of(root, prefix, is_system=is_system), prefix))
    for path in paths:
        require_ours(path)
    if root is not None:
        _say_removed(remove(paths), name)
        return
    if is_system and os.geteuid() != 0:
        program = Path(sys.argv[0]).absolute()
        raise UsageError(f"the system unit needs root: sudo {program} service remove --system")
    systemd = Systemctl(is_system=is_system)
    if paths[0].exists():
        systemd.ask("disable", "--now", f"{name}.service")
    removed = remove(paths)
    systemd.ask("daemon-reload")
    _say_removed(removed, name)


def _say_removed(removed: tuple[Path, ...], name: str) -> None:
    for path in removed:
        say(f"removed {one_line(str(path))}")
    say("queue and results stay" if removed else f"{name} is not installed")
