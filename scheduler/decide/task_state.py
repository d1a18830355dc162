"""What is known of one task? A pure fold of its facts, with what follows from them kept beside.

Whatever is asked at every event is counted when a fact is folded, and not searched for among all runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from policies.evidence import Observation, VerdictName
from scheduler.decide import facts
from scheduler.decide.facts import PROBE_STAGE
from scheduler.decide.layered import Layered
from scheduler.decide.run_marks import Pace, RunMark, gathered, measured_seconds, moved, run_marks
from scheduler.rounds.identity import RunKey
from scheduler.rounds.round import BASELINE, Budget, Task


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


class DecisionMark(NamedTuple):
    """What was decided after a stage, by runs of that protocol."""

    stage: str
    protocol: str | None
    kind: type[facts.VariantFact]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """One task of a round, as far as it has come."""

    task: Task
    probed: facts.TaskProbed | None = None
    begun: facts.TaskBegun | None = None
    #: every attempt, probes included, by run, in order
    attempts: Layered[RunKey, tuple[Attempt, ...]] = field(default_factory=Layered)
    #: decisions by config, in order
    decisions: Layered[str, tuple[facts.VariantFact, ...]] = field(default_factory=Layered)
    confirm_set: facts.ConfirmSetFrozen | None = None
    #: in order
    looks: tuple[facts.LookTaken, ...] = ()
    verdicts: Layered[str, facts.VerdictReached] = field(default_factory=Layered)
    parked: facts.TaskParked | None = None
    #: attempts that no longer count, because a person asked for another try
    forgiven: frozenset[str] = frozenset()
    is_finished: bool = False

    # The rest follows from the above, and is kept so that no question takes longer the more runs have ended.

    #: runs of which an attempt has no end
    open_keys: tuple[RunKey, ...] = ()
    #: runs of each config, in the order of `attempts`
    keys: Layered[str, tuple[RunKey, ...]] = field(default_factory=Layered)
    #: variants by how their runs ended
    runs: Mapping[RunMark, int] = field(default_factory=dict)
    #: variants by stage, protocol and kind of the decision in force
    decided: Mapping[DecisionMark, int] = field(default_factory=dict)
    #: variants by verdict
    judged: Mapping[VerdictName, int] = field(default_factory=dict)
    #: by stage, of runs whose last attempt counts
    paces: Mapping[str, Pace] = field(default_factory=dict)
    #: by stage, of the last run that was intended or taken from a store since the batch size was frozen
    protocols: Mapping[str, str] = field(default_factory=dict)
    #: runs of the baseline that were taken from a store
    reused: int = 0
    #: most that a run held on its device, or in the machine's memory; None before one has told
    peak_memory_mib: float | None = None
    #: by stage, an object of its own for the ends that are known: another one as soon as one changes
    versions: Mapping[str, object] = field(default_factory=dict, compare=False)

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
        return next(self.open_attempts, None)

    @property
    def open_attempts(self) -> Iterator[Attempt]:
        """Attempts that were intended or started and have no end."""
        tries = (attempt for key in self.open_keys for attempt in self.attempts[key])
        return (attempt for attempt in tries if attempt.finished is None)

    def counted(self, key: RunKey) -> tuple[Attempt, ...]:
        """Attempts at `key` that count, oldest first."""
        return _counted(self.attempts.get(key, ()), self.forgiven)

    def observations(self, config: str) -> Iterator[Observation]:
        """Runs of `config` that ended, newest attempt of each, whatever their protocol."""
        for key in self.keys.get(config, ()):
            if key.stage != PROBE_STAGE:
                tries = reversed(self.attempts[key])
                finished = next((a.finished for a in tries if a.finished), None)
                if finished is not None:
                    yield observation(finished)


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


def fold_task(task: TaskState, fact: facts.RoundFact) -> TaskState:
    """The task after `fact`. Raises ValueError for a fact that cannot follow what is known."""
    match fact:
        case facts.RunIntended():
            attempts = (*task.attempts.get(fact.key, ()), Attempt(intended=fact))
            return _with_attempts(task, fact.key, attempts, protocols=_protocols(task, fact))
        case facts.RunStarted() | facts.StopDecided() | facts.RunFinished():
            return _with_attempt(task, fact)
        case facts.TaskProbed():
            return replace(task, probed=fact, protocols={})
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
            return _with_decisions(task, fact.config, (*task.decisions.get(fact.config, ()), fact))
        case facts.VerdictReached():
            return _with_verdict(task, fact)
        case facts.TaskFinished():
            return replace(task, is_finished=True)
        case _:
            raise ValueError(f"{type(fact).__name__} is no fact of a task")


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
    retried = _forgiven(task, failed)
    for config in reopened & task.decisions.keys():
        before = earliest.get(config, len(stages))
        kept = tuple(fact for fact in task.decisions[config] if stages.index(fact.stage) < before)
        retried = _with_decisions(retried, config, kept)
    verdicts = {config: fact for config, fact in task.verdicts.items() if config not in reopened}
    return replace(
        retried,
        parked=None,
        is_finished=False,
        verdicts=Layered(verdicts),
        judged=_judged(task.task, verdicts.values()),
    )


def _forgiven(task: TaskState, failed: Iterable[Attempt]) -> TaskState:
    """The task when those attempts no longer count."""
    forgiven = task.forgiven | {attempt.id for attempt in failed}
    runs, paces = task.runs, task.paces
    for key in dict.fromkeys(attempt.intended.key for attempt in failed):
        if key.stage != PROBE_STAGE:
            before, after = (_counted(task.attempts[key], each) for each in (task.forgiven, forgiven))
            runs = _moved_runs(task, runs, key, before, after)
            paces = _moved_paces(paces, key, before, after)
    versions = {stage: object() for stage in task.versions}
    return replace(task, forgiven=forgiven, runs=runs, paces=paces, versions=versions)


def _has_failed(attempt: Attempt) -> bool:
    return attempt.finished is not None and attempt.finished.has_failed


def _with_attempt(
    task: TaskState, fact: facts.RunStarted | facts.StopDecided | facts.RunFinished
) -> TaskState:
    key = fact.key
    attempts = list(task.attempts.get(key, ()))
    for index, attempt in enumerate(attempts):
        if attempt.finished is None and attempt.intended.attempt == fact.attempt:
            attempts[index] = _attempt_after(attempt, fact)
            if isinstance(fact, facts.RunFinished):
                peak_mib = peak_memory_mib(task.peak_memory_mib, fact)
                return _with_attempts(task, key, tuple(attempts), peak_memory_mib=peak_mib)
            return replace(task, attempts=task.attempts.after(key, tuple(attempts)))
    if isinstance(fact, facts.RunFinished) and fact.cached_from is not None:
        attempts.append(Attempt(intended=fact.intent, finished=fact))
        protocols = _protocols(task, fact)
        reused = task.reused + (key.config == BASELINE)
        return _with_attempts(task, key, tuple(attempts), reused=reused, protocols=protocols)
    raise ValueError(f"{type(fact).__name__} for {fact.attempt_id}, which is not open")


def _protocols(task: TaskState, fact: facts.AssignmentFact) -> Mapping[str, str]:
    if fact.stage == PROBE_STAGE or task.protocols.get(fact.stage) == fact.protocol:
        return task.protocols
    return {**task.protocols, fact.stage: fact.protocol}


def peak_memory_mib(known_mib: float | None, run: facts.RunFinished) -> float | None:
    """The most that runs held, when one more has ended.

    A probe tries what may not fit, and a run from a store held nothing: they tell nothing of that.
    """
    is_telling = run.stage != PROBE_STAGE and run.cached_from is None
    told = run.peak_memory_mib if is_telling else None
    return max((mib for mib in (known_mib, told) if mib is not None), default=None)


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


def _with_attempts(task: TaskState, key: RunKey, attempts: tuple[Attempt, ...], **more: Any) -> TaskState:
    """The task with those attempts at a run, one of which is new or has ended, and all that follows."""
    before = task.attempts.get(key, ())
    others = tuple(each for each in task.open_keys if each != key)
    is_open = any(attempt.finished is None for attempt in attempts)
    more["attempts"] = task.attempts.after(key, attempts)
    more["open_keys"] = (*others, key) if is_open else others
    if not before:
        more["keys"] = task.keys.after(key.config, (*task.keys.get(key.config, ()), key))
    if key.stage != PROBE_STAGE:
        left, joined = (_counted(tries, task.forgiven) for tries in (before, attempts))
        more["runs"] = _moved_runs(task, task.runs, key, left, joined)
        more["paces"] = _moved_paces(task.paces, key, left, joined)
        more["versions"] = {**task.versions, key.stage: object()}
    return replace(task, **more)


def _counted(attempts: tuple[Attempt, ...], forgiven: frozenset[str]) -> tuple[Attempt, ...]:
    """Those that count."""
    if not forgiven:
        return attempts  # naming an attempt takes longer than all the rest
    return tuple(attempt for attempt in attempts if attempt.id not in forgiven)


def _moved_runs(
    task: TaskState,
    runs: Mapping[RunMark, int],
    key: RunKey,
    before: tuple[Attempt, ...],
    after: tuple[Attempt, ...],
) -> Mapping[RunMark, int]:
    """How the variants' runs stand, when other attempts at one of them count."""
    place = task.task.places.get(key.config)
    left, joined = _marks(before), _marks(after)
    if place is None or left == joined:
        return runs
    return moved(runs, place, left - joined, joined - left)


