"""Is everything that may be reused still what was recorded?"""

from __future__ import annotations

from typing import Annotated

import typer

from scheduler.cli.home import existing_home
from scheduler.cli.saying import say, say_json
from scheduler.report.numbers import count
from scheduler.report.printable import one_line
from scheduler.report.reuse import problems_of_results
from scheduler.rounds.paths import HomePaths
from trainers.kept_data import kept_data, problems_of

#: exit status when something is damaged
DAMAGED = 1


def verify_cache(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for a program.")] = False,
) -> None:
    """Read all that may be reused, records, folders and data, and list what is wrong."""
    home: HomePaths = existing_home(context.obj)
    results, problems = problems_of_results(home)
    data = kept_data(home.cache)
    problems += tuple(problem for kept in data for problem in problems_of(kept))
    if as_json:
        told = {"results": results, "data": len(data), "problems": problems}
        say_json(told)
    else:
        for problem in problems:
            say(one_line(problem, limit=1000))
        verdict = "all of it is whole" if not problems else count(len(problems), "problem")
        say(f"{count(results, 'result')} and {count(len(data), 'set')} of prepared data: {verdict}")
        if problems:
            say("a result that is damaged is run anew; prepared data, once it is pruned, made anew")
    if problems:
        raise typer.Exit(DAMAGED)
