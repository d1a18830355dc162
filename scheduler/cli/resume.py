"""Go on after a pause."""

from __future__ import annotations

import typer

from scheduler.cli.asking import ask


def resume(context: typer.Context) -> None:
    """Start runs again after `pause`.

    A GPU that was set aside as dirty is used again, too.
    """
    ask(context.obj, "resume")
