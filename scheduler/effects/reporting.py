"""Who makes the reports? A niced child for each, one at a time, so that a long one holds nothing up."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from scheduler.rounds.paths import HomePaths, RoundPaths

#: a live report is made again after ten times as long as it took: a tenth of a core at most
LIVE_WAIT_FACTOR = 10.0
#: a report that hangs is given up; the next one starts from the records again
MAX_SECONDS = 600.0

#: with which the child ends that found no room on the disk
NO_ROOM_STATUS = os.EX_IOERR
#: after that, at least so long until it is tried again
NO_ROOM_SECONDS = 5.0

#: threads of numeric libraries would only take the cores from the run
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def make_report(home: HomePaths, round_id: str) -> bool:
    """Make the reports of a round in a niced child, and wait for it. False where the disk had no room."""
    command = [sys.executable, "-P", "-m", "scheduler.report", str(home.root), round_id]
    try:
        done = subprocess.run(
            ["nice", "-n", "10", *command],
            stdin=subprocess.DEVNULL,
            env=os.environ | _ONE_THREAD,
            check=False,
            timeout=MAX_SECONDS,
        )
    except subprocess.TimeoutExpired:
        print(f"the report of {round_id} took over {MAX_SECONDS:.0f} s and was given up", file=sys.stderr)
    except OSError as error:
        print(f"the report of {round_id} could not be started: {error}", file=sys.stderr)
    else:
        return done.returncode != NO_ROOM_STATUS
    return True


def is_current(paths: RoundPaths) -> bool:
    """Whether the page was made from the records as they are: a live one is left behind by a round's end."""
    return _changed_at(paths.report) == records_stamp(paths)


def records_stamp(paths: RoundPaths) -> int:
    """Another one after every record. A page that was made from the records carries it as its own time."""
    return _changed_at(paths.records) or 0


def _changed_at(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


class Reporting:
    """Reports under way. They are derived: one that was missed is made again at the next start.

    However often a round is asked for while its report waits or is being made, it is made once after that.
    One that found no room on the disk is made again when it may have some. `written` is called, in a thread,
    after each.
    """

    def __init__(
        self,
        home: HomePaths,
        written: Callable[[], None],
        *,
        make: Callable[[HomePaths, str], bool] = make_report,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._written = written
        self._make = make
        self._monotonic = monotonic
        self._changed = threading.Condition()
        #: rounds asked for, oldest first, and whether a live report is all that is wanted
        self._asked: dict[str, bool] = {}
        #: when a live report of a round may be made again
        self._rested: dict[str, float] = {}
        #: rounds whose reports the disk had no room for
        self._unwritten: set[str] = set()
        self._making: str | None = None
        self._is_closing = False
        self._maker = threading.Thread(target=self._serve, name="report", daemon=True)
        self._maker.start()

    @property
    def is_done(self) -> bool:
        """Whether every report asked for is made, but for live ones that wait for their time."""
        with self._changed:
            return self._making is None and not self._unwritten and self._next_in() != 0.0

    def write(self, round_id: str, *, is_live: bool = False) -> None:
        """Make the round's reports again from its records: soon, or a live one when it is time for it."""
        with self._changed:
            self._asked[round_id] = is_live and self._asked.get(round_id, True)
            self._changed.notify_all()

    def close(self) -> None:
        """Make what was asked for, and wait for it."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._maker.join()

    def _serve(self) -> None:
        while (round_id := self._take()) is not None:
            began = self._monotonic()
            had_room = True
            try:
                had_room = self._make(self._home, round_id)
            finally:
                self._finish(round_id, self._monotonic() - began, had_room=had_room)

    def _take(self) -> str | None:
        """The round whose report is to be made now; None when nothing is left and nothing will come."""
        with self._changed:
            while True:
                wait = self._next_in()
                if wait is not None and (wait == 0.0 or self._is_closing):
                    self._making = min(self._asked, key=self._due)
                    del self._asked[self._making]
                    return self._making
                if self._is_closing:
                    return None
                self._changed.wait(wait)

    def _finish(self, round_id: str, seconds: float, *, had_room: bool) -> None:
        with self._changed:
            self._making = None
            pause = LIVE_WAIT_FACTOR * seconds
            self._unwritten.discard(round_id)
            if not had_room and not self._is_closing:
                pause = max(NO_ROOM_SECONDS, pause)
                self._unwritten.add(round_id)
                self._asked.setdefault(round_id, True)
            self._rested[round_id] = self._monotonic() + pause
        self._written()

    def _next_in(self) -> float | None:
        """Seconds until a report is due; None when none is asked for."""
        if not self._asked:
            return None
        return max(0.0, min(map(self._due, self._asked)) - self._monotonic())

    def _due(self, round_id: str) -> float:
        at_once = float("-inf")
        return self._rested.get(round_id, at_once) if self._asked[round_id] else at_once
