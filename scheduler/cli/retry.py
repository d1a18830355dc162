"""Give parked tasks and failed runs another try."""

from __future__ import annotations

from typing import Annotated

import typer

from scheduler.cli.asking import ask


def retry(
    context: typer.Context,
    round_id: Annotated[str, typer.Argument(metavar="ROUND")],
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="Only this one.")] = None,
) -> None:
    """Try parked tasks and failed runs again.

    Once their cause is mended; what has finished well is not repeated.
    """
    ask(context.obj, "retry", round_id=round_id, task=task)
