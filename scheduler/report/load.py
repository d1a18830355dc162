"""What do the records of a round or a home say? The state they fold into, for readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from scheduler.decide import facts
from scheduler.decide.codec import event_name, from_record
from scheduler.decide.replay import RoundReplay
from scheduler.decide.state import RoundState, State, fold
from scheduler.effects.fact_lines import Recorded
from scheduler.effects.records import read_facts, read_records
from scheduler.report.history import History, Moment
from scheduler.rounds.errors import CorruptRecordsError, UnknownIdError
from scheduler.rounds.paths import HomePaths, RoundPaths

#: of which kinds the results that may be reused are made
_REUSABLE_EVENTS = {
    event_name(kind)
    for kind in (
        facts.RoundAccepted,
        facts.RunFinished,
        facts.TaskProbed,
        facts.TaskRebatched,
        facts.TaskBegun,
    )
}


def load_round(paths: RoundPaths) -> RoundState:
    """The round whose records lie in `paths`. Raises UnknownIdError, or CorruptRecordsError."""
    return load_history(paths).state


def load_history(paths: RoundPaths) -> History:
    """The round and when each fact of it was recorded. Raises UnknownIdError, or CorruptRecordsError."""
    if not paths.records.is_file():
        raise UnknownIdError(
            f"no round {paths.root.name!r} in {paths.root.parent}; `schedctl status` lists them"
        )
    replay = RoundReplay()
    moments = tuple(
        Moment(at=datetime.fromisoformat(recorded.ts), fact=recorded.fact)
        for recorded in taken_by(replay, paths)
        if isinstance(recorded.fact, facts.RoundFact)
    )
    if not replay.is_accepted:
        raise UnknownIdError(f"round {paths.root.name!r} has no records yet; look again in a moment")
    return History(state=replay.current, moments=moments)


def taken_by(replay: RoundReplay, paths: RoundPaths) -> Iterator[Recorded]:
    """Every record of the round, after `replay` has taken its fact. Raises CorruptRecordsError."""
    return read_facts(paths.records, taker_of(replay))


def taker_of(replay: RoundReplay) -> Callable[[Recorded], None]:
    """Lets the facts of a round count for `replay`."""

    def take(recorded: Recorded) -> None:
        if isinstance(recorded.fact, facts.RoundFact):
            replay.take(recorded.fact)

    return take


def load_home(home: HomePaths) -> State:
    """What outlives rounds, as far as the home has it: the ledger, and the devices of its last daemon.

    The home need not exist. Raises CorruptRecordsError.
    """
    state = State()
    for path, kind in ((home.journal, facts.DaemonStarted), (home.ledger, facts.LedgerFact)):
        for record in read_records(path) if path.is_file() else ():
            fact = from_record(record)
            if isinstance(fact, kind):
                state = fold(state, fact)
    return state


def load_results(home: HomePaths, broken: list[CorruptRecordsError] | None = None) -> State:
    """`load_home`, and every round with what later ones may reuse of it; without attempts and decisions.

    Raises CorruptRecordsError, unless there is a list to collect those of rounds in: they are left out.
    """
    state = load_home(home)
    firsts = []
    for name in round_ids(home):
        try:
            first = next(read_records(home.round(name).records), None)
        except CorruptRecordsError:
            first = {"ts": ""}  # told when the whole is read
        firsts.append(("" if first is None else first["ts"], name))
    for _, name in sorted(firsts):
        try:
            state = _with_results(state, home.round(name).records)
        except CorruptRecordsError as error:
            if broken is None:
                raise
            broken.append(error)
    return state


def _with_results(state: State, records: Path) -> State:
    for record in read_records(records):
        fact = from_record(record) if record["event"] in _REUSABLE_EVENTS else None
        match fact:
            case facts.RoundAccepted():
                state = fold(state, fact)
            case facts.RoundFact():
                task = state.rounds[fact.round].tasks[getattr(fact, "task", "")].task
                state = replace(state, results=state.results.after(fact, task))
    return state


def round_ids(home: HomePaths) -> tuple[str, ...]:
    """Every round with records in the home, oldest records first."""
    folders = [path.parent for path in home.results.glob("*/records.jsonl")]
    return tuple(folder.name for folder in sorted(folders, key=lambda f: (f.stat().st_ctime, f.name)))
