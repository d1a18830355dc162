"""Serve a home until told to stop."""

from __future__ import annotations

import sys

from scheduler.rounds.paths import HomePaths


def serve(home: HomePaths, *, until_idle: bool) -> int:
    """Be the daemon of `home`; every line of launcher.log is also written to stdout."""
    from scheduler.daemon import run_daemon

    return run_daemon(home, until_idle=until_idle, echo=sys.stdout)
