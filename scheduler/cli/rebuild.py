"""Make everything derived again from the records."""

from __future__ import annotations

from typing import Annotated

import typer

from scheduler.cli.home import existing_home
from scheduler.cli.saying import say
from scheduler.decide.ended import ended_round
from scheduler.decide.result_cache import part_of
from scheduler.effects.ended_file import write_ended
from scheduler.report.load import load_round, round_ids
from scheduler.report.publish import publish_index, publish_round
from scheduler.rounds.paths import HomePaths


def rebuild(
    context: typer.Context,
    round_id: Annotated[str | None, typer.Argument(metavar="ROUND", help="Only this one.")] = None,
) -> None:
    """Make the summaries, pages and ended.json again from the records.

    Those of rounds that have ended; the same records give the same bytes.
    """
    home: HomePaths = existing_home(context.obj)
    for name in [round_id] if round_id is not None else round_ids(home):
        paths = home.round(name)
        current = load_round(paths)
        if current.finished is None:
            say(f"{name} has not ended; its summary is written when it has (`schedctl show {name}`)")
            continue
        publish_round(paths)
        write_ended(paths, ended_round(current), part_of(current))
        say(f"{paths.summary_text}")
    publish_index(home)
