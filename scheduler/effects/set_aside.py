"""How do damaged records get out of the daemon's way? They move away whole, where a person finds them."""

from __future__ import annotations

from pathlib import Path

from scheduler.effects.files import fsync_folder
from scheduler.effects.lock import HomeLock
from scheduler.effects.spool import reject
from scheduler.rounds.parse import SUFFIXES
from scheduler.rounds.paths import HomePaths


def set_aside(home: HomePaths, path: Path) -> Path:
    """Move a file of records below `results/set-aside/`, of a round its whole folder; returns its new place.

    Nothing is deleted or changed. A killed call can be repeated. Raises AlreadyRunningError while a daemon
    serves the home.
    """
    lock = HomeLock.acquire(home.lock)
    try:
        moved = path if path.parent == home.results else path.parent
        target = _free_name(home.set_aside / moved.name)
        home.set_aside.mkdir(exist_ok=True)
        if moved != path:
            _take_from_queue(home, moved.name, target)
        moved.rename(target)
        fsync_folder(home.set_aside)
        fsync_folder(home.results)
        return target
    finally:
        lock.release()


def _take_from_queue(home: HomePaths, round_id: str, target: Path) -> None:
    """The spec of an open round waits for an end that will not come."""
    why = (
        f"The records of the round {round_id} were damaged, and its folder was set aside: {target}.\n"
        f"To run the round again, put this file into queue/ again.\n"
    )
    for suffix in SUFFIXES:
        reject(home.active / f"{round_id}{suffix}", home.rejected, why)


def _free_name(path: Path) -> Path:
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}.{number}")
    return candidate
