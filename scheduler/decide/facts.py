"""What has happened, and is recorded? Facts, in the past tense; they alone rebuild the state.

A fact goes to exactly one file: its round's records, or the daemon's journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from policies._assessment import Ledger
from policies._ledger import Lesson
from policies.evidence import Outcome, VerdictName
from scheduler.rounds.identity import Device, RunKey, attempt_id

#: key of the attempts at probing a task
PROBE_STAGE, PROBE_CONFIG = "probe", "bsz"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundFact:
    """A fact that belongs to one round and lies in its records."""

    round: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundAccepted(RoundFact):
    """The spec's bytes and the resolved round are durable; the round's first record."""

    sha256: str
    #: name of the spec file as dropped
    file: str
    #: ".toml" or ".json"
    suffix: str
    #: Round.to_json()
    spec: Mapping[str, Any]
    #: among all rounds ever accepted here, from 1: clocks are set back; None in older records
    place: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskProbed(RoundFact):
    """Batch size and, where they were calibrated, steps are frozen for the task."""

    task: str
    bsz: int | None
    #: calibrated steps by stage, for stages whose spec gives only seconds
    max_steps: Mapping[str, int] = field(default_factory=dict)
    #: why this batch size, for the log
    reason: str
    peak_memory_mib: float | None = None
    seconds_per_step: float | None = None
    #: digest of all that a probe depends on; empty where nobody can tell
    signature: str = ""
    #: "<round>/<task>" whose probe it was, where this task took it over
    taken_from: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskBegun(RoundFact):
    """The task's first decision is due. What past rounds taught is frozen for it."""

    task: str
    ledger: Ledger
    #: by protocol and seed, the metric (raw) of stored runs of the baseline, without slot 0
    stored: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    #: digest of all that the task's decisions depend on, its runs aside; empty where nobody can tell
    signature: str = ""
    #: "<round>/<task>", an equal task that began with the same: what its runs taught is no news to this one
    taken_from: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRebatched(RoundFact):
    """An out-of-memory lowered the batch size: a new protocol for the whole task, baseline first."""

    task: str
    bsz: int
    reason: str
    #: of the probe that had found the larger size
    signature: str = ""
    #: protocols whose runs no longer count in this task, finished ones included; they are kept
    superseded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskParked(RoundFact):
    """Nothing of the task runs until `schedctl retry`."""

    task: str
    failure_class: str
    reason: str
    #: what a person can do about it
    remedy: str
    #: folder of the run that it is parked for, below the round's `runs/`
    run_dir: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRetried(RoundFact):
    """A person asked for another try: the task is unparked and its failed runs are forgiven."""

    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFact(RoundFact):
    """A fact about one attempt at one run, or at the probe of a task."""

    task: str
    stage: str
    config: str
    seed: int
    attempt: int

    @property
    def key(self) -> RunKey:
        return RunKey(task=self.task, stage=self.stage, config=self.config, seed=self.seed)

    @property
    def attempt_id(self) -> str:
        return attempt_id(self.round, self.key, self.attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentFact(AttemptFact):
    """A fact that tells all of what an attempt was asked to do."""

    slot: int
    device: str
    bsz: int | None
    #: max_steps, time_budget_sec, eval_every, n_eval
    budget: Mapping[str, Any]
    protocol: str
    content_key: str
    #: folder of the attempt below the round's `runs/`
    run_dir: str
    #: how often the protocol's baseline had drifted before; what ran before a drift is not reused after it
    drifts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIntended(AssignmentFact):
    """A worker is about to be made for this run."""

    #: steps of the longer run that may go on from this one, whose trainer then keeps its state
    keep_for_steps: int | None = None
    #: {run_dir, step}: the kept state that this one goes on from, if its trainer can
    continue_from: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(AttemptFact):
    """The worker is prepared; after this record the gate opens."""

    device: str
    pid: int
    #: the process's start time, seconds since the epoch: with the pid and boot id it names one process
    start_time: float
    boot_id: str
    #: the worker had been prepared while another run trained
    is_prepared_ahead: bool = False
    #: the attempt that its process was made for, where it has served another one before
    made_for: str | None = None
    #: the start time as the kernel counts it, which no adjustment of the clock moves
    start_ticks: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(AssignmentFact):
    """A run ended, one way or another. Carries all that its users parse."""

    status: Outcome
    #: the objective's metric at the last evaluation, raw
    value: float | None = None
    acc: float | None = None
    loss: float | None = None
    #: maximum and minimum over evaluations under their old names; never used to decide
    best_val_tok_acc: float | None = None
    best_val_loss: float | None = None
    n_eval: int | None = None
    #: independent examples among them; None where the trainer does not tell
    n_clusters: int | None = None
    extra: Mapping[str, float] = field(default_factory=dict)
    #: [step, the objective's metric] at each evaluation
    curve: tuple[tuple[int, float], ...] = ()
    #: (step, loss, acc, digest of the scores by example) at each evaluation
    evaluations: tuple[tuple[int, float | None, float | None, str | None], ...] = ()
    scores_digest: str | None = None
    #: in all, inherited ones included
    steps: int | None = None
    #: steps that a shorter run had done, and the seconds they took it
    inherited_steps: int | None = None
    inherited_seconds: float | None = None
    #: the step of the state that lies in its folder for a longer run; None where none does
    kept_step: int | None = None
    train_seconds: float | None = None
    eval_seconds: float | None = None
    wall_seconds: float | None = None
    startup_seconds: float | None = None
    peak_memory_mib: float | None = None
    energy_joule: float | None = None
    git_commit: str | None = None
    failure_class: str | None = None
    #: the in-run rule that ended it before its time; it is then `pruned`
    stopped_by: str | None = None
    #: the error's text, head and tail; whole in error.txt
    error: str | None = None
    #: "<round>/<run folder>" of the stored run it stands for; nothing ran, and `run_dir` leads to that folder
    cached_from: str | None = None
    #: True when the result was found on disk after the daemon had been down
    is_recovered: bool = False
    #: foreign processes that computed on the device while it trained: {seconds, share, by}, of which `by` has
    #: pid, name, seconds and memory_mib of each; None where none was seen
    contaminated: Mapping[str, Any] | None = None
    #: {share, by}: the share of its time in which the device had slowed itself down, and share by reason
    throttled: Mapping[str, Any] | None = None
    #: errors that the driver reported of the device while it trained, each once
    xids: tuple[int, ...] = ()

    @property
    def has_failed(self) -> bool:
        """Whether it ended in a failure, its own or of what runs it."""
        return self.status in ("failed", "lost")

    @property
    def made_by(self) -> str | None:
        """The round whose stored run it stands for; None for one that ran."""
        return None if self.cached_from is None else self.cached_from.partition("/")[0]

    @property
    def intent(self) -> RunIntended:
        """What it was asked to do; a run that was reused has no record of its own for that."""
        return RunIntended(**{each.name: getattr(self, each.name) for each in fields(AssignmentFact)})


@dataclass(frozen=True, slots=True, kw_only=True)
class StopDecided(AttemptFact):
    """An in-run rule saw no use in going on: the run ends at its next evaluation.

    An audited one goes on to its end nevertheless, to tell what the rule costs.
    """

    #: "noop", "broken", "hopeless" or "optuna:<pruner>"
    rule: str
    reason: str
    #: where the rule saw it
    step: int
    is_audit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantFact(RoundFact):
    """A decision about one variant after one stage, with the numbers that led to it."""

    task: str
    stage: str
    config: str
    protocol: str | None
    reason: str
    #: P(effect >= min_effect) by everything that ran; None where the policy has no use for it
    chance: float | None = None
    #: matched delta in the objective's unit, positive is better
    d_acc: float | None = None
    sd: float | None = None
    per_seed: tuple[tuple[int, float], ...] = ()
    signs: str | None = None
    #: means over the compared seeds, raw
    variant_mean: float | None = None
    baseline_mean: float | None = None
    is_speed_effect: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantPruned(VariantFact):
    """Nothing more is spent on the variant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantPromoted(VariantFact):
    """The variant goes on to the next stage, or to be confirmed."""

    #: "confirm" for a candidate of the frozen set
    to_stage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantHeld(VariantFact):
    """The variant has been through its last stage, or nothing can be decided about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmSetFrozen(RoundFact):
    """The candidates and looks are fixed. No fresh seed ran before it, and no candidate joins later."""

    task: str
    protocol: str
    #: best first
    candidates: tuple[str, ...]
    looks: int
    alpha: float
    #: calibrated share of alpha for each look; None takes the safe one
    share: float | None = None
    #: independent examples of the evaluation set
    examples: int | None = None
    #: P(effect >= min_effect) of every variant that could have been in the set
    chances: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookTaken(RoundFact):
    """A declared look was taken, when every open candidate had its fresh seed."""

    task: str
    look: int
    protocol: str
    #: by candidate: delta, se, df, p, adjusted_p, chance, variant_seeds, baseline_seeds, in the
    #: objective's unit
    readings: Mapping[str, Mapping[str, Any]]
    #: their null was rejected
    rejected: tuple[str, ...] = ()
    #: given up: not worth another seed
    futile: tuple[str, ...] = ()
    #: why each of them was, where the policy says
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictReached(RoundFact):
    """How a variant fared, in the end. Numbers are in the objective's unit, or None without meaning."""

    task: str
    config: str
    verdict: VerdictName
    reason: str
    #: mean delta over fresh seeds
    raw_gain: float | None = None
    #: the posterior mean of the effect
    shrunk_gain: float | None = None
    #: central 90 % of the effect
    interval: tuple[float, float] | None = None
    adjusted_p: float | None = None
    #: fresh seeds that would likely settle it
    more_seeds: int | None = None
    variant_seeds: int | None = None
    baseline_seeds: int | None = None
    #: what a reader must know beside the verdict
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFinished(RoundFact):
    """Every variant of the task has its verdict."""

    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundCancelled(RoundFact):
    """A person cancelled the round; what had finished is kept."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundFinished(RoundFact):
    """Nothing of the round is left to do."""

    outcome: Literal["finished", "parked", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonFact:
    """A fact of the daemon's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStarted(DaemonFact):
    pid: int
    version: str
    boot_id: str
    devices: tuple[Device, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStopped(DaemonFact):
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecRejected(DaemonFact):
    file: str
    sha256: str
    #: every problem, each with its path in the file
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePaused(DaemonFact):
    """Nothing new starts; a run in progress goes on."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueResumed(DaemonFact):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainStarted(DaemonFact):
    """The run in progress is the last; then the daemon ends."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuDirtied(DaemonFact):
    """A device did not return to its idle state after a run; nothing starts on it."""

    device: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuCleared(DaemonFact):
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class XidReported(DaemonFact):
    """The driver reported an error of a device."""

    device: str
    xid: int
    #: that trained there, by attempt id
    attempts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilesDropped(DaemonFact):
    """It was decided to remove files of runs of an ended round; a look finds again what is still there."""

    round: str
    #: the rule that they go by
    reason: str
    #: run folders whose kept state goes
    states: tuple[str, ...] = ()
    #: run folders of which what reuse and reports need stays, and a kept state
    reduced: tuple[str, ...] = ()
    #: run folders that go whole
    removed: tuple[str, ...] = ()
    #: what that frees
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFact:
    """A fact that outlives its round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonLearnt(LedgerFact):
    """What a finished task, or a foreign record file, teaches later tasks; replaces the source's last one."""

    #: "<round>/<task>", or the name of the foreign file
    source: str
    lesson: Lesson
    is_foreign: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonForgotten(LedgerFact):
    """A person wants nothing of a lesson to count any more, neither its noise nor what its race found."""

    source: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineKept(LedgerFact):
    """A baseline's run may stand in for equal ones of later rounds; replaces an older one of its seed."""

    #: runs of one family differ in nothing but their seed, and are read by the same metric
    family: str
    #: the objective's metric and its unit, in which `run.value` is told
    metric: str
    unit: str
    #: the run as it ended
    run: RunFinished
    #: whether the scores of each of its evaluations lie in its folder
    has_scores: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineFact(LedgerFact):
    """A baseline that was stored has been run anew, to see whether its like still ends where it did."""

    family: str
    round: str
    task: str
    protocol: str
    content_key: str
    #: the run's folder below the round's `runs/`
    run_dir: str
    seed: int
    #: the objective's metric, raw
    value: float
    #: where 95 % of such runs lie, by the stored ones; None where nothing tells
    expected: tuple[float, float] | None
    #: stored runs behind `expected`
    stored_runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineAgreed(BaselineFact):
    """It ended where it was expected: what is stored may be reused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineDrifted(BaselineFact):
    """It did not. Nothing that ran so far in the protocol is reused, from here on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsForgotten(LedgerFact):
    """A person wants results of a round to be reused no more. Its records stay as they are."""

    #: where they ran
    round: str
    #: the one result; all of the round when None
    content_key: str | None = None
    reason: str = ""


Fact = RoundFact | DaemonFact | LedgerFact
