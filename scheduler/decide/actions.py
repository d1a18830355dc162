"""What may a decision ask for? Imperatives that the daemon performs, in the order given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from policies._advice import Question
from policies.evidence import Outcome
from scheduler.decide.ended import EndedRound
from scheduler.decide.facts import (
    Fact,
    RoundAccepted,
    RunFilesDropped,
    RunFinished,
    RunIntended,
    RunStarted,
    SpecRejected,
)
from scheduler.decide.inputs import DeadlinePassed, EndedBy, LookKind, RequestMade
from scheduler.rounds.round import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Make the fact durable; it is folded and decided upon before any other event."""

    fact: Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class StartWorker:
    """Make a gated worker that prepares the run. Only after its RunIntended is on disk."""

    intended: RunIntended
    task: Task
    #: the config to prepare; for a probe, the costliest one's
    config: Mapping[str, Any]
    is_probe: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareAhead:
    """Make a gated worker for a run that is only predicted. It leaves no trace if it never gets to run."""

    start: StartWorker


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinueWorker:
    """Have the worker of an attempt that has ended prepare the run that goes on from it."""

    attempt_id: str
    start: StartWorker


@dataclass(frozen=True, slots=True, kw_only=True)
class HurryWorker:
    """A worker that was made ahead of its time is wanted now: it no longer has to stand back for others."""

    attempt_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenGate:
    """Let a prepared worker train. Only after its RunStarted is on disk."""

    started: RunStarted
    intended: RunIntended
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseWorker:
    """Tell a worker that nothing more is wanted of it."""

    attempt_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndWorker:
    """End a worker and all its children: SIGTERM, grace, SIGKILL."""

    attempt_id: str
    ended_by: EndedBy
    #: what was seen that led to it, for the text of the run's error
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAtWorker:
    """See whether a worker that gives no sign of life computes. It comes back as WorkerLookedAt."""

    attempt_id: str
    kind: LookKind


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRun:
    """Have the run end at its next evaluation, as `pruned`. Only after its StopDecided is on disk."""

    attempt_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskAdvice:
    """Ask pruners about a run in flight. The answer, if it is to stop, comes back as StopAdvised."""

    question: Question


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDeadline:
    """Post `event` after `seconds` on the monotonic clock; replaces the deadline of the same key."""

    key: str
    seconds: float
    event: DeadlinePassed


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelDeadlines:
    """Forget every deadline of an attempt."""

    attempt_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepSpec:
    """Make the spec's bytes and the resolved round durable, before RoundAccepted is recorded."""

    accepted: RoundAccepted


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectSpec:
    """Move the file to `queue/rejected/` with every problem beside it."""

    rejected: SpecRejected


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveSpec:
    """Move a spec file on: from the queue to `active/`, or from there to `done/`.

    "known" is a file whose round was accepted before: the move was missed, or it was dropped again.
    """

    round: str
    file: str
    suffix: str
    to: Literal["active", "done", "known"]
    #: whether anything of the round may still run
    is_open: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseRecords:
    """Let go of a finished round's records, and keep beside them what is still to be known of it."""

    ended: EndedRound
    #: what later rounds may reuse of it
    results: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRound:
    """Read the records of an ended round again, since a person's `request` may need all of it.

    Its RoundLoaded or RoundDamaged comes back before any other event.
    """

    request: RequestMade
    round: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnloadRound:
    """Let go of the records of an ended round that was loaded for nothing."""

    round: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepError:
    """Keep the whole text of a run's error in its folder, unless the worker has done so."""

    run: RunFinished


@dataclass(frozen=True, slots=True, kw_only=True)
class DropStates:
    """Remove what runs kept for longer ones: nobody will go on from it."""

    round: str
    #: folders of the runs below the round's `runs/`
    run_dirs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteReport:
    """Rebuild the round's reports from its records."""

    round: str
    #: it may wait a little: another one is made at the end
    is_live: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscardRequest:
    """The request has been carried out or cannot be; `answer` tells a person what became of it."""

    id: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchResult:
    """Read a run that may be reused from the records of its round. It comes back as ResultFetched."""

    round: str
    content_key: str
    #: how it ended: "ok", or "pruned" by a rule
    status: Outcome
    #: the scores of each of its evaluations must lie in its folder
    needs_scores: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTidy:
    """Look for files of old runs that may go. What is found comes back as TidyPlanned."""

    #: a person waits for it; otherwise it leaves a report the time to be made
    is_hurried: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DropRunFiles:
    """Remove what was decided to go. Only after its RunFilesDropped is on disk."""

    dropped: RunFilesDropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """The daemon has nothing left to do."""

    reason: str


#: what the daemon does once everything is recorded
Effect = (
    StartWorker
    | PrepareAhead
    | ContinueWorker
    | HurryWorker
    | OpenGate
    | ReleaseWorker
    | EndWorker
    | LookAtWorker
    | StopRun
    | AskAdvice
    | SetDeadline
    | CancelDeadlines
    | RejectSpec
    | MoveSpec
    | CloseRecords
    | UnloadRound
    | KeepError
    | DropStates
    | WriteReport
    | DiscardRequest
    | FetchResult
    | PlanTidy
    | DropRunFiles
)
Action = Record | LoadRound | KeepSpec | Effect | Exit
