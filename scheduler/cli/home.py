"""Which home does a command mean?"""

from __future__ import annotations

import os
from pathlib import Path

from scheduler.rounds.errors import UnknownIdError, UsageError
from scheduler.rounds.paths import HomePaths


def find_home(chosen: str | None) -> HomePaths:
    """--home, then ROUNDHOUSE_HOME, then the current folder if it is a home, then the XDG state folder.

    The home need not exist yet.
    """
    named = chosen or os.environ.get("ROUNDHOUSE_HOME")
    if named:
        return HomePaths(Path(named).expanduser().absolute())
    here = Path.cwd()
    if (here / "queue").is_dir() and (here / "results").is_dir():
        return HomePaths(here)
    state = os.environ.get("XDG_STATE_HOME", "")
    # The XDG specification ignores a relative path.
    folder = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return HomePaths(folder / "roundhouse")


def existing_home(home: HomePaths) -> HomePaths:
    """`home` when a daemon or schedctl has made one there. Raises UnknownIdError."""
    if not home.results.is_dir() or not home.queue.is_dir():
        raise UnknownIdError(
            f"there is no home in {home.root}; `schedctl daemon` makes one there, --home chooses another"
        )
    return home


def made_home(home: HomePaths) -> HomePaths:
    """`home` with every folder that a daemon needs. Raises UsageError where a file is in the way."""
    for folder in home.folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UsageError(f"{folder} cannot be made: a file is in its place") from error
    return home
