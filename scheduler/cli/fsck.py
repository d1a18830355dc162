"""Are the records of a home whole, file by file; and how does a damaged one get out of the way?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from scheduler.cli.finding import Finding
from scheduler.cli.home import existing_home
from scheduler.cli.record_findings import findings_of
from scheduler.cli.saying import say
from scheduler.effects.set_aside import set_aside
from scheduler.report.numbers import count
from scheduler.report.printable import one_line
from scheduler.report.record_check import CheckedFile, checked_home
from scheduler.rounds.errors import CorruptRecordsError, UnknownIdError, UsageError
from scheduler.rounds.paths import HomePaths

#: exit status when only what was made of the records is wrong
UNFIT = 1


def fsck(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Option(
            "--set-aside",
            metavar="ROUND",
            help="Move this round's folder below results/set-aside/, or the file of `journal` or `ledger`."
            " Only what is damaged; the daemon must be stopped.",
        ),
    ] = None,
) -> None:
    """Check every line of every file of records, and change nothing.

    Ends with 78 where records are damaged, and with 0 where the daemon can go on by itself.
    """
    home: HomePaths = existing_home(context.obj)
    checked = list(checked_home(home))
    if name is None:
        raise typer.Exit(_told(checked))
    target = set_aside(home, _damaged(checked, name).path)
    say(f"moved to {target}")
    if name not in (home.journal.stem, home.ledger.stem):
        say(f"to run the round again: schedctl submit {target}/spec.*")


def _told(files: list[CheckedFile]) -> int:
    """Print what was found; the exit status."""
    has_failed = False
    for checked in files:
        say(f"{checked.state:<8} {_extent_words(checked)}")
        for finding in findings_of(checked):
            has_failed = has_failed or finding.level == "fail"
            say("\n".join(_finding_lines(finding)))
        for copy in checked.torn_copies:
            say(f"         {copy.name}: moved aside by a repair; nobody needs it any more")
    states = [checked.state for checked in files]
    say(
        f"{count(len(files), 'file')}: {states.count('ok')} whole, {states.count('torn')} with a torn tail,"
        f" {states.count('corrupt')} damaged"
    )
    if "corrupt" in states:
        return CorruptRecordsError.exit_code
    return UNFIT if has_failed else 0


def _extent_words(checked: CheckedFile) -> str:
    if checked.extent is None:
        return str(checked.path)
    return f"{checked.path}  {count(checked.extent.records, 'record')}"


def _finding_lines(finding: Finding) -> Iterator[str]:
    yield f"         {one_line(finding.what, limit=1000)}"
    yield f"         remedy: {one_line(finding.remedy, limit=1000)}"


def _damaged(files: list[CheckedFile], name: str) -> CheckedFile:
    """The damaged file of that name. Raises UnknownIdError or UsageError."""
    found = next((checked for checked in files if checked.name == name), None)
    if found is None:
        known = ", ".join(checked.name for checked in files) or "none"
        raise UnknownIdError(f"there are no records called {name!r}; there are {known}")
    if found.damage is None:
        raise UsageError(f"{found.path} is not damaged, so that nothing needs to be set aside")
    return found
