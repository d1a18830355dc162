"""Who looks for what may go, and removes it? A thread and a niced child: the loop waits for neither."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import orjson

from scheduler.decide.facts import RunFilesDropped
from scheduler.decide.inputs import TidyPlanned
from scheduler.decide.retention import Drop
from scheduler.effects.child import run_child
from scheduler.effects.run_files import drop_run_files
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.retention_settings import RetentionSettings

#: from the end of a round to the look: its report is made meanwhile
DELAY_SECONDS = 30.0
#: what a look at all rounds may take
MAX_SECONDS = 1800.0
_MAX_PLAN_BYTES = 16 * 2**20


class UnplannedError(Exception):
    """The look at the rounds ended without a plan. Says why."""


def planned_by_child(home: HomePaths, rules: RetentionSettings) -> tuple[Drop, ...]:
    """What may go by the rules, as a niced child finds. Raises UnplannedError."""
    module = [sys.executable, "-P", "-m", "scheduler.report.run_folders", str(home.root)]
    ended = run_child(
        ["nice", "-n", "19", *module],
        stdin=orjson.dumps(asdict(rules)),
        seconds=MAX_SECONDS,
        environment=os.environ,
        max_stdout_bytes=_MAX_PLAN_BYTES,
    )
    if ended.returncode != 0 or ended.exceeded is not None:
        last = ended.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise UnplannedError(ended.exceeded or last or f"exit status {ended.returncode}")
    return tuple(map(_drop, orjson.loads(ended.stdout)))


def _drop(told: dict[str, Any]) -> Drop:
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in told.items()
    }
    return Drop(**fields)


class Tidying:
    """Looks and removals, one after the other. `post` gets a plan; `dropped` the round that lost files."""

    def __init__(
        self,
        home: HomePaths,
        rules: RetentionSettings,
        *,
        post: Callable[[TidyPlanned], None],
        dropped: Callable[[str], None],
        report: Callable[[str], None],
        delay_seconds: float = DELAY_SECONDS,
        planned: Callable[[HomePaths, RetentionSettings], tuple[Drop, ...]] = planned_by_child,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._rules = rules
        self._post = post
        self._dropped = dropped
        self._report = report
        self._delay_seconds = delay_seconds
        self._planned = planned
        self._monotonic = monotonic
        self._changed = threading.Condition()
        #: when to look; None while nobody asks
        self._look_at: float | None = None
        self._drops: deque[RunFilesDropped] = deque()
        self._is_closed = False
        threading.Thread(target=self._serve, name="tidying", daemon=True).start()

    def look(self, *, is_hurried: bool) -> None:
        """Have a plan made: now, or in a while. Several wishes are one look."""
        due = self._monotonic() + (0.0 if is_hurried else self._delay_seconds)
        with self._changed:
            self._look_at = due if self._look_at is None else min(due, self._look_at)
            self._changed.notify()

    def drop(self, dropped: RunFilesDropped) -> None:
        """Have the files removed. Its record is on the disk."""
        with self._changed:
            self._drops.append(dropped)
            self._changed.notify()

    def close(self) -> None:
        """Begin nothing more. What was decided and not removed, the next look finds again."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not self._is_closed and not self._drops and (wait := self._next_in()) != 0.0:
                    self._changed.wait(wait)
                if self._is_closed:
                    return
                dropped = self._drops.popleft() if self._drops else None
                if dropped is None:
                    self._look_at = None
            if dropped is not None:
                self._remove(dropped)
            else:
                self._look()

    def _next_in(self) -> float | None:
        return None if self._look_at is None else max(0.0, self._look_at - self._monotonic())

    def _look(self) -> None:
        try:
            drops = self._planned(self._home, self._rules)
        except (UnplannedError, OSError, ValueError, TypeError) as error:
            self._report(f"TIDY nothing is removed, since the rounds could not be looked through: {error}")
            return
        if drops:
            self._post(TidyPlanned(drops=drops))

    def _remove(self, dropped: RunFilesDropped) -> None:
        problems = drop_run_files(self._home, dropped)
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            self._report(f"TIDY round={dropped.round} could not remove {problems[0]}{more}")
        if dropped.reduced or dropped.removed:
            self._dropped(dropped.round)  # its page links to the files that are left
