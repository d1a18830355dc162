"""Serve a home until told to stop."""

from __future__ import annotations

import os
import sys

from scheduler.effects.ownership import owned
from scheduler.rounds.paths import HomePaths

#: what the daemon and its runs write is nobody's to write but theirs, and nobody's to read but their group's
UMASK = 0o027


def serve(home: HomePaths, *, until_idle: bool) -> int:
    """Be the daemon of `home`; every line of launcher.log is also written to stdout."""
    os.umask(os.umask(UMASK) | UMASK)  # never looser than what it was started with
    settings, lock = owned(home)
    try:
        from scheduler.daemon import run_daemon  # half a second, which who is too late does not spend

        return run_daemon(home, settings, until_idle=until_idle, echo=sys.stdout)
    finally:
        lock.release()
