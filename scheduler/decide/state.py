"""What is known now? The state is a pure fold of facts: the same records give the same state.

What only lives as long as the daemon's process (workers, waits) is in `Live`, and starts empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from policies._ledger import Lesson
from policies.evidence import Observation
from scheduler.decide import actions as act
from scheduler.decide import facts, inputs
from scheduler.decide.baseline_store import BaselineStore
from scheduler.decide.result_cache import ResultCache
from scheduler.rounds.identity import Device, RunKey
from scheduler.rounds.round import BASELINE, Budget, Round, Task

#: key of the attempts at probing a task
PROBE_STAGE, PROBE_CONFIG = "probe", "bsz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a run: intended, then started, then finished."""

    intended: facts.RunIntended
    started: facts.RunStarted | None = None
    #: what in-run rules decided, audited ones included
    stops: tuple[facts.StopDecided, ...] = ()
    finished: facts.RunFinished | None = None

    @property
    def id(self) -> str:
        return self.intended.attempt_id

    @property
    def stop(self) -> facts.StopDecided | None:
        """What ends it at its next evaluation, if anything does."""
        return next((stop for stop in self.stops if not stop.is_audit), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """One task of a round, as far as it has come."""

    task: Task
    probed: facts.TaskProbed | None = None
    begun: facts.TaskBegun | None = None
    #: every attempt, probes included, by run, in order
    attempts: Mapping[RunKey, tuple[Attempt, ...]] = field(default_factory=dict)
    #: decisions by config, in order
    decisions: Mapping[str, tuple[facts.VariantFact, ...]] = field(default_factory=dict)
    confirm_set: facts.ConfirmSetFrozen | None = None
    #: in order
    looks: tuple[facts.LookTaken, ...] = ()
    verdicts: Mapping[str, facts.VerdictReached] = field(default_factory=dict)
    parked: facts.TaskParked | None = None
    #: attempts that no longer count, because a person asked for another try
    forgiven: frozenset[str] = frozenset()
    is_finished: bool = False
    #: most that a run of it held on its device, or in the machine's memory; None before one has told
    peak_memory_mib: float | None = None

    @property
    def bsz(self) -> int | None:
        """Batch size in force: the probed one, or the one the spec names."""
        if self.probed is not None:
            return self.probed.bsz
        return self.task.bsz[0] if self.task.bsz else None

    def budget(self, stage: str) -> Budget:
        """Budget of `stage`, with calibrated steps where the spec gives only seconds."""
        declared = next(s.budget for s in self.task.stages if s.name == stage)
        if self.probed is not None and stage in self.probed.max_steps:
            return replace(declared, max_steps=self.probed.max_steps[stage])
        return declared

    @property
    def can_be_retried(self) -> bool:
        """Whether a person's retry would change anything: it is parked, or a run of it failed."""
        tries = (attempt for attempts in self.attempts.values() for attempt in attempts)
        return self.parked is not None or any(_has_failed(a) and a.id not in self.forgiven for a in tries)

    @property
    def in_flight(self) -> Attempt | None:
        """The attempt that has not ended."""
        tries = (attempt for attempts in self.attempts.values() for attempt in attempts)
        return next((attempt for attempt in tries if attempt.finished is None), None)

    def counted(self, key: RunKey) -> tuple[Attempt, ...]:
        """Attempts at `key` that count, oldest first."""
        return tuple(a for a in self.attempts.get(key, ()) if a.id not in self.forgiven)

    def observations(self, config: str) -> Iterator[Observation]:
        """Runs of `config` that ended, newest attempt of each, whatever their protocol."""
        for key, attempts in self.attempts.items():
            if key.config == config and key.stage != PROBE_STAGE:
                finished = next((a.finished for a in reversed(attempts) if a.finished), None)
                if finished is not None:
                    yield observation(finished)


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
    #: the reusable result that is being looked up
    fetching: act.FetchResult | None = None
    #: those that were found and are not recorded yet, by content key, oldest first
    fetched: Mapping[str, inputs.ResultFetched] = field(default_factory=dict)
    #: (round, content key) of those that were gone or damaged
    spoiled: frozenset[tuple[str, str]] = frozenset()
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
    #: runs of all rounds that later ones may reuse
    results: ResultCache = field(default_factory=ResultCache)
    live: Live = field(default_factory=Live)


def observation(run: facts.RunFinished) -> Observation:
    """A finished run as policies see it."""
    return Observation(
        stage=run.stage,
        config=run.config,
        seed=run.seed,
        slot=run.slot,
        status=run.status,
        protocol=run.protocol,
        value=run.value,
        loss=run.loss,
        acc=run.acc,
        n_eval=run.n_eval,
        n_clusters=run.n_clusters,
        scores_digest=run.scores_digest,
        curve=run.curve,
        failure_class=run.failure_class,
        stopped_by=run.stopped_by,
        is_reused=run.cached_from is not None,
    )


def fold(state: State, fact: facts.Fact) -> State:
    """The state after `fact`. Raises ValueError for a fact that cannot follow what is known."""
    match fact:
        case facts.RoundAccepted():
            return _with_round(state, fact.round, _accepted(fact))
        case facts.RoundFact():
            state = _with_round(state, fact.round, _fold_round(_round(state, fact), fact))
            return _with_results(state, fact)
        case facts.DaemonStarted():
            devices = {device.id: device for device in fact.devices}
            return replace(state, devices=devices, draining=None)
        case facts.LessonLearnt():
            return replace(state, lessons={**state.lessons, fact.source: fact.lesson})
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


def _round(state: State, fact: facts.RoundFact) -> RoundState:
    if fact.round not in state.rounds:
        raise ValueError(f"{type(fact).__name__} for round {fact.round!r}, which was never accepted")
    return state.rounds[fact.round]


def _with_round(state: State, round_id: str, round_state: RoundState) -> State:
    return replace(state, rounds={**state.rounds, round_id: round_state})


def _with_results(state: State, fact: facts.RoundFact) -> State:
    """The results that later rounds may reuse, with what `fact` adds to them."""
    name = getattr(fact, "task", None)
    if name is None:
        return state
    results = state.results.after(fact, state.rounds[fact.round].tasks[name].task)
    return state if results is state.results else replace(state, results=results)


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
    return replace(current, tasks={**current.tasks, name: _fold_task(current.tasks[name], fact)})


def _fold_task(task: TaskState, fact: facts.RoundFact) -> TaskState:
    match fact:
        case facts.RunIntended():
            attempts = (*task.attempts.get(fact.key, ()), Attempt(intended=fact))
            return replace(task, attempts={**task.attempts, fact.key: attempts})
        case facts.RunFinished():
            return _with_attempt(replace(task, peak_memory_mib=_peak(task, fact)), fact)
        case facts.RunStarted() | facts.StopDecided():
            return _with_attempt(task, fact)
        case facts.TaskProbed():
            return replace(task, probed=fact)
        case facts.TaskBegun():
            return replace(task, begun=fact)
        case facts.ConfirmSetFrozen():
            return replace(task, confirm_set=fact)
        case facts.LookTaken():
            return replace(task, looks=(*task.looks, fact))
        case facts.TaskRebatched():
            return _rebatched(task, fact)
        case facts.TaskParked():
            return replace(task, parked=fact)
        case facts.TaskRetried():
            return _retried(task)
        case facts.VariantFact():
            decisions = (*task.decisions.get(fact.config, ()), fact)
            return replace(task, decisions={**task.decisions, fact.config: decisions})
        case facts.VerdictReached():
            return replace(task, verdicts={**task.verdicts, fact.config: fact})
        case facts.TaskFinished():
            return replace(task, is_finished=True)
        case _:
            raise ValueError(f"{type(fact).__name__} is no fact of a task")


def _peak(task: TaskState, run: facts.RunFinished) -> float | None:
    """A probe tries what may not fit, and tells nothing of what runs take."""
    told = run.peak_memory_mib if run.stage != PROBE_STAGE and run.cached_from is None else None
    return max((mib for mib in (task.peak_memory_mib, told) if mib is not None), default=None)


def _retried(task: TaskState) -> TaskState:
    """Failures are forgiven, and what was decided because of them is open again.

    A frozen confirm set stays: who was a candidate is one, and nobody joins.
    """
    failed = [attempt for tries in task.attempts.values() for attempt in tries if _has_failed(attempt)]
    reopened = {attempt.intended.config for attempt in failed}
    stages = [stage.name for stage in task.task.stages]
    earliest: dict[str, int] = {}
    for attempt in failed:
        config, stage = attempt.intended.config, attempt.intended.stage
        if stage != PROBE_STAGE:
            earliest[config] = min(stages.index(stage), earliest.get(config, len(stages)))
    return replace(
        task,
        parked=None,
        is_finished=False,
        forgiven=task.forgiven | {attempt.id for attempt in failed},
        decisions={
            config: tuple(
                fact for fact in made if stages.index(fact.stage) < earliest.get(config, len(stages))
            )
            for config, made in task.decisions.items()
        },
        verdicts={config: fact for config, fact in task.verdicts.items() if config not in reopened},
    )


def _has_failed(attempt: Attempt) -> bool:
    return attempt.finished is not None and attempt.finished.has_failed


def _with_attempt(
    task: TaskState, fact: facts.RunStarted | facts.StopDecided | facts.RunFinished
) -> TaskState:
    attempts = list(task.attempts.get(fact.key, ()))
    for index, attempt in enumerate(attempts):
        if attempt.id == fact.attempt_id and attempt.finished is None:
            attempts[index] = _attempt_after(attempt, fact)
            return replace(task, attempts={**task.attempts, fact.key: tuple(attempts)})
    if isinstance(fact, facts.RunFinished) and fact.cached_from is not None:
        attempts.append(Attempt(intended=fact.intent, finished=fact))
        return replace(task, attempts={**task.attempts, fact.key: tuple(attempts)})
    raise ValueError(f"{type(fact).__name__} for {fact.attempt_id}, which is not open")


def _attempt_after(
    attempt: Attempt, fact: facts.RunStarted | facts.StopDecided | facts.RunFinished
) -> Attempt:
    match fact:
        case facts.RunStarted():
            return replace(attempt, started=fact)
        case facts.StopDecided():
            return replace(attempt, stops=(*attempt.stops, fact))
        case facts.RunFinished():
            return replace(attempt, finished=fact)


def _rebatched(task: TaskState, fact: facts.TaskRebatched) -> TaskState:
    """A new protocol: finished runs are kept but no longer match, and every decision is open again."""
    steps = task.probed.max_steps if task.probed is not None else {}
    probed = facts.TaskProbed(
        round=fact.round,
        task=fact.task,
        bsz=fact.bsz,
        max_steps=steps,
        reason=fact.reason,
        signature=fact.signature,
    )
    return replace(
        task, probed=probed, decisions={}, confirm_set=None, looks=(), verdicts={}, is_finished=False
    )


def count_reused(state: State) -> int:
    """How many runs of baselines of known rounds were reused."""
    return sum(
        attempt.finished is not None and attempt.finished.cached_from is not None
        for round_state in state.rounds.values()
        for task in round_state.tasks.values()
        for key, attempts in task.attempts.items()
        if key.config == BASELINE
        for attempt in attempts
    )


def open_attempts(state: State) -> Iterator[tuple[RoundState, TaskState, Attempt]]:
    """Attempts that were intended or started and have no end."""
    for round_state in state.rounds.values():
        for task in round_state.tasks.values():
            for attempts in task.attempts.values():
                for attempt in attempts:
                    if attempt.finished is None:
                        yield round_state, task, attempt


def open_attempt(state: State, attempt_id: str) -> Attempt | None:
    """The open attempt of that name, if there is one."""
    return next((attempt for _, _, attempt in open_attempts(state) if attempt.id == attempt_id), None)


def is_spare(state: State, attempt_id: str) -> bool:
    """Whether what is heard of that name comes from the spare."""
    return state.live.spare is not None and state.live.spare.attempt_id == attempt_id
