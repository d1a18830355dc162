"""End a round for good."""

from __future__ import annotations

from typing import Annotated

import typer

from scheduler.cli.asking import ask


def cancel(
    context: typer.Context,
    round_id: Annotated[str, typer.Argument(metavar="ROUND")],
    reason: Annotated[str, typer.Option(help="Kept in the records.")] = "",
) -> None:
    """End a round for good.

    Its run is stopped and no other starts; what has finished is kept and reported.
    """
    ask(context.obj, "cancel", round_id=round_id, reason=reason)
