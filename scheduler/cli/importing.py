"""What can our searches learn from the records of others? Their noise, marked as foreign in the ledger."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from policies._ledger import Lesson
from scheduler.audit.lessons import lessons_of
from scheduler.audit.repeats import count_once
from scheduler.cli.asking import ask
from scheduler.cli.audit import read_files
from scheduler.cli.saying import say
from scheduler.report.numbers import count
from scheduler.report.printable import one_line
from scheduler.rounds.errors import UsageError
from scheduler.rounds.paths import HomePaths


def import_records(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Record files (JSON lines).")],
) -> None:
    """Learn the noise of foreign records.

    It joins the ledger, marked as foreign; a run that was imported before does not count again.
    """
    home: HomePaths = context.obj
    found = read_files(files)
    for file in found:
        if file.is_unreadable:
            raise UsageError(f"{one_line(str(file.problems[0]), limit=1000)}; nothing was imported")
        for problem in file.problems:
            say(f"{one_line(str(problem), limit=1000)}; left out", is_problem=True)
    rows, _ = count_once(found)
    lessons = dict(lessons_of(rows))
    if not lessons:
        raise UsageError(
            "these records teach nothing: they hold no two seeds and no baseline to compare with"
        )
    say(summary_of(lessons))
    ask(home, "import", payload={"lessons": {name: asdict(lesson) for name, lesson in lessons.items()}})


def summary_of(lessons: dict[str, Lesson]) -> str:
    """What the lessons hold, in a line."""
    quick = sum(lesson.quick.df for lesson in lessons.values())
    medium = sum(lesson.medium.df for lesson in lessons.values())
    effects = sum(len(lesson.readings) for lesson in lessons.values())
    noise = f"{quick} degrees of freedom at quick and {medium} at medium"
    return f"{count(len(lessons), 'task')}: noise from {noise}, {count(effects, 'matched effect')}"
