"""What follows from a run that did not end well? Another try, an end for good, or a parked task.

The rules are a table by failure class. They look only at recorded attempts, so that a replay decides alike.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, Self

from scheduler.decide.facts import RunFinished
from scheduler.decide.run_marks import RunMark, asks_for_repeat
from scheduler.decide.same_failure import times_alike
from scheduler.decide.task_state import Attempt, TaskState
from scheduler.rounds.retention_settings import KeptCheckpoints
from scheduler.rounds.settings import Settings

Then = Literal["end", "park"]

#: however often a run failed for want of space or of a network, it is not waited for longer than this at once
LONGEST_BACKOFF_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How patient the daemon is, and how far it trusts what it knows."""

    #: tries at one run before a failure that may pass is taken as final
    max_attempts: int = 3
    #: first wait after a network failure; doubles with each further one
    network_backoff_seconds: float = 60.0
    #: first wait of the queue after a run found a disk full; doubles with each further one
    disk_backoff_seconds: float = 30.0
    #: a worker that was not heard for so long, and did not compute either, is hung
    heartbeat_timeout_seconds: float = 60.0
    #: a run that neither evaluated nor computed for so long is hung; 0 for never
    hung_timeout_seconds: float = 3600.0
    #: a worker that has not reached its gate after so long is hung
    prepare_timeout_seconds: float = 3600.0
    #: whether the run predicted to be next is prepared while one trains
    prepare_ahead: bool = True
    #: whether a baseline's run that is stored is taken in place of an equal one
    reuse_baselines: bool = True
    #: whether any run that an earlier round made is taken in place of an equal one
    reuse_results: bool = True
    #: one in so many of the baseline's is run anew and compared with what is stored; 0 for none
    baseline_check_every: int = 0
    #: whether a run that shared its device with foreign processes is made once more
    repeat_contaminated: bool = True
    #: which kept states stay once no run can go on from them
    keep_checkpoints: KeptCheckpoints = "none"
    #: between SIGTERM and SIGKILL
    grace_seconds: float = 10.0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those that the settings give, field by field under the same names."""
        own = {
            each.name: getattr(settings, each.name) for each in fields(cls) if each.name != "keep_checkpoints"
        }
        return cls(**own, keep_checkpoints=settings.retention.keep_checkpoints)

    @property
    def kill_margin_seconds(self) -> float:
        """After the time budget, before the daemon ends a worker that did not end its run itself."""
        return 2 * self.grace_seconds + 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is done about one failure class."""

    #: tries in all; 0 stands for `Limits.max_attempts`
    tries: int
    then: Then
    #: what a person can do
    remedy: str
    #: what waits before another try: nothing, the task, or the whole queue
    waits: Literal["task", "queue"] | None = None
    #: only failures of the same kind count as tries; of others there may be `Limits.max_attempts`
    counts_alike: bool = False


