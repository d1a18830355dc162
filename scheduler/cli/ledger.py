"""Which verbs look after what outlives rounds? `schedctl ledger show`, `export` and `forget`."""

from __future__ import annotations

from typing import Annotated

import typer

from scheduler.cli.asking import ask
from scheduler.cli.home import existing_home
from scheduler.cli.saying import say, say_json
from scheduler.effects.ledger_reading import LessonEntry, lessons_in
from scheduler.report.ledger_text import ledger_lines
from scheduler.rounds.paths import HomePaths

app = typer.Typer(
    help="Inspect, export and correct what this home has learnt.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("show")
def show_ledger(context: typer.Context) -> None:
    """Say what is known of noise and effects, what races have found, and from which lessons."""
    home: HomePaths = existing_home(context.obj)
    say("\n".join(ledger_lines(_entries(home))))


@app.command("export")
def export_ledger(context: typer.Context) -> None:
    """Print every lesson that counts as JSON, for a program."""
    home: HomePaths = existing_home(context.obj)
    say_json([entry.to_json() for entry in _entries(home)])


@app.command("forget")
def forget_lesson(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="The lesson, as `schedctl ledger show` names it.")],
    reason: Annotated[str, typer.Option(help="Kept in the ledger.")] = "",
) -> None:
    """Take a lesson out: its noise, its effects and what its race found count no more.

    The record of it stays, and says when and why. Tasks that have begun keep what they began with.
    """
    ask(existing_home(context.obj), "unlearn", reason=reason, payload={"source": source})


def _entries(home: HomePaths) -> tuple[LessonEntry, ...]:
    return lessons_in(home.ledger)
