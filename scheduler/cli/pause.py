"""Start nothing new."""

from __future__ import annotations

from typing import Annotated

import typer

from scheduler.cli.asking import ask


def pause(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Shown by status while nothing starts.")] = "",
) -> None:
    """Start nothing new until `resume`.

    The run under way goes on to its end.
    """
    ask(context.obj, "pause", reason=reason)
