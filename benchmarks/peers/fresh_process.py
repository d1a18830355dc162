"""What does a search by hand cost? A script that starts one process after the other."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from _work import Agenda, Way, Work, command, journal_lines

MODULES: tuple[str, ...] = ()
PROGRAMS: tuple[str, ...] = ()
WAYS = (Way(name="a fresh process per run", isolation="a process per run", is_screened=True),)


@contextmanager
def opened(way: Way, folder: Path) -> Iterator[Callable[[Work], None]]:
    yield run


def run(work: Work) -> None:
    agenda = Agenda(work)
    while trial := agenda.next():
        subprocess.run(command(trial), check=True, stdout=subprocess.DEVNULL)
        agenda.tell_all(journal_lines(work.journal))
