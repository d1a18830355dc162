"""Is every line of the records of a home whole, and does what was made of them agree with them?

The daemon reads no more than it needs; this reads all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scheduler.cli.findings import Finding
from scheduler.decide.ended import ended_round
from scheduler.decide.replay import RoundReplay
from scheduler.effects.ended_file import read_ended
from scheduler.effects.records import read_facts
from scheduler.report.load import round_ids, taken_by
from scheduler.rounds.errors import CorruptRecordsError
from scheduler.rounds.paths import HomePaths, RoundPaths


def record_findings(home: HomePaths) -> Iterator[Finding]:
    """What is wrong with the records, file by file; and how many of them are whole."""
    whole: list[int] = []
    for path in (home.journal, home.ledger):
        if path.is_file():
            yield from _checked(path, whole)
    for round_id in round_ids(home):
        yield from _checked_round(home.round(round_id), whole)
    if whole:
        yield Finding(level="ok", what=f"{sum(whole):,} records in {len(whole)} files are whole")


def _checked(path: Path, whole: list[int]) -> Iterator[Finding]:
    """Damage to the file; the number of its records is added to `whole` where there is none."""
    try:
        whole.append(sum(1 for _ in read_facts(path)))
    except CorruptRecordsError as error:
        yield _damage(path, error)


def _checked_round(paths: RoundPaths, whole: list[int]) -> Iterator[Finding]:
    """The same of a round's records; and whether what is kept of an ended one agrees with them."""
    known, replay = read_ended(paths), RoundReplay()
    try:
        whole.append(sum(1 for _ in taken_by(replay, paths)))
        is_agreed = known is None or known.ended == ended_round(replay.current)
    except CorruptRecordsError as error:
        yield _damage(paths.records, error)
        return
    except ValueError:
        is_agreed = False  # there is no round, or it has not ended
    if not is_agreed:
        yield Finding(
            level="fail",
            what=f"{paths.ended} does not agree with the records beside it",
            remedy=f"remove it, or schedctl rebuild {paths.root.name}; then restart the daemon",
        )


def _damage(path: Path, error: CorruptRecordsError) -> Finding:
    remedy = f"restore {path} from a backup; while a round is open, no daemon starts on damaged records"
    return Finding(level="fail", what=str(error), remedy=remedy)
