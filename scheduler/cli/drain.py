"""End the daemon after the run under way."""

from __future__ import annotations

from typing import Annotated

import typer

from scheduler.cli.asking import ask


def drain(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Shown by status until the end.")] = "",
) -> None:
    """End the daemon after the run under way.

    The queue stays as it is.
    """
    ask(context.obj, "drain", reason=reason)
