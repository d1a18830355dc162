"""The status as it changes, until Ctrl-C: redrawn on a terminal, line by line in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime

import orjson

from scheduler.cli.home import existing_home
from scheduler.cli.saying import say, say_json_text
from scheduler.cli.sparkline import bars_for
from scheduler.cli.status import gather
from scheduler.cli.status_text import status_lines
from scheduler.rounds.paths import HomePaths

_PERIOD_SECONDS = 1.0


def watch_status(home: HomePaths, *, as_json: bool) -> int:
    """Show the status again and again; ends with 0 at Ctrl-C."""
    existing_home(home)
    try:
        if as_json:
            _print_changes(
                lambda: [orjson.dumps(_gathered(home)).decode()], lambda line: say_json_text(f"{line}\n")
            )
        elif sys.stdout.isatty():
            _redraw(home)
        else:
            _print_changes(lambda: status_lines(_gathered(home)), say)
    except KeyboardInterrupt:
        pass
    return 0


def _gathered(home: HomePaths) -> dict[str, object]:
    return gather(home, now=datetime.now().astimezone())


def _redraw(home: HomePaths) -> None:
    from rich.live import Live
    from rich.text import Text

    bars = bars_for(sys.stdout.encoding)
    with Live(screen=True, auto_refresh=False) as live:
        while True:
            lines = status_lines(_gathered(home), bars=bars)
            live.update(Text("\n".join(lines)), refresh=True)
            time.sleep(_PERIOD_SECONDS)


def _print_changes(lines: Callable[[], list[str]], show: Callable[[str], None]) -> None:
    """In a pipe: only lines that were not in the last look, so that a log of it stays readable."""
    before: list[str] = []
    while True:
        now = lines()
        for line in now:
            if line not in before:
                show(line)
        before = now
        time.sleep(_PERIOD_SECONDS)
