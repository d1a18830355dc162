"""What is wrong with the records of a home, as findings with remedies, and how many of them are whole?"""

from __future__ import annotations

from collections.abc import Iterator

from scheduler.cli.finding import Finding
from scheduler.report.numbers import count
from scheduler.report.record_check import CheckedFile, checked_home
from scheduler.rounds.paths import HomePaths


def record_findings(home: HomePaths) -> Iterator[Finding]:
    """File by file where something is to be said; then all the others together."""
    whole: list[int] = []
    for checked in checked_home(home):
        if checked.extent is not None:
            whole.append(checked.extent.records)
        yield from findings_of(checked)
    if whole:
        yield Finding(level="ok", what=f"{sum(whole):,} records in {count(len(whole), 'file')} are whole")


def findings_of(checked: CheckedFile) -> Iterator[Finding]:
    """What a person should know of one file; nothing where all is well."""
    if checked.damage is not None:
        yield Finding(level="fail", what=checked.damage, remedy=_remedy(checked))
    if checked.extent is not None and checked.extent.torn_bytes:
        place = f"line {checked.extent.records + 1} (byte {checked.extent.end})"
        yield Finding(
            level="warn",
            what=f"{checked.path}, {place}: {count(checked.extent.torn_bytes, 'byte')} of a record that was"
            f" never acknowledged",
            remedy="none: when the daemon reads the file, it moves them aside and goes on",
        )
    if checked.disagreeing is not None:
        yield Finding(
            level="fail",
            what=f"{checked.disagreeing} does not agree with the records beside it",
            remedy=f"remove it, or schedctl rebuild {checked.name}; then restart the daemon",
        )
    if checked.stranger is not None:
        yield Finding(
            level="warn",
            what=f"{checked.path} is of another round, {checked.stranger}, and counts for nothing",
            remedy="none, if it is a copy of that round; else give the folder its name again",
        )


def _remedy(checked: CheckedFile) -> str:
    lost = {
        "journal": "no round loses anything; only the daemon's own history and a pause are forgotten",
        "ledger": "no round loses anything; noise, effects and stored baselines are learnt anew",
    }.get(checked.name, "its folder moves away whole, and its spec can be submitted again")
    return (
        f"restore {checked.path} from a backup; or, with the daemon stopped,"
        f" `schedctl fsck --set-aside {checked.name}`: {lost}"
    )
