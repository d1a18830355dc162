"""Is every line of the records of a home whole, and does what was made of them agree with them?

The daemon reads no more than it needs; this reads all, and changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from scheduler.decide.ended import ended_round
from scheduler.decide.replay import Replay, RoundReplay
from scheduler.effects.ended_file import read_ended
from scheduler.effects.fact_lines import Recorded
from scheduler.effects.record_reading import DamagedRecordError, Extent, extent
from scheduler.report.load import round_ids, taker_of
from scheduler.rounds.paths import HomePaths, RoundPaths

#: a record that is just being written is whole after this long
_WRITING_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFile:
    """What was found in one file of records, and beside it."""

    path: Path
    #: "journal", "ledger" or the name of the round's folder
    name: str
    #: None where it is damaged
    extent: Extent | None = None
    #: what is wrong and where, as the daemon says it
    damage: str | None = None
    #: what repairs have moved aside
    torn_copies: tuple[Path, ...] = ()
    #: a derived file that does not agree with the records
    disagreeing: Path | None = None
    #: the round that the records are about, where the folder has another name: the daemon leaves it alone
    stranger: str | None = None

    @property
    def state(self) -> Literal["ok", "torn", "corrupt"]:
        """The daemon repairs what is torn by itself; nothing may go on from what is corrupt."""
        if self.extent is None:
            return "corrupt"
        return "torn" if self.extent.torn_bytes else "ok"


def checked_home(home: HomePaths) -> Iterator[CheckedFile]:
    """Every file of records in the home."""
    known = Replay()

    def take(recorded: Recorded) -> None:
        if recorded.fact is not None:
            known.take(recorded.fact)

    for path in (home.journal, home.ledger):
        if path.is_file():
            yield _checked(path, path.stem, take)
    for round_id in round_ids(home):
        yield _checked_round(home.round(round_id))


def _checked_round(paths: RoundPaths) -> CheckedFile:
    known = read_ended(paths)
    replay = RoundReplay()
    found = _checked(paths.records, paths.root.name, taker_of(replay))
    if found.damage is not None or not replay.is_accepted:
        return found
    current = replay.current
    if current.round.id != paths.root.name:
        return replace(found, stranger=current.round.id)
    is_agreed = known is None or (current.finished is not None and known.ended == ended_round(current))
    return replace(found, disagreeing=None if is_agreed else paths.ended)


def _checked(path: Path, name: str, take: Callable[[Recorded], None]) -> CheckedFile:
    copies = tuple(sorted(path.parent.glob(f"{path.stem}.torn.*")))
    try:
        size = path.stat().st_size
        found = extent(path, take)
        if found.torn_bytes and _is_being_written(path, size):
            found = Extent(records=found.records, end=found.end, torn_bytes=0)
    except DamagedRecordError as error:
        return CheckedFile(path=path, name=name, damage=error.damage, torn_copies=copies)
    return CheckedFile(path=path, name=name, extent=found, torn_copies=copies)


def _is_being_written(path: Path, size: int) -> bool:
    time.sleep(_WRITING_SECONDS)
    return path.stat().st_size != size