RULES: dict[str, Rule] = {
    "oom": Rule(
        tries=1,
        then="park",
        remedy="list smaller batch sizes in a round of another id; or free memory, then retry",
    ),
    "data": Rule(
        tries=1,
        then="park",
        remedy="put right what the message names, then retry; a changed file needs a round of another id",
    ),
    "network": Rule(
        tries=0,
        then="park",
        remedy="check the network, or point the task at local files, then retry",
        waits="task",
    ),
    "disk": Rule(
        tries=8,
        then="park",
        remedy="free space on the disk that the message names, then retry",
        waits="queue",
    ),
    "gpu": Rule(tries=0, then="park", remedy="check the GPU with `schedctl doctor`, then retry"),
    "killed": Rule(tries=0, then="end", remedy="see what killed it (the kernel log names the OOM killer)"),
    "lost": Rule(tries=0, then="end", remedy="see launcher.log for what ended the daemon"),
    "hung": Rule(tries=2, then="park", remedy="see out.log for where it stopped, then retry"),
    "bad_args": Rule(tries=1, then="end", remedy="correct the arguments and submit a new round"),
    "nan": Rule(tries=1, then="end", remedy="none: the variant diverged"),
    "crash": Rule(tries=2, then="end", remedy="see error.txt and out.log of the run", counts_alike=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """The run needs another attempt, of this number."""

    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """An attempt is under way."""

    attempt: Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """The run has ended for good, well or badly."""

    run: RunFinished


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """The task cannot go on without a person."""

    run: RunFinished
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerBatch:
    """The task goes on with a smaller batch, everything of it anew."""

    run: RunFinished
    bsz: int


Standing = Again | InFlight | Over | Park | LowerBatch


def standing(task: TaskState, attempts: tuple[Attempt, ...], ever: int, limits: Limits) -> Standing:
    """How a run stands after `attempts`, those that count; `ever` is the number of all attempts ever made."""
    if not attempts:
        return Again(attempt=ever + 1)
    last = attempts[-1].finished
    if last is None:
        return InFlight(attempt=attempts[-1])
    if last.status == "cancelled":
        return Again(attempt=ever + 1)
    if limits.repeat_contaminated and asks_for_repeat([attempt.finished for attempt in attempts]):
        return Again(attempt=ever + 1)
    if not last.has_failed:
        return Over(run=last)
    return _after_failure(task, attempts, last, ever, limits)


def _after_failure(
    task: TaskState, attempts: tuple[Attempt, ...], last: RunFinished, ever: int, limits: Limits
) -> Standing:
    ends = [attempt.finished for attempt in attempts]
    failures = sum(end is not None and end.failure_class == last.failure_class for end in ends)
    match _outcome(task, last, failures, times_alike(ends, last), limits):
        case "again":
            return Again(attempt=ever + 1)
        case "end":
            return Over(run=last)
        case "park":
            return Park(run=last, remedy=RULES[last.failure_class or "lost"].remedy)
        case smaller:
            return LowerBatch(run=last, bsz=smaller)


def ends_for_good(task: TaskState, mark: RunMark, limits: Limits) -> bool | None:
    """Whether a run with that mark is over; None when something else follows from its failure first."""
    if mark.asks_for_repeat and limits.repeat_contaminated:
        return False
    if not mark.has_failed:
        return True
    outcome = _outcome(task, mark, mark.failures, mark.alike, limits)
    return outcome == "end" if outcome in ("end", "again") else None


def _outcome(
    task: TaskState, last: RunFinished | RunMark, failures: int, alike: int, limits: Limits
) -> Literal["again", "end", "park"] | int:
    """What follows when a run failed like that; a number is a smaller batch size.

    `failures` are its failures of that class by now, `alike` those that were the same in all.
    """
    smaller = _smaller_batch(task, last)
    if smaller is not None:
        return smaller
    rule = RULES[last.failure_class or "lost"]
    tries = rule.tries or limits.max_attempts
    if rule.counts_alike:
        is_over = alike >= tries or failures >= max(tries, limits.max_attempts)
    else:
        is_over = failures >= tries
    return rule.then if is_over else "again"


def _smaller_batch(task: TaskState, run: RunFinished | RunMark) -> int | None:
    """The next batch size of the task's list below the one that ran out of memory."""
    if run.failure_class != "oom" or run.bsz is None or run.stage == "probe":
        return None
    return next((bsz for bsz in sorted(task.task.bsz, reverse=True) if bsz < run.bsz), None)


def wait_before_next_try(task: TaskState, run: RunFinished, limits: Limits) -> float | None:
    """Seconds until a run that has just failed is tried again; None where it is not, or need not wait."""
    rule = RULES.get(run.failure_class or "")
    if rule is None or rule.waits is None:
        return None
    tries = [a.finished for a in task.counted(run.key) if a.intended.protocol == run.protocol]
    failures = sum(end is not None and end.failure_class == run.failure_class for end in tries)
    if failures >= (rule.tries or limits.max_attempts):
        return None
    first = limits.network_backoff_seconds if rule.waits == "task" else limits.disk_backoff_seconds
    return min(first * 2.0 ** (failures - 1), max(first, LONGEST_BACKOFF_SECONDS))
