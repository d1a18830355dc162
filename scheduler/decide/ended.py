"""What is still known of a round that has ended, once its runs are forgotten?

Its records hold all of it. A person's retry reads them again; nothing else needs more than this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from scheduler.decide import facts
from scheduler.decide.facts import PROBE_STAGE
from scheduler.decide.usage import Usage

if TYPE_CHECKING:  # the state holds ended rounds
    from scheduler.decide.state import RoundState
    from scheduler.decide.task_state import TaskState

#: outcomes after which a run is not started again
ENDED = frozenset({"ok", "timed_out", "pruned", "failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedRound:
    """A round of which nothing is left to do, as later decisions and `schedctl status` need it."""

    id: str
    title: str
    #: name of the spec file as dropped, its hash and its suffix
    file: str
    sha256: str
    suffix: str
    #: among all rounds, as its acceptance tells it
    place: int | None
    outcome: Literal["finished", "parked", "cancelled"]
    #: how many it had
    tasks: int
    variants: int
    #: runs that have ended and count
    runs_done: int
    #: runs of the baseline that were reused
    runs_reused: int
    #: name and number of the first task that was not gone through; a cancelled round may have one
    open_task: Mapping[str, Any] | None
    #: task, failure_class, reason and remedy of each parked one
    parked: tuple[Mapping[str, Any], ...]
    #: how many there are of each
    verdicts: Mapping[str, int]
    #: what all attempts have taken, and how they ended
    usage: Usage = field(default_factory=Usage)

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes an equal one."""
        return {**asdict(self), "parked": [dict(task) for task in self.parked]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The round written by `to_json`. Raises TypeError or KeyError for anything else."""
        return cls(**{**data, "parked": tuple(data["parked"]), "usage": Usage.from_json(data["usage"])})


def ended_round(current: RoundState) -> EndedRound:
    """What is to be known of a round that has just finished."""
    if current.finished is None:
        raise ValueError(f"round {current.round.id!r} has not ended")
    tasks = current.tasks.values()
    return EndedRound(
        id=current.round.id,
        title=current.round.title,
        file=current.accepted.file,
        sha256=current.accepted.sha256,
        suffix=current.accepted.suffix,
        place=current.accepted.place,
        outcome=current.finished.outcome,
        tasks=len(tasks),
        variants=sum(len(task.task.variants) for task in tasks),
        runs_done=sum(len(runs_over(task, list(last_ends(task)))) for task in tasks),
        runs_reused=sum(task.reused for task in tasks),
        open_task=first_open_task(current),
        parked=tuple(parked_tasks(current)),
        verdicts=verdict_counts(current),
        usage=Usage.total(task.usage for task in tasks),
    )


def last_ends(task: TaskState) -> Iterator[facts.RunFinished]:
    """The end of each run whose last attempt that counts has ended, without probes."""
    for key, attempts in task.attempts.items():
        # Naming an attempt takes longer than all the rest, and hardly ever is one forgiven.
        counted = task.counted(key) if task.forgiven else attempts
        if key.stage != PROBE_STAGE and counted and counted[-1].finished is not None:
            yield counted[-1].finished


def runs_over(task: TaskState, runs: list[facts.RunFinished]) -> list[facts.RunFinished]:
    """Those of `runs` that need not be started again as the task is now: of one protocol at each stage."""
    ended = [run for run in runs if run.status in ENDED and run.bsz == task.bsz]
    protocols = {run.stage: run.protocol for run in ended}
    return [run for run in ended if run.protocol == protocols[run.stage]]


def first_open_task(current: RoundState) -> dict[str, Any] | None:
    """Name and number of the first task that is neither finished nor parked."""
    for number, (name, task) in enumerate(current.tasks.items(), start=1):
        if not task.is_finished and task.parked is None:
            return {"name": name, "number": number, "of": len(current.tasks)}
    return None


def parked_tasks(current: RoundState) -> Iterator[dict[str, Any]]:
    """Why each parked task is, and what a person can do about it."""
    for name, task in current.tasks.items():
        if task.parked is not None:
            yield {
                "task": name,
                "failure_class": task.parked.failure_class,
                "reason": task.parked.reason,
                "remedy": task.parked.remedy,
            }


def verdict_counts(current: RoundState) -> dict[str, int]:
    """How many variants have each verdict."""
    counts: Counter[str] = Counter()
    for task in current.tasks.values():
        counts.update({verdict: places.bit_count() for verdict, places in task.judged.items()})
    return dict(sorted(counts.items()))
