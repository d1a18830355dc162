"""A whole search round in a few minutes, in a home of its own, watched as it goes."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from scheduler.cli import demo_show
from scheduler.cli.home import made_home
from scheduler.cli.reading import PROBLEMS, checked_spec
from scheduler.cli.saying import say
from scheduler.effects import spool
from scheduler.effects.lock import holder
from scheduler.report.load import load_round
from scheduler.report.summary import summary_text
from scheduler.rounds.errors import AlreadyRunningError, UsageError
from scheduler.rounds.paths import HomePaths

#: says that a folder was made by the demo and may be emptied by it
MARKER = ".roundhouse-demo"


def demo(
    folder: Annotated[Path, typer.Option("--dir", help="The demo's home; emptied first.")] = Path(".demo"),
    spec: Annotated[Path | None, typer.Option(help="Another round than the one that ships.")] = None,
) -> None:
    """Run a small real search and show its summary."""
    home = fresh_home(folder)
    data, checked = checked_spec(str(spec or packaged_spec()), home)
    if checked.spec is None:
        raise typer.Exit(PROBLEMS)
    spool.submit(home, data, checked.file)
    status = demo_show.run_daemon_and_show(home)
    if status != 0:
        raise typer.Exit(status)
    paths = home.round(checked.spec["id"])
    say()
    say(summary_text(load_round(paths)), end="")
    say(f"report: {paths.report} (open it in a browser)")
    say(f"records: {paths.records}")


def fresh_home(folder: Path) -> HomePaths:
    """An empty home in `folder`, which is emptied only when it carries the demo's own marker."""
    home = HomePaths(folder.absolute())
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"{folder} is not a folder; choose another place with --dir")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / MARKER).is_file():
            raise UsageError(
                f"{folder} is not empty and was not made by the demo; choose another place with --dir"
            )
        daemon = holder(home.lock)
        if daemon is not None:
            raise AlreadyRunningError(
                f"a daemon still works in {folder} (process {daemon.get('pid')}); wait for it or stop it"
            )
        _empty(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text("Made by `schedctl demo`, which empties this folder when it runs again.\n")
    return made_home(home)


def packaged_spec() -> Path:
    """The demo's round: inside the installed package, or in the checkout."""
    package = Path(str(resources.files("scheduler")))
    places = (package / "examples" / "demo.toml", package.parent / "queue" / "examples" / "demo.toml")
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise UsageError(f"demo.toml is missing from {places[0].parent}; name a round with --spec")
    return found


def _empty(folder: Path) -> None:
    """Remove what is in `folder`, the marker last, so that an interrupted clean-up can be repeated."""
    marker = folder / MARKER
    for path in folder.iterdir():
        if path == marker:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
