"""Is everything that a home needs in order?"""

from __future__ import annotations

from itertools import chain

import typer

from scheduler.cli.findings import findings
from scheduler.cli.record_findings import record_findings
from scheduler.cli.saying import say
from scheduler.report.printable import one_line
from scheduler.rounds.paths import HomePaths

#: exit status when something does not work
UNFIT = 1


def doctor(context: typer.Context) -> None:
    """Look for what keeps a home from working.

    Python, packages, torch, GPU, disk, permissions, the daemon and every line of every record, with a remedy
    for every finding.
    """
    home: HomePaths = context.obj
    is_fit = True
    for finding in chain(findings(home), record_findings(home)):
        is_fit = is_fit and finding.level != "fail"
        say(f"{finding.level:<4}  {one_line(finding.what, limit=1000)}")
        if finding.remedy:
            say(f"      remedy: {one_line(finding.remedy)}")
    if not is_fit:
        raise typer.Exit(UNFIT)
