"""Which lessons does a ledger hold? Those that were learnt last by their source, and not forgotten since."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from policies._ledger import Lesson
from scheduler.decide import facts
from scheduler.effects.records import read_facts


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonEntry:
    """A lesson that counts."""

    source: str
    #: ISO 8601, UTC
    learnt_at: str
    is_foreign: bool
    lesson: Lesson

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def lessons_in(ledger: Path) -> tuple[LessonEntry, ...]:
    """In the order in which they were learnt; none where there is no ledger yet.

    Raises CorruptRecordsError at damage.
    """
    entries: dict[str, LessonEntry] = {}
    if not ledger.exists():
        return ()
    for recorded in read_facts(ledger):
        match recorded.fact:
            case facts.LessonLearnt(source=source, lesson=lesson, is_foreign=is_foreign):
                entries.pop(source, None)
                entries[source] = LessonEntry(
                    source=source, learnt_at=recorded.ts, is_foreign=is_foreign, lesson=lesson
                )
            case facts.LessonForgotten(source=source):
                entries.pop(source, None)
    return tuple(entries.values())
