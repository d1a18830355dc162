"""What would systemd be told?"""

from __future__ import annotations

import typer

from scheduler.cli.saying import say
from scheduler.cli.service_arguments import IsSystem, Name, Program, chosen_service


def show_service(
    context: typer.Context,
    name: Name = "roundhouse",
    is_system: IsSystem = False,
    program: Program = None,
) -> None:
    """Print the unit that `install` would write.

    Nothing is written.
    """
    say(chosen_service(context, name, is_system=is_system, program=program).unit(), end="")
