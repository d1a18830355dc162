"""What of foreign lessons is new to the ledger? Each run counts once, however often its file is imported."""

from __future__ import annotations

from collections.abc import Mapping

from policies._ledger import Lesson
from scheduler.decide.facts import LessonLearnt


def imported(
    known: Mapping[str, Lesson], foreign: Mapping[str, Lesson]
) -> tuple[tuple[LessonLearnt, ...], str]:
    """Facts for the lessons that tell more than what is known by their name, and the answer to give.

    A lesson replaces the last one of its name, so that records that have grown may be imported again; one
    that is known by another name is not learnt twice.
    """
    facts = []
    told = dict(known)
    for source, lesson in foreign.items():
        before = told.get(source)
        if (before is None or _worth(lesson) > _worth(before)) and lesson not in told.values():
            facts.append(LessonLearnt(source=source, lesson=lesson, is_foreign=True))
            told[source] = lesson
    return tuple(facts), f"foreign lessons: {len(facts)} learnt, {len(foreign) - len(facts)} known already"


def _worth(lesson: Lesson) -> int:
    """How many numbers went into it."""
    return lesson.quick.df + lesson.medium.df + len(lesson.readings)
