"""Which verbs does schedctl have, and how are they called?"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Annotated

import typer

from scheduler.cli import (
    audit,
    cache,
    cancel,
    compare,
    daemon,
    demo,
    doctor,
    drain,
    explain,
    follow,
    fsck,
    importing,
    ledger,
    noise,
    notify,
    pause,
    rebuild,
    regrade,
    report,
    resume,
    retry,
    schema,
    service,
    show,
    squeeze,
    status,
    submit,
    tidy,
    validate,
    verdict,
    watch,
    why,
)
from scheduler.cli.home import find_home
from scheduler.cli.saying import say
from scheduler.rounds.paths import HomePaths

app = typer.Typer(
    name="schedctl",
    help="Search rounds on one GPU: drop a spec, read verdicts in the morning.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _say_version(is_asked: bool) -> None:
    if is_asked:
        say(importlib.metadata.version("roundhouse"))
        raise typer.Exit


@app.callback()
def _home(
    context: typer.Context,
    home: Annotated[
        str | None,
        typer.Option(
            help="The folder with queue/ and results/. Otherwise ROUNDHOUSE_HOME, the current folder if it"
            " is a home, or ~/.local/state/roundhouse."
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", help="Say which version this is.", callback=_say_version, is_eager=True),
    ] = False,
) -> None:
    context.obj = find_home(home)


@app.command("daemon")
def _daemon(
    context: typer.Context,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when nothing is left to run.")
    ] = False,
) -> None:
    """Run the rounds in the queue, until told to stop."""
    home: HomePaths = context.obj
    raise typer.Exit(daemon.serve(home, until_idle=until_idle))


@app.command("status")
def _status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for a program.")] = False,
    is_watching: Annotated[bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Say what runs and how far it is; when nothing runs, why."""
    home: HomePaths = context.obj
    if is_watching:
        raise typer.Exit(watch.watch_status(home, as_json=as_json))
    raise typer.Exit(status.show_status(home, as_json=as_json))


for verb in (
    demo.demo,
    submit.submit,
    validate.validate,
    explain.explain,
    noise.noise,
    why.why,
    follow.follow,
    show.show,
    compare.compare,
    verdict.verdict,
    pause.pause,
    resume.resume,
    drain.drain,
    cancel.cancel,
    retry.retry,
    doctor.doctor,
    notify.notify,
    tidy.tidy,
    fsck.fsck,
    audit.audit,
    schema.schema,
    rebuild.rebuild,
    regrade.regrade,
    report.report,
    squeeze.squeeze,
):
    app.command()(verb)

app.command("import")(importing.import_records)
app.add_typer(cache.app, name="cache")
app.add_typer(service.app, name="service")
app.add_typer(ledger.app, name="ledger")


def run(arguments: Sequence[str]) -> int:
    """Parse and carry out. Errors of use are explained on stderr and give 2."""
    try:
        app(args=list(arguments), prog_name="schedctl")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0
