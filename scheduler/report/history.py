"""When did what happen in a round? Its facts with the times of their records, oldest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from scheduler.decide import facts
from scheduler.decide.state import RoundState


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A fact and the time of its record."""

    at: datetime
    fact: facts.RoundFact


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptTimes:
    """One attempt, from the making of its worker to the record of its end."""

    intended: facts.RunIntended
    intended_at: datetime
    #: None while it prepares, and for a run that was found in the cache
    started_at: datetime | None = None
    finished_at: datetime | None = None
    #: None while it is under way
    finished: facts.RunFinished | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A round, and how it came about."""

    state: RoundState
    moments: tuple[Moment, ...]

    @property
    def began_at(self) -> datetime:
        """When the round was accepted."""
        return self.moments[0].at

    @property
    def ended_at(self) -> datetime:
        """When the last fact was recorded, so far."""
        # A clock that was set back makes no round end before it began.
        return max(moment.at for moment in self.moments)

    def of(self, kind: type[facts.RoundFact], task: str | None = None) -> Iterator[Moment]:
        """Facts of one kind, of one task where it is named."""
        for moment in self.moments:
            is_of_task = task is None or getattr(moment.fact, "task", None) == task
            if isinstance(moment.fact, kind) and is_of_task:
                yield moment

    def attempts(self) -> tuple[AttemptTimes, ...]:
        """Every attempt, probes included, in the order in which they were intended."""
        known: dict[str, AttemptTimes] = {}
        for moment in self.moments:
            _told(known, moment)
        return tuple(known.values())


def _told(known: dict[str, AttemptTimes], moment: Moment) -> None:
    match moment.fact:
        case facts.RunIntended() as fact:
            known[fact.attempt_id] = AttemptTimes(intended=fact, intended_at=moment.at)
        case facts.RunStarted() as fact:
            known[fact.attempt_id] = replace(known[fact.attempt_id], started_at=moment.at)
        case facts.RunFinished() as fact:
            # A run out of the baseline store has no other record.
            known.setdefault(fact.attempt_id, AttemptTimes(intended=fact.intent, intended_at=moment.at))
            known[fact.attempt_id] = replace(known[fact.attempt_id], finished_at=moment.at, finished=fact)


def numbers_of(attempts: tuple[AttemptTimes, ...]) -> Mapping[str, int]:
    """1, 2, 3, ... by attempt, in the order in which they were intended: the name a reader points at."""
    return {attempt.intended.attempt_id: number for number, attempt in enumerate(attempts, start=1)}
