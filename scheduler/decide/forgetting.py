"""What of the ledger does a person want to count no more? Facts that say so; no record is lost."""

from __future__ import annotations

from collections.abc import Iterator

from scheduler.decide.facts import LessonForgotten, ResultsForgotten
from scheduler.decide.inputs import RequestMade
from scheduler.decide.state import State


def forgotten(state: State, event: RequestMade) -> tuple[tuple[ResultsForgotten, ...], str]:
    """Facts that put results out of use, of a round or by their content key, and the answer to give."""
    if event.round is not None and event.round not in state.accepted:
        return (), f"no round is called {event.round!r}"
    meant = {
        (round_id, key)
        for round_id, key in _known(state)
        if event.key in (None, key) and event.round in (None, round_id)
    }
    if not meant:
        where = f" in round {event.round}" if event.round else ""
        return (), f"no result has the key {event.key}{where}" if event.key else f"no result lies{where}"
    rounds = sorted({round_id for round_id, _ in meant})
    granted = tuple(
        ResultsForgotten(round=name, content_key=event.key, reason=event.reason or "by request")
        for name in rounds
    )
    number = f"{len(meant)} result{'s' * (len(meant) != 1)}"
    return granted, f"forgot {number} of round {', '.join(rounds)}"


def unlearnt(state: State, event: RequestMade) -> tuple[tuple[LessonForgotten, ...], str]:
    """The fact that takes a lesson out of the ledger, and the answer to give."""
    if event.source is None or event.source not in state.lessons:
        return (), f"no lesson is called {event.source!r}"
    fact = LessonForgotten(source=event.source, reason=event.reason or "by request")
    return (fact,), f"forgot the lesson {event.source}; tasks that have begun keep what they began with"


def _known(state: State) -> Iterator[tuple[str, str]]:
    """Round and content key of all that may be reused."""
    yield from ((shelf.round, key) for key, shelf in state.results.results())
    for family in state.baselines.families.values():
        yield from ((kept.run.round, kept.run.content_key) for kept in family.values())
