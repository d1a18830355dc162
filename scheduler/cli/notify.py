"""Does a notice arrive where it should?"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from scheduler.cli.home import existing_home
from scheduler.cli.saying import say
from scheduler.effects.notices import deliver
from scheduler.rounds.errors import UsageError
from scheduler.rounds.notice import Notice, resolved, shown
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.settings import load_settings

#: exit status when an address was not reached
UNREACHED = 1


def notify(
    context: typer.Context,
    is_test: Annotated[bool, typer.Option("--test", help="Send a notice to every address.")] = False,
) -> None:
    """Say of what a person is told and where, without showing an address; `--test` sends a notice."""
    home: HomePaths = existing_home(context.obj)
    settings = load_settings(home.settings).notify
    if not settings.urls:
        raise UsageError(f"{home.settings} names no address: [notify] urls = [...], see docs/operations.md")
    urls, missing = resolved(settings.urls, os.environ)
    for name in missing:
        say(f"env:{name}: the variable holds no address here")
    if not is_test:
        say(f"told of: {', '.join(settings.on) or 'nothing'}")
        for url in urls:
            say(shown(url))
        return
    title = f"roundhouse: a test from {home.root.name}"
    notice = Notice(kind="round_finished", title=title, body=f"Notices of {home.root} arrive here.")
    errors = deliver(urls, notice) if urls else ()
    for url, error in zip(urls, errors, strict=True):
        say(f"{shown(url)}: {'sent' if error is None else error}")
    if missing or any(errors):
        raise typer.Exit(UNREACHED)
