"""Which documents does a round make? All of them, made from its records, and where they lie."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from scheduler.cli.home import existing_home
from scheduler.cli.saying import say
from scheduler.report.printable import one_line
from scheduler.report.publish import publish_index, publish_round
from scheduler.rounds.errors import UsageError
from scheduler.rounds.paths import HomePaths, RoundPaths


def report(
    context: typer.Context,
    round_id: Annotated[str, typer.Argument(metavar="ROUND", help="One that the daemon has accepted.")],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Copy them into this folder.")] = None,
) -> None:
    """Make every document of a round from its records, and name the files.

    The summary, the page, and those of the ways of judging that its spec asks for.
    """
    home: HomePaths = existing_home(context.obj)
    paths = home.round(round_id)
    publish_round(paths)
    publish_index(home)
    for name in _documents(paths):
        say(f"{paths.root / name if out is None else _copied(paths.root / name, out / name)}")


def _documents(paths: RoundPaths) -> Iterator[Path]:
    """Relative to the round's folder, what most people read first."""
    yield from (path.relative_to(paths.root) for path in (paths.report, paths.summary_text))
    yield paths.summary_markdown.relative_to(paths.root)
    yield from sorted(path.relative_to(paths.root) for path in paths.judged.rglob("*") if path.is_file())


def _copied(source: Path, target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        raise UsageError(f"{one_line(str(target))} cannot be written: {error.strerror}") from error
    return target
