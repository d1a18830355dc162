"""Who writes the summaries? A niced child for each, one at a time, so that a long one holds nothing up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from scheduler.rounds.paths import HomePaths


class Reporting:
    """Summaries under way. They are derived: one that was missed is made again at the next start.

    `written` is called, in a thread, after each.
    """

    def __init__(self, home: HomePaths, written: Callable[[], None]) -> None:
        self._home = home
        self._written = written
        self._writers = ThreadPoolExecutor(max_workers=1, thread_name_prefix="report")
        self._last: dict[str, Future[None]] = {}

    @property
    def is_done(self) -> bool:
        """Whether every summary asked for is written."""
        return all(report.done() for report in self._last.values())

    def write(self, round_id: str) -> None:
        """Rebuild the round's summaries from its records, soon."""
        report = self._writers.submit(self._write, round_id)
        self._last[round_id] = report
        report.add_done_callback(lambda _: self._written())

    def close(self) -> None:
        """Wait for the summaries under way."""
        self._writers.shutdown(wait=True)

    def _write(self, round_id: str) -> None:
        command = [sys.executable, "-P", "-m", "scheduler.report", str(self._home.root), round_id]
        subprocess.run(["nice", "-n", "10", *command], stdin=subprocess.DEVNULL, check=False)
