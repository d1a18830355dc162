"""What is the daemon doing, and if nothing, why? Read from files, so that it works with the daemon down."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from scheduler.cli.home import existing_home
from scheduler.cli.saying import say, say_json
from scheduler.cli.status_text import status_lines
from scheduler.effects.arrivals import is_candidate
from scheduler.effects.lock import holder
from scheduler.effects.status import read_status
from scheduler.rounds.paths import HomePaths

#: a daemon writes its status every few seconds, whatever else it does
STALE_SECONDS = 20.0
#: rejected files stay where they are, so that only the last ones are news
_REJECTED_SHOWN = 5


def show_status(home: HomePaths, *, as_json: bool = False) -> int:
    """Print how things are, once."""
    told = gather(existing_home(home), now=datetime.now().astimezone())
    if as_json:
        say_json(told)
    else:
        say("\n".join(status_lines(told)))
    return 0


def gather(home: HomePaths, *, now: datetime) -> dict[str, Any]:
    """Everything `status` knows, as JSON: the daemon, its own words, and the files that wait."""
    daemon = holder(home.lock)
    status = read_status(home.status)
    age = _age_seconds(status, now)
    return {
        "home": str(home.root),
        "daemon": daemon,
        #: None while the daemon is down
        "is_stale": None if daemon is None else age is None or age > STALE_SECONDS,
        "age_seconds": age,
        #: an earlier daemon's words, when the one that has the lock has not said anything yet
        "is_starting": daemon is not None and (status is None or status.get("pid") != daemon.get("pid")),
        "unread_files": _names(home.queue),
        "rejected_files": _names(home.rejected)[-_REJECTED_SHOWN:],
        "requests_waiting": len(_names(home.control)),
        "status": status,
    }


def _age_seconds(status: dict[str, Any] | None, now: datetime) -> float | None:
    try:
        written_at = datetime.fromisoformat((status or {})["written_at"])
        return max(0.0, round((now - written_at).total_seconds(), 1))
    except (KeyError, TypeError, ValueError):
        return None


def _names(folder: Path) -> list[str]:
    """Spec or request files that lie in a folder of the queue, oldest first."""
    try:
        found = [path for path in folder.iterdir() if is_candidate(path.name) and path.is_file()]
        return [path.name for path in sorted(found, key=lambda path: path.lstat().st_mtime_ns)]
    except FileNotFoundError:
        return []
