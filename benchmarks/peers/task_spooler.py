"""What does a queue of commands cost? task-spooler, one slot, filled stage by stage."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from _work import Agenda, Way, Work, command, journal_lines

MODULES: tuple[str, ...] = ()
PROGRAMS = ("tsp",)
WAYS = (Way(name="task-spooler", isolation="a process per run"),)


@contextmanager
def opened(way: Way, folder: Path) -> Iterator[Callable[[Work], None]]:
    # A queue of its own, so that one that is already there is left alone.
    os.environ |= {"TS_SOCKET": str(folder / "tsp.socket"), "TS_MAXFINISHED": "1000", "TMPDIR": str(folder)}
    _tsp("-S", "1")
    try:
        yield run
    finally:
        _tsp("-K")


def run(work: Work) -> None:
    agenda = Agenda(work)
    while trial := agenda.next():
        while trial:
            last = _tsp(*command(trial))
            trial = agenda.next()
        _tsp("-w", last)
        agenda.tell_all(journal_lines(work.journal))


def _tsp(*arguments: str) -> str:
    done = subprocess.run(
        ["tsp", *arguments], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()