def _marks(attempts: tuple[Attempt, ...]) -> frozenset[RunMark]:
    return run_marks((attempt.intended.protocol, attempt.finished) for attempt in attempts)


def _moved_paces(
    paces: Mapping[str, Pace], key: RunKey, before: tuple[Attempt, ...], after: tuple[Attempt, ...]
) -> Mapping[str, Pace]:
    lasted, lasts = (measured_seconds(tries[-1].finished) if tries else None for tries in (before, after))
    if lasted == lasts:
        return paces
    moved_paces = {**paces, key.stage: paces.get(key.stage, Pace()).moved(lasted, lasts)}
    return {stage: each for stage, each in moved_paces.items() if each.runs}


def _with_decisions(task: TaskState, config: str, made: tuple[facts.VariantFact, ...]) -> TaskState:
    """The task with those decisions about a variant."""
    place = task.task.places.get(config)
    decisions = task.decisions.after(config, made)
    if place is None:
        return replace(task, decisions=decisions)
    before, after = _decision_marks(task.decisions.get(config, ())), _decision_marks(made)
    decided = moved(task.decided, place, before - after, after - before)
    return replace(task, decisions=decisions, decided=decided)


def _decision_marks(made: tuple[facts.VariantFact, ...]) -> frozenset[DecisionMark]:
    """Of the last decision after each stage, in each protocol."""
    last = {(fact.stage, fact.protocol): type(fact) for fact in made}
    return frozenset(DecisionMark(stage, protocol, kind) for (stage, protocol), kind in last.items())


