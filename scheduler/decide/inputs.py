"""What was seen, and is not recorded? Inputs wake the decisions; what follows from them is a fact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from policies._ledger import Lesson
from scheduler.decide.facts import Fact, RunFinished
from scheduler.decide.retention import Drop

if TYPE_CHECKING:  # the state holds inputs
    from scheduler.decide.state import RoundState

#: signs of life that a worker may fail to give, and that the use of the processor stands in for
LookKind = Literal["heartbeat", "hung"]
DeadlineKind = Literal["prepare", "time_budget", "heartbeat", "hung", "exit", "backoff", "hurry"]
#: why the daemon ended a worker; "leftover": it had finished its run and did not go
EndedBy = Literal["time_budget", "hung", "cancelled", "shutdown", "leftover"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPrepared:
    """A worker has prepared its run and waits at the gate."""

    attempt_id: str
    pid: int
    start_time: float
    boot_id: str
    #: as the kernel counts it; None where nobody told
    start_ticks: int | None = None
    #: {source, data, versions, parts} as the worker sees them now
    identity: Mapping[str, Any]
    #: the step whose state it will keep for a longer run; None where it keeps none
    keep_step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOpened:
    """A run has got going, so that there is time to think of the next one."""

    attempt_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvaluated:
    """A worker reached an evaluation point."""

    attempt_id: str
    step: int
    loss: float | None
    acc: float | None
    value: float | None
    train_seconds: float
    #: equal digests mean equal scores of all examples; None where the trainer scores none
    scores_digest: str | None = None
    #: examples of the evaluation set
    n_eval: int | None = None
    #: accuracy of a guess, where the trainer tells it
    chance: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAdvised:
    """A pruner that was asked about a run in flight would stop it."""

    attempt_id: str
    #: "optuna:<pruner>"
    rule: str
    reason: str
    #: the evaluation it was asked about; others may have come since
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerBeat:
    """A worker is alive."""

    attempt_id: str
    #: what its process tree has used of the processor so far; None where nobody told
    cpu_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLookedAt:
    """A worker that gave no sign of life was looked at."""

    attempt_id: str
    kind: LookKind
    #: what its process tree has used of the processor so far
    cpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlinePassed:
    """Time that was given to a worker is up."""

    #: the attempt; for "backoff", "<round>/<task>"
    attempt_id: str
    #: "prepare": it should have reached its gate; "time_budget": it should have ended the run itself;
    #: "heartbeat": nothing was heard; "hung": the run neither evaluated nor computed; "exit": it had
    #: finished and should have gone; "backoff": a task may try again; "hurry": what is prepared ahead may be
    #: wanted soon
    kind: DeadlineKind


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A worker said how its run ended (the content of result.json), or could not even prepare it."""

    attempt_id: str
    result: Mapping[str, Any]
    #: on its device, while its process still holds what it took; None where nobody can tell
    free_memory_mib: float | None = None
    #: processes of its that the kernel had killed for want of memory, where it says
    oom_kills: int = 0
    #: the whole text of a failure that the worker has no folder to keep in
    error_text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerEnded:
    """A worker's process tree is gone, all of it, and reaped."""

    attempt_id: str
    #: exit status, negative for a signal
    returncode: int
    #: pids that could not be killed (D state)
    survivors: tuple[int, ...] = ()
    #: why the daemon ended it; None when it ended by itself
    ended_by: EndedBy | None = None
    #: last lines of its output, for an error nobody reported
    output_tail: str = ""
    #: what the device still holds although the processes are gone, in words; None when it is clean
    kept_memory: str | None = None
    #: processes of its that the kernel had killed for want of memory, where it says
    oom_kills: int = 0
    #: what the device saw of a run that was ended without a result, by the names of its record
    seen: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivorsEnded:
    """Processes that could not be killed are gone after all."""

    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecChecked:
    """A dropped file has been read, parsed and validated in children."""

    file: str
    sha256: str
    suffix: str
    #: Round.to_json(), when there are no problems
    spec: Mapping[str, Any] | None
    problems: tuple[str, ...] = ()
    #: the values for which markers stand in `spec`; for its runs, never for a record
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestMade:
    """A person asked for something through `queue/control/`."""

    id: str
    verb: Literal["pause", "resume", "drain", "cancel", "retry", "import", "forget", "unlearn", "tidy"]
    round: str | None = None
    task: str | None = None
    #: content key of the result that is meant; of "forget" only
    key: str | None = None
    #: the lesson that is meant; of "unlearn" only
    source: str | None = None
    reason: str = ""
    #: what foreign records teach, by name; of an import only
    lessons: Mapping[str, Lesson] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundLoaded:
    """All of an ended round is known again, as its records tell it, for the sake of a request."""

    request: RequestMade
    current: RoundState


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundDamaged:
    """The records of an ended round cannot be read any more, so that the request cannot be granted."""

    request: RequestMade
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFetched:
    """A run that may be reused was looked up in the records of its round."""

    round: str
    content_key: str
    #: the run as it ended; None when it is gone or damaged
    run: RunFinished | None
    #: what is wrong with it, in words
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TidyDue:
    """It is time to look for files of old runs that may go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TidyPlanned:
    """What may go by the rules, as the folders of ended rounds were a moment ago."""

    drops: tuple[Drop, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateChanged:
    """What the daemon sees around it: None where nothing forbids a start, else the reason to wait."""

    #: "gpu", "disk", "window"
    source: str
    wait_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class XidSeen:
    """The driver reports an error of a device. The same one may come a thousand times a second."""

    device: str
    xid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutdownRequested:
    """SIGTERM or SIGINT: stop the run in progress, lose nothing, end."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """The records have been replayed; what was in flight is now decided."""

    #: result.json by attempt id, of runs that finished unheard
    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: seconds from its start to its last sign of life, by attempt id
    wall_seconds: Mapping[str, float] = field(default_factory=dict)
    #: pids of an earlier daemon's runs that could not be killed
    survivors: tuple[int, ...] = ()


Input = (
    WorkerPrepared
    | GateOpened
    | RunEvaluated
    | StopAdvised
    | WorkerBeat
    | WorkerLookedAt
    | DeadlinePassed
    | RunResult
    | WorkerEnded
    | SurvivorsEnded
    | SpecChecked
    | RequestMade
    | RoundLoaded
    | RoundDamaged
    | ResultFetched
    | TidyDue
    | TidyPlanned
    | GateChanged
    | XidSeen
    | ShutdownRequested
    | Recovered
)
Event = Fact | Input
