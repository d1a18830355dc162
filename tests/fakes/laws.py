"""What no daemon may do, whatever happened before. Each check raises AssertionError and names the law."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from scheduler.decide import actions as act
from scheduler.decide import facts
from scheduler.decide.state import State, open_attempts

#: ends after which a run is not made again for one protocol
DONE = frozenset({"ok", "pruned", "timed_out"})


def assert_recorded(effect: act.Action, durable: Sequence[facts.Fact]) -> None:
    """Every effect has an older record, and that is on the disk."""
    match effect:
        case (
            act.StartWorker(intended=intended) | act.ContinueWorker(start=act.StartWorker(intended=intended))
        ):
            assert intended in durable, f"a worker for {intended.attempt_id}, which was not intended"
        case act.OpenGate(started=started):
            assert started in durable, f"an open gate for {started.attempt_id}, which has not started"
        case act.StopRun(attempt_id=attempt_id):
            stops = (fact for fact in durable if isinstance(fact, facts.StopDecided) and not fact.is_audit)
            assert any(fact.attempt_id == attempt_id for fact in stops), f"an undecided stop of {attempt_id}"
        case act.EndWorker(attempt_id=attempt_id, ended_by="cancelled"):
            assert _is_told(durable, facts.RoundCancelled, attempt_id.split("/")[0])
        case act.RejectSpec(rejected=rejected):
            assert rejected in durable, f"{rejected.file} is moved before its rejection is known"
        case act.MoveSpec(round=round_id, to="done"):
            assert _is_told(durable, facts.RoundFinished, round_id), f"{round_id} is moved before its end"
        case act.MoveSpec(round=round_id):
            assert _is_told(durable, facts.RoundAccepted, round_id), f"{round_id} is moved and not accepted"
        case act.CloseRecords(ended=ended):
            assert _is_told(durable, facts.RoundFinished, ended.id), f"{ended.id} is closed before its end"
        case act.KeepError(run=run):
            assert run in durable, f"the error of {run.attempt_id} is kept before its end is known"


def _is_told(durable: Iterable[facts.Fact], kind: type[facts.RoundFact], round_id: str) -> bool:
    return any(isinstance(fact, kind) and fact.round == round_id for fact in durable)


def assert_may_happen(fact: facts.Fact, before: State) -> None:
    """A run is intended only where nothing forbids it and nothing else is under way."""
    if isinstance(fact, facts.RunIntended):
        _assert_free(fact, before)
        current = before.rounds[fact.round]
        assert current.is_open, f"{fact.attempt_id} of a round that has ended"
        task = current.tasks[fact.task]
        assert task.parked is None, f"{fact.attempt_id} of a parked task"
        assert not task.is_finished, f"{fact.attempt_id} of a finished task"
        others = [attempt.id for _, _, attempt in open_attempts(before)]
        assert not others, f"{fact.attempt_id} is intended while {others} have no end"
        ends = (attempt.finished for attempt in task.counted(fact.key))
        done = [run for run in ends if run and is_for_good(run) and run.protocol == fact.protocol]
        assert not done, f"{fact.attempt_id} repeats {done[0].attempt_id}, which is {done[0].status}"
    elif isinstance(fact, facts.RunStarted):
        others = [attempt.id for _, _, attempt in open_attempts(before) if attempt.started is not None]
        assert not others, f"{fact.attempt_id} starts while {others} have no end"
        assert before.rounds[fact.round].is_open, f"{fact.attempt_id} starts in a round that has ended"
        assert fact.device not in before.dirty, f"{fact.attempt_id} starts on a dirty device"
        assert "gpu" not in before.live.waits, f"{fact.attempt_id} starts while others have the device"


def is_for_good(run: facts.RunFinished) -> bool:
    """Whether the run is never made again; one that shared its device may be, once."""
    return run.status in DONE and run.contaminated is None


def _assert_free(fact: facts.RunIntended, before: State) -> None:
    assert before.paused is None, f"{fact.attempt_id} is intended in a paused queue"
    assert before.draining is None, f"{fact.attempt_id} is intended in a queue that drains"
    assert before.live.stopping is None, f"{fact.attempt_id} is intended by a daemon that ends"
    assert fact.device not in before.dirty, f"{fact.attempt_id} is intended on a dirty device"
    assert not before.live.waits, f"{fact.attempt_id} is intended while {dict(before.live.waits)}"


def assert_nothing_repeated(told: Iterable[facts.Fact]) -> None:
    """No run that ended well is made again under the same content key."""
    runs = (fact for fact in told if isinstance(fact, facts.RunFinished) and fact.cached_from is None)
    sound = (run for run in runs if run.status == "ok" and is_for_good(run) and run.stage != "probe")
    made = Counter(run.content_key for run in sound)
    twice = [key for key, count in made.items() if count > 1]
    assert not twice, f"made more than once: {twice}"


def difference(told: Any, live: Any, where: str = "state") -> str:
    """The first place where what the records tell is not what the daemon knows; empty where there is none."""
    if told == live:
        return ""
    if isinstance(told, Mapping) and isinstance(live, Mapping) and told.keys() == live.keys():
        return next(filter(None, (difference(told[key], live[key], f"{where}[{key!r}]") for key in told)))
    if is_dataclass(told) and type(told) is type(live):
        names = (each.name for each in fields(told) if each.compare)
        return next(
            filter(None, (difference(getattr(told, n), getattr(live, n), f"{where}.{n}") for n in names))
        )
    if isinstance(told, tuple) and isinstance(live, tuple) and len(told) == len(live):
        pairs = enumerate(zip(told, live, strict=True))
        return next(filter(None, (difference(*pair, f"{where}[{place}]") for place, pair in pairs)))
    return f"{where}: the records tell {told}, the daemon knows {live}"
