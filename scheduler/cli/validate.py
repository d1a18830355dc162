"""Are these specs sound? Nothing is queued."""

from __future__ import annotations

from typing import Annotated

import typer

from scheduler.cli.reading import PROBLEMS, checked_spec
from scheduler.cli.saying import say
from scheduler.report.numbers import count
from scheduler.report.printable import one_line
from scheduler.report.prospects import warnings
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.round import Round


def validate(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Spec files; - is stdin.")],
    name: Annotated[str | None, typer.Option(help="The name of a spec from stdin.")] = None,
) -> None:
    """Check specs without queueing them.

    Every problem is one line, with its place in the file. A warning does not keep a round out.
    """
    home: HomePaths = context.obj
    has_problems = False
    for file in files:
        _, checked = checked_spec(file, home, name)
        if checked.spec is None:
            has_problems = True
            continue
        tasks = checked.spec["tasks"]
        variants = sum(len(task["variants"]) for task in tasks)
        say(
            f"{one_line(checked.file)}: sound: round {checked.spec['id']},"
            f" {count(len(tasks), 'task')}, {count(variants, 'variant')}"
        )
        for task, limit in warnings(Round.from_json(checked.spec)):
            say(f"{one_line(checked.file)}: warning: {limit} [task {task}]")
    if has_problems:
        raise typer.Exit(PROBLEMS)
