"""What is known of one task? Its attempts and decisions, and beside them what is asked at every event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from policies.evidence import Observation, VerdictName
from scheduler.decide import facts
from scheduler.decide.facts import PROBE_STAGE
from scheduler.decide.layered import Layered
from scheduler.decide.run_marks import Pace, RunMark
from scheduler.decide.usage import Usage
from scheduler.rounds.identity import RunKey
from scheduler.rounds.round import Budget, Task


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
    def has_failed(self) -> bool:
        """Whether it ended in a failure."""
        return self.finished is not None and self.finished.has_failed

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
    #: what all attempts have taken, and how they ended
    usage: Usage = field(default_factory=Usage)
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
        return self.parked is not None or any(a.has_failed and a.id not in self.forgiven for a in tries)

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
        return counted(self.attempts.get(key, ()), self.forgiven)

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
        metrics=run.extra,
        wall_seconds=run.wall_seconds,
        is_reused=run.cached_from is not None,
        is_contaminated=run.contaminated is not None,
    )


def counted(attempts: tuple[Attempt, ...], forgiven: frozenset[str]) -> tuple[Attempt, ...]:
    """Those that count."""
    if not forgiven:
        return attempts  # naming an attempt takes longer than all the rest
    return tuple(attempt for attempt in attempts if attempt.id not in forgiven)
