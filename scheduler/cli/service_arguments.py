"""Which service does a person mean: her own, or the machine's, and under which name?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from scheduler.effects.unit_files import Service, this_program, user_unit_folder
from scheduler.rounds.errors import UsageError
from scheduler.rounds.paths import HomePaths

Name = Annotated[str, typer.Option(help="Of the unit; another one for each GPU or home.")]
IsSystem = Annotated[
    bool,
    typer.Option(
        "--system", help="The hardened unit, run as the user roundhouse; its home is /var/lib/<name>."
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Of --system: write below DIR and tell systemd nothing, for a package."),
]
Prefix = Annotated[
    str, typer.Option(metavar="DIR", help="Of --system: write into DIR/lib (/usr/lib), not into /etc.")
]
Program = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The schedctl that the unit starts, where it is not this one."),
]


def chosen_service(
    context: typer.Context, name: str, *, is_system: bool, program: Path | None = None
) -> Service:
    """The service that the options mean. Raises UsageError where they contradict each other."""
    home: HomePaths = context.obj
    words = this_program() if program is None else (str(program.absolute()), "daemon")
    if not is_system:
        return Service(name=name, program=words, home=home.root)
    if context.find_root().params.get("home") is not None:
        raise UsageError(
            f"the system unit serves /var/lib/{name}; another home is named in a drop-in"
            " (systemd/README.md, drop-ins/home.conf)"
        )
    return Service(name=name, program=words)


def place_of(root: Path | None, prefix: str, *, is_system: bool) -> Path:
    """The folder below which the files go. Raises UsageError for what only packagers of --system may say."""
    if is_system:
        return (root or Path("/")).absolute()
    if root is not None or prefix:
        raise UsageError("--root and --prefix are for --system; a user unit goes into your own folder")
    if os.geteuid() == 0:
        raise UsageError(
            "a user unit of root would run every spec as root: install as the researcher, without sudo,"
            " or say --system for the hardened unit with a user of its own"
        )
    return user_unit_folder()
