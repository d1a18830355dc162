"""What is known now? The state is a pure fold of facts: the same records give the same state.

What only lives as long as the daemon's process (workers, waits) is in `Live`, and starts empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from policies._ledger import Lesson
from scheduler.decide import actions as act
from scheduler.decide import facts, inputs
from scheduler.decide.baseline_store import BaselineStore
from scheduler.decide.ended import EndedRound, ended_round
from scheduler.decide.result_cache import ResultCache
from scheduler.decide.task_fold import fold_task
from scheduler.decide.task_state import Attempt, TaskState
from scheduler.rounds.identity import Device
from scheduler.rounds.round import Round


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundState:
    """One accepted round."""

    round: Round
    accepted: facts.RoundAccepted
    tasks: Mapping[str, TaskState]
    cancelled: facts.RoundCancelled | None = None
    finished: facts.RoundFinished | None = None

    @property
    def is_open(self) -> bool:
        """Whether anything of it may still run."""
        return self.cancelled is None and self.finished is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process of ours, from its making until it is gone."""

    attempt_id: str
    device: str
    #: set when it has reached the gate; RunStarted may then be recorded
    prepared: inputs.WorkerPrepared | None = None
    #: it was made for a predicted run, before this one was intended
    is_prepared_ahead: bool = False
    #: the attempt that its process was made for, where it has served another one before
    made_for: str | None = None
    #: the run's end is recorded; the process goes on to a longer run, or has to go
    is_done: bool = False
    #: it was told to go
    is_leaving: bool = False
    #: "<round>/<run folder>" of the state that a longer run may take from its memory
    holds: str | None = None
    #: free on its device beside what it held when its run had ended well; None where nobody can tell
    free_memory_mib: float | None = None
    #: of the processor, used by its processes when they were last seen to compute
    cpu_seconds: float = 0.0
    #: what was seen that had it ended, in words; empty where nobody said
    ended_for: str = ""
    #: evaluations heard, in order
    evaluations: tuple[inputs.RunEvaluated, ...] = ()
    #: errors that its device reported while it trained, each once
    xids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spare:
    """A process of ours that prepares a run nobody has intended yet. It waits at its gate, or goes."""

    #: the run as it will be intended, if the prediction is right
    intended: facts.RunIntended
    #: set when it has reached the gate
    prepared: inputs.WorkerPrepared | None = None
    #: it was told to go, or could not prepare; it is no longer of use
    is_leaving: bool = False

    @property
    def attempt_id(self) -> str:
        return self.intended.attempt_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What is true only while this daemon lives."""

    workers: Mapping[str, Worker] = field(default_factory=dict)
    #: the worker that prepares the run predicted to be next
    spare: Spare | None = None
    #: reasons not to start anything, by source
    waits: Mapping[str, str] = field(default_factory=dict)
    #: failure class by "<round>/<task>" of tasks that wait before another try
    backing_off: Mapping[str, str] = field(default_factory=dict)
    #: the reusable result that is being looked up
    fetching: act.FetchResult | None = None
    #: those that were found and are not recorded yet, by content key, oldest first
    fetched: Mapping[str, inputs.ResultFetched] = field(default_factory=dict)
    #: (round, content key) of those that were gone or damaged
    spoiled: frozenset[tuple[str, str]] = frozenset()
    #: (device, Xid) of every error that was told
    told_xids: frozenset[tuple[str, int]] = frozenset()
    #: facts that were asked to be recorded and are not yet: nothing is decided before
    unrecorded: int = 0
    #: processes of ours that could not be killed, until they are gone
    hanging: frozenset[int] = frozenset()
    #: why the daemon is ending; None while it is not
    stopping: str | None = None
    #: what an earlier daemon left in flight has been settled; nothing is decided before
    is_recovered: bool = False

    @property
    def attempt_ids(self) -> tuple[str, ...]:
        """Every process of ours, by the attempt it serves or was made for."""
        return (*self.workers, *(() if self.spare is None else (self.spare.attempt_id,)))


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything a decision may depend on."""

    #: that are not finished, in order of acceptance
    rounds: Mapping[str, RoundState] = field(default_factory=dict)
    #: that are, until a person's retry has one loaded again
    ended: Mapping[str, EndedRound] = field(default_factory=dict)
    #: ids of all of them, in order of acceptance
    accepted: tuple[str, ...] = ()
    #: device by id; there is one today
    devices: Mapping[str, Device] = field(default_factory=dict)
    #: reason of the pause; None when the queue is not paused
    paused: str | None = None
    draining: str | None = None
    #: a daemon has started, and did not end in order since
    is_served: bool = False
    #: reason by device that did not come back clean
    dirty: Mapping[str, str] = field(default_factory=dict)
    #: what finished tasks and foreign files teach, by source
    lessons: Mapping[str, Lesson] = field(default_factory=dict)
    baselines: BaselineStore = field(default_factory=BaselineStore)
    #: runs of all rounds that later ones may reuse
    results: ResultCache = field(default_factory=ResultCache)
    live: Live = field(default_factory=Live)


