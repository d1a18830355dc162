"""Who else could have this daemon run code? Owners and modes of everything in a home that it trusts."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scheduler.rounds.errors import SettingsError
from scheduler.rounds.paths import HomePaths


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """A file or folder that somebody could use to run code as the daemon's user."""

    what: str
    #: the command that closes it
    remedy: str


def exposures(home: HomePaths) -> Iterator[Exposure]:
    """Everything of the home that everybody may write to, or that belongs to neither this user nor root.

    What a group may write to is its business: a shared queue is made so on purpose.
    """
    for path in _trusted(home):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        if status.st_mode & stat.S_IWOTH:
            yield Exposure(
                what=f"everybody may write to {path}, and so run code as {user_name(os.geteuid())}",
                remedy=f"chmod o-w {path} (where that has no effect, choose a home on another file system)",
            )
        if status.st_uid not in (os.geteuid(), 0):
            yield Exposure(
                what=f"{path} belongs to {user_name(status.st_uid)}, who could run code as"
                f" {user_name(os.geteuid())}",
                remedy=f"run the daemon as {user_name(status.st_uid)},"
                f" or chown {user_name(os.geteuid())} {path}",
            )


def refuse_exposed(home: HomePaths) -> None:
    """Raises SettingsError with everything that is exposed, and what closes it."""
    if found := list(exposures(home)):
        lines = "".join(f"\n  {each.what}\n    remedy: {each.remedy}" for each in found)
        raise SettingsError(f"others could run code through this home:{lines}\nSee docs/security.md.")


def user_name(uid: int) -> str:
    """The name of a user, or the number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _trusted(home: HomePaths) -> Iterator[Path]:
    yield home.root
    yield from home.folders()
    yield home.settings
    yield home.trainers
    if home.trainers.is_dir():
        yield from sorted(home.trainers.iterdir())
        yield from sorted(home.trainers.glob("*/**/*.py"))
