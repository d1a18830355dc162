"""What has a home learnt, in words? Noise by unit, effects, the counters of races, and each lesson."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policies._assessment import Ledger
from policies._effect_prior import MIN_CONFIRMED_TO_FIT
from policies._ledger import learnt
from policies._race_level import Counters, level, stopping_rate
from policies._variance import MIN_TASKS_TO_FIT, NoisePrior, Spread
from policies.evidence import Objective
from policies.race import TARGETS
from scheduler.effects.ledger_reading import LessonEntry
from scheduler.report.numbers import count
from scheduler.report.printable import one_line


def ledger_lines(entries: Sequence[LessonEntry]) -> Iterator[str]:
    """The whole, and then the lessons it follows from."""
    if not entries:
        yield "this home has learnt nothing yet: a task teaches when it ends"
        return
    yield f"{count(len(entries), 'lesson')}, {sum(each.is_foreign for each in entries)} of them foreign"
    lessons = [entry.lesson for entry in entries]
    for unit in sorted({lesson.unit for lesson in lessons}):
        known = learnt(lessons, Objective(unit=unit))
        yield f"noise in {unit}, of one run: quick {_noise(known.quick)}; medium {_noise(known.medium)}"
    known = learnt(lessons, Objective())
    yield (
        f"a seed's luck that variant and baseline share: {known.correlation.rho:.2f},"
        f" corrected for by {known.correlation.theta:.2f}"
    )
    yield _effects(sum(lesson.confirmed for lesson in lessons))
    yield from _races(known)
    yield ""
    width = max(len(entry.source) for entry in entries)
    found = Counters()
    for entry in entries:
        found += entry.lesson.counters
        yield _entry(entry, width, found)


def _noise(prior: NoisePrior | None) -> str:
    if prior is None:
        return f"unknown before {MIN_TASKS_TO_FIT} tasks"
    return f"sd {prior.sd:.3g} min_effects, worth {prior.df:.1f} degrees of freedom"


def _effects(confirmed: int) -> str:
    if confirmed < MIN_CONFIRMED_TO_FIT:
        return f"effects: {confirmed} confirmed, expected as elsewhere until there are {MIN_CONFIRMED_TO_FIT}"
    return f"effects: {confirmed} confirmed, expected as they were"


def _races(known: Ledger) -> Iterator[str]:
    found = known.counters
    yield (
        f"races: {found.winners:g} winners, about {found.nulls:g} tested candidates without an effect,"
        f" the time of {found.medium_runs:.1f} medium runs"
    )
    levels = ", ".join(f"{name} {level(found, target):.3f}" for name, target in TARGETS.items())
    rate = stopping_rate(found)
    yield f"a race that began now: level {levels}; stopping rate {rate:.4f} winners a medium run"


def _entry(entry: LessonEntry, width: int, found: Counters) -> str:
    """One lesson; `found` is what all races had found once it was learnt, and gives the next level."""
    lesson = entry.lesson
    told = [
        f"{entry.learnt_at[:10]}",
        f"{lesson.min_effect:g} {lesson.unit}",
        f"quick {_spread(lesson.quick)}",
        f"medium {_spread(lesson.medium)}",
        f"{count(len(lesson.readings), 'variant')}, {lesson.confirmed} confirmed",
    ]
    if lesson.counters.medium_runs:
        own = lesson.counters
        told.append(
            f"race: {own.winners:g} winners, {own.nulls:g} nulls, {own.medium_runs:.1f} medium runs;"
            f" level then {level(found, TARGETS['default']):.3f}, stopping rate {stopping_rate(found):.4f}"
        )
    if entry.is_foreign:
        told.append("foreign")
    return f"  {one_line(entry.source).ljust(width)}  {'; '.join(told)}"


def _spread(spread: Spread) -> str:
    return f"sd {(spread.ss / spread.df) ** 0.5:.3g} ({spread.df})" if spread.df else "-"
