"""What may go of the files of old runs, and have it go."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from scheduler.cli.asking import ask
from scheduler.cli.home import existing_home
from scheduler.cli.saying import say
from scheduler.decide.retention import Drop
from scheduler.report.lines import dropped_words
from scheduler.report.numbers import size
from scheduler.report.run_folders import planned
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.settings import load_settings


def tidy(
    context: typer.Context,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would go, and why.")] = False,
) -> None:
    """Clear what `[retention]` in roundhouse.toml allows of the runs of ended rounds.

    The daemon does so by itself after a round and once a day. Records, summaries and pages always stay.
    """
    home: HomePaths = existing_home(context.obj)
    if not is_dry:
        ask(home, "tidy")
        return
    drops = planned(home, load_settings(home.settings).retention, now=time.time())
    for drop in drops:
        say(_words(drop))
    say(f"{size(sum(drop.bytes for drop in drops))} would go; nothing was removed")


def _words(drop: Drop) -> str:
    return f"{drop.round}: {dropped_words(drop)}"