def fold(state: State, fact: facts.Fact) -> State:
    """The state after `fact`. Raises ValueError for a fact that cannot follow what is known."""
    match fact:
        case facts.RoundAccepted():
            accepted = (*state.accepted, fact.round)
            return replace(_with_round(state, accepted_round(fact)), accepted=accepted)
        case facts.RoundFact():
            known = _round(state, fact)
            return _with_results(_with_round(state, fold_round(known, fact)), fact, known)
        case facts.DaemonStarted():
            devices = {device.id: device for device in fact.devices}
            return replace(state, devices=devices, draining=None, is_served=True)
        case facts.DaemonStopped():
            return replace(state, is_served=False)
        case facts.LessonLearnt():
            return replace(state, lessons={**state.lessons, fact.source: fact.lesson})
        case facts.LessonForgotten(source=source):
            return replace(state, lessons={k: v for k, v in state.lessons.items() if k != source})
        case facts.BaselineKept() | facts.BaselineAgreed() | facts.BaselineDrifted():
            return replace(state, baselines=state.baselines.after(fact))
        case facts.ResultsForgotten():
            return replace(
                state, baselines=state.baselines.after(fact), results=state.results.forgetting(fact)
            )
        case facts.QueuePaused():
            return replace(state, paused=fact.reason)
        case facts.QueueResumed():
            return replace(state, paused=None)
        case facts.DrainStarted():
            return replace(state, draining=fact.reason)
        case facts.GpuDirtied():
            return replace(state, dirty={**state.dirty, fact.device: fact.reason})
        case facts.GpuCleared():
            return replace(state, dirty={k: v for k, v in state.dirty.items() if k != fact.device})
        case _:
            return state


def next_place(state: State) -> int:
    """Of the next round that is accepted: after all that are known."""
    known = [each.accepted.place for each in state.rounds.values()]
    known += [each.place for each in state.ended.values()]
    return 1 + max((place for place in known if place is not None), default=0)


def with_gate(state: State, change: inputs.GateChanged) -> State:
    """The state with a gate that opened or closed."""
    waits = {source: reason for source, reason in state.live.waits.items() if source != change.source}
    if change.wait_reason is not None:
        waits[change.source] = change.wait_reason
    state = replace(state, live=replace(state.live, waits=waits))
    if change.source != "disk" or change.wait_reason is not None:
        return state
    # whoever waited for space need not wait for the clock
    return without_backoff(state, lambda task, why: why == "disk")


def without_backoff(state: State, is_over: Callable[[str, str], bool]) -> State:
    """The tasks go on for which a wait before another try is over, given the task and its failure class."""
    waiting = state.live.backing_off
    backing_off = {task: why for task, why in waiting.items() if not is_over(task, why)}
    if len(backing_off) == len(waiting):
        return state
    return replace(state, live=replace(state.live, backing_off=backing_off))


def with_loaded(state: State, current: RoundState) -> State:
    """The state with all of an ended round, so that a retry of it can be folded."""
    ended = {round_id: each for round_id, each in state.ended.items() if round_id != current.round.id}
    rounds = {**state.rounds, current.round.id: current}
    in_order = {round_id: rounds[round_id] for round_id in state.accepted if round_id in rounds}
    return replace(state, rounds=in_order, ended=ended)


def _round(state: State, fact: facts.RoundFact) -> RoundState:
    if fact.round in state.ended:
        raise ValueError(f"{type(fact).__name__} for round {fact.round!r}, which has ended")
    if fact.round not in state.rounds:
        raise ValueError(f"{type(fact).__name__} for round {fact.round!r}, which was never accepted")
    return state.rounds[fact.round]


def _with_round(state: State, current: RoundState) -> State:
    """The state with the round as it is now; of a finished one only what is needed later."""
    if current.finished is None:
        return replace(state, rounds={**state.rounds, current.round.id: current})
    rounds = {round_id: each for round_id, each in state.rounds.items() if round_id != current.round.id}
    return replace(state, rounds=rounds, ended={**state.ended, current.round.id: ended_round(current)})


def _with_results(state: State, fact: facts.RoundFact, known: RoundState) -> State:
    """The results that later rounds may reuse, with what `fact` adds to them."""
    name = getattr(fact, "task", None)
    if name is None:
        return state
    results = state.results.after(fact, known.tasks[name].task)
    return state if results is state.results else replace(state, results=results)


def accepted_round(fact: facts.RoundAccepted) -> RoundState:
    """The round as it begins."""
    accepted = Round.from_json(fact.spec)
    return RoundState(
        round=accepted,
        accepted=fact,
        tasks={task.name: TaskState(task=task) for task in accepted.tasks},
    )


def fold_round(current: RoundState, fact: facts.RoundFact) -> RoundState:
    """The whole round after `fact`, finished or not. Raises ValueError for a fact that cannot follow."""
    match fact:
        case facts.RoundCancelled():
            return replace(current, cancelled=fact)
        case facts.RoundFinished():
            return replace(current, finished=fact)
        case facts.TaskRetried():
            current = replace(current, finished=None)
    name: str = getattr(fact, "task", "")
    if name not in current.tasks:
        raise ValueError(f"{type(fact).__name__} for task {name!r}, which round {fact.round!r} has not")
    return replace(current, tasks={**current.tasks, name: fold_task(current.tasks[name], fact)})


def count_reused(state: State) -> int:
    """How many runs of baselines of known rounds were reused."""
    open_tasks = (task for current in state.rounds.values() for task in current.tasks.values())
    return sum(task.reused for task in open_tasks) + sum(ended.runs_reused for ended in state.ended.values())


def open_attempts(state: State) -> Iterator[tuple[RoundState, TaskState, Attempt]]:
    """Attempts that were intended or started and have no end."""
    for round_state in state.rounds.values():
        for task in round_state.tasks.values():
            for attempt in task.open_attempts:
                yield round_state, task, attempt


def open_attempt(state: State, attempt_id: str) -> Attempt | None:
    """The open attempt of that name, if there is one."""
    return next((attempt for _, _, attempt in open_attempts(state) if attempt.id == attempt_id), None)


def is_spare(state: State, attempt_id: str) -> bool:
    """Whether what is heard of that name comes from the spare."""
    return state.live.spare is not None and state.live.spare.attempt_id == attempt_id
