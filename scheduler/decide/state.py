"""What is known now? The state is a pure fold of facts: the same records give the same state.

What only lives as long as the daemon's process (workers, waits) is in `Live`, and starts empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from policies._ledger import Lesson
from scheduler.decide import facts, inputs
from scheduler.decide.baseline_store import BaselineStore
from scheduler.decide.task_fold import fold_task
from scheduler.decide.task_state import PROBE_CONFIG as PROBE_CONFIG
from scheduler.decide.task_state import PROBE_STAGE as PROBE_STAGE
from scheduler.decide.task_state import Attempt as Attempt
from scheduler.decide.task_state import TaskState as TaskState
from scheduler.decide.task_state import observation as observation
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
    #: the run's end is recorded; the process still has to go
    is_done: bool = False
    #: evaluations heard, in order
    evaluations: tuple[inputs.RunEvaluated, ...] = ()


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
    #: "<round>/<task>" of tasks that wait before another try
    backing_off: frozenset[str] = frozenset()
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

    #: in order of acceptance
    rounds: Mapping[str, RoundState] = field(default_factory=dict)
    #: device by id; there is one today
    devices: Mapping[str, Device] = field(default_factory=dict)
    #: reason of the pause; None when the queue is not paused
    paused: str | None = None
    draining: str | None = None
    #: reason by device that did not come back clean
    dirty: Mapping[str, str] = field(default_factory=dict)
    #: what finished tasks and foreign files teach, by source
    lessons: Mapping[str, Lesson] = field(default_factory=dict)
    baselines: BaselineStore = field(default_factory=BaselineStore)
    live: Live = field(default_factory=Live)


def fold(state: State, fact: facts.Fact) -> State:
    """The state after `fact`. Raises ValueError for a fact that cannot follow what is known."""
    match fact:
        case facts.RoundAccepted():
            return _with_round(state, fact.round, _accepted(fact))
        case facts.RoundFact():
            return _with_round(state, fact.round, _fold_round(_round(state, fact), fact))
        case facts.DaemonStarted():
            devices = {device.id: device for device in fact.devices}
            return replace(state, devices=devices, draining=None)
        case facts.LessonLearnt():
            return replace(state, lessons={**state.lessons, fact.source: fact.lesson})
        case facts.BaselineKept() | facts.BaselineAgreed() | facts.BaselineDrifted():
            return replace(state, baselines=state.baselines.after(fact))
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


def _round(state: State, fact: facts.RoundFact) -> RoundState:
    if fact.round not in state.rounds:
        raise ValueError(f"{type(fact).__name__} for round {fact.round!r}, which was never accepted")
    return state.rounds[fact.round]


def _with_round(state: State, round_id: str, round_state: RoundState) -> State:
    return replace(state, rounds={**state.rounds, round_id: round_state})


def _accepted(fact: facts.RoundAccepted) -> RoundState:
    accepted = Round.from_json(fact.spec)
    return RoundState(
        round=accepted,
        accepted=fact,
        tasks={task.name: TaskState(task=task) for task in accepted.tasks},
    )


def _fold_round(current: RoundState, fact: facts.RoundFact) -> RoundState:
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
    """How many runs of known rounds were taken from the baseline store."""
    return sum(task.reused for round_state in state.rounds.values() for task in round_state.tasks.values())


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
