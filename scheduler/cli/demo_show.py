"""How is a round shown while it runs? A daemon as a child, its log as it grows, and the run under way."""

from __future__ import annotations

import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import IO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scheduler.cli.saying import say
from scheduler.cli.status_text import progress_lines, run_share
from scheduler.effects.plain_text import plain_line
from scheduler.effects.status import read_status
from scheduler.rounds.paths import HomePaths

INTERRUPTED = 130
_REFRESH_SECONDS = 0.25
#: lines that the bar at the bottom says better
_SHOWN_BY_THE_BAR = frozenset({"RUN", "WAIT", "START", "DAEMON", "STOP", "TASK"})
_LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d (?P<time>\d\d:\d\d:\d\d)[+-]\d{4} (?P<rest>\S.*)")
#: fields that every line of the demo would repeat, or that the bar has shown
_REPEATED = ("round=", "device=", "steps=")
_STYLES = {
    "PRUNE": "yellow",
    "PROMOTE": "green",
    "VERDICT": "bold",
    "FAIL": "red",
    "PARK": "red",
    "REJECT": "red",
    "ROUND": "cyan",
}


def run_daemon_and_show(home: HomePaths) -> int:
    """Serve `home` in a child until it is idle; returns its exit status, or 130 after Ctrl-C.

    Ctrl-C, SIGTERM and a closed terminal end the daemon in order, and what has finished stays on record.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    command = [
        sys.executable,
        "-P",
        "-m",
        "scheduler.cli",
        "--home",
        str(home.root),
        "daemon",
        "--until-idle",
    ]
    # In a session of its own: Ctrl-C is for this process, which then asks the daemon to end, once.
    daemon = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    assert daemon.stdout is not None
    try:
        if sys.stdout.isatty():
            _show_live(home, daemon.stdout)
        else:
            for line in daemon.stdout:
                say(plain_line(line))
        return daemon.wait()
    except KeyboardInterrupt:
        _end(daemon)
        say(f"\nstopped; `schedctl --home {home.root} daemon` goes on where it was", is_problem=True)
        return INTERRUPTED
    finally:
        if daemon.poll() is None:
            _end(daemon)


def _end(daemon: subprocess.Popen[str]) -> None:
    """Ask the daemon to end; a second Ctrl-C makes it hurry."""
    daemon.send_signal(signal.SIGTERM)
    try:
        daemon.wait()
    except KeyboardInterrupt:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()


def _show_live(home: HomePaths, log: IO[str]) -> None:
    """The decisions as they fall, above the run under way."""
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for line in _lines_or_ticks(log):
            shown = None if line is None else _log_text(line)
            if shown is not None:
                live.console.print(shown)
            live.update(_now(home), refresh=True)


def _lines_or_ticks(log: IO[str]) -> Iterator[str | None]:
    """Each line as it comes, and None at least every quarter of a second, until the log ends."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in log:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True, name="log").start()
    while True:
        try:
            line = lines.get(timeout=_REFRESH_SECONDS)
        except queue.Empty:
            yield None
            continue
        if line is None:
            return
        yield line


def _log_text(line: str) -> Text | None:
    """A line of the log without its date and what every line of one round repeats; None for a quiet one.

    What is no line of the log, such as a traceback, is shown as it is.
    """
    found = _LOG_LINE.fullmatch(plain_line(line))
    if found is None:
        return Text(plain_line(line))
    time_of_day, rest = found["time"], found["rest"].split(" ")
    if rest[0] in _SHOWN_BY_THE_BAR:
        return None
    kept = rest if rest[0] == "ROUND" else [word for word in rest if not word.startswith(_REPEATED)]
    text = Text(f"{time_of_day} ", style="dim")
    text.append(f"{kept[0]:<8}", style=_STYLES.get(kept[0], ""))
    return text.append(" ".join(kept[1:]))


def _now(home: HomePaths) -> RenderableType:
    """The bar and the words about the run under way."""
    status = read_status(home.status) or {}
    running = status.get("running") or []
    if not running:
        return Text(f"{plain_line(str(status.get('why') or 'starting'))} ...", style="dim")
    share = run_share(running[0])
    bar = ProgressBar(total=1.0, completed=share or 0.0, width=30, pulse=share is None)
    table = Table.grid(padding=(0, 1))
    table.add_row(bar, Text(_beside_bar(status)))
    return Group(Text(progress_lines(status)[0], style="bold"), table)


def _beside_bar(status: dict[str, object]) -> str:
    """What stands beside the bar: percent, step, value."""
    words = progress_lines(status)[1].strip()
    return words.partition("] ")[2] or words