def _with_verdict(task: TaskState, fact: facts.VerdictReached) -> TaskState:
    place, earlier = task.task.places.get(fact.config), task.verdicts.get(fact.config)
    judged = task.judged
    if place is not None:
        judged = moved(judged, place, [earlier.verdict] if earlier is not None else [], [fact.verdict])
    return replace(task, verdicts=task.verdicts.after(fact.config, fact), judged=judged)


def _judged(task: Task, verdicts: Iterable[facts.VerdictReached]) -> Mapping[VerdictName, int]:
    places = task.places
    placed = ((fact.verdict, places[fact.config]) for fact in verdicts if fact.config in places)
    return gathered(placed, len(places))


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
        task,
        probed=probed,
        protocols={},
        decisions=Layered(),
        decided={},
        confirm_set=None,
        looks=(),
        verdicts=Layered(),
        judged={},
        is_finished=False,
    )


def recounted(task: TaskState) -> TaskState:
    """The task with all that follows from its attempts, decisions and verdicts counted anew.

    Equal to what folding fact by fact comes to, as long as at most one attempt is open.
    """
    keys: dict[str, list[RunKey]] = {}
    ends: list[facts.RunFinished] = []
    lasting: dict[str, list[float]] = {}
    marked: list[tuple[RunMark, int]] = []
    for key, attempts in task.attempts.items():
        keys.setdefault(key.config, []).append(key)
        ends += [attempt.finished for attempt in attempts if attempt.finished is not None]
        if key.stage != PROBE_STAGE and (counted := _counted(attempts, task.forgiven)):
            seconds = measured_seconds(counted[-1].finished)
            lasting.setdefault(key.stage, []).extend(() if seconds is None else (seconds,))
            place = task.task.places.get(key.config)
            marked += [] if place is None else [(mark, place) for mark in _marks(counted)]
    return replace(
        task,
        keys=Layered({config: tuple(each) for config, each in keys.items()}),
        open_keys=tuple(k for k, tries in task.attempts.items() if any(a.finished is None for a in tries)),
        runs=gathered(marked, len(task.task.places)),
        paces=_paces(lasting, ends),
        decided=gathered(_decided(task), len(task.task.places)),
        judged=_judged(task.task, task.verdicts.values()),
        reused=sum(end.cached_from is not None and end.config == BASELINE for end in ends),
        versions={key.stage: object() for key in task.attempts if key.stage != PROBE_STAGE},
    )


def _decided(task: TaskState) -> Iterator[tuple[DecisionMark, int]]:
    for config, made in task.decisions.items():
        place = task.task.places.get(config)
        if place is not None:
            yield from ((mark, place) for mark in _decision_marks(made))


def _paces(lasting: Mapping[str, list[float]], ends: Iterable[facts.RunFinished]) -> dict[str, Pace]:
    """Of how long runs lasted that count, by stage; the slowest one is sought among all `ends`."""
    most: dict[str, float] = {}
    for end in ends:
        most[end.stage] = max(most.get(end.stage, 0.0), measured_seconds(end) or 0.0)
    return {stage: Pace.of(each, most[stage]) for stage, each in lasting.items() if each}
