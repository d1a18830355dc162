"""Put specs into the queue."""

from __future__ import annotations

from typing import Annotated

import typer

from scheduler.cli.freshened import freshened
from scheduler.cli.home import made_home
from scheduler.cli.reading import PROBLEMS, checked_spec, read_spec
from scheduler.cli.saying import say
from scheduler.effects import spool
from scheduler.effects.lock import holder
from scheduler.report.printable import one_line
from scheduler.rounds.errors import UsageError
from scheduler.rounds.paths import HomePaths


def submit(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Spec files; - is stdin.")],
    name: Annotated[str | None, typer.Option(help="Queue it under this name. Needed for stdin.")] = None,
    no_check: Annotated[bool, typer.Option("--no-check", help="Leave the check to the daemon.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Run everything, also what earlier rounds have run.")
    ] = False,
) -> None:
    """Check specs and put them into the queue.

    A file with problems stays out; the others go in.
    """
    if name is not None and len(files) > 1:
        raise UsageError("--name goes with one file")
    home: HomePaths = made_home(context.obj)
    has_problems = False
    for file in files:
        if no_check:
            data, queued_as = read_spec(file, name)
        else:
            data, checked = checked_spec(file, home, name)
            queued_as = checked.file
            if checked.problems:
                has_problems = True
                continue
        target = spool.submit(home, freshened(data, queued_as) if fresh else data, queued_as)
        say(f"queued {one_line(target.name)} in {home.queue}")
    if holder(home.lock) is None:
        say(f"the daemon is down; `schedctl --home {home.root} daemon` runs what is queued")
    if has_problems:
        raise typer.Exit(PROBLEMS)
