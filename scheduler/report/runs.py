"""Which runs of a task count, and what did they cost? Read from recorded attempts alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from scheduler.decide.facts import PROBE_STAGE, RunFinished
from scheduler.decide.state import RoundState
from scheduler.decide.task_state import Attempt, TaskState, observation


def runs_at(task: TaskState, stage: str, config: str) -> tuple[RunFinished, ...]:
    """Runs with a value, at the batch size in force, newest attempt of each seed, in slot order."""
    newest = [
        finished
        for key in task.attempts
        if key.stage == stage and key.config == config
        if (finished := _newest_end(task.counted(key), task.bsz)) is not None
    ]
    return tuple(sorted((run for run in newest if observation(run).is_usable), key=lambda run: run.slot))


def failed_runs(task: TaskState) -> Iterator[tuple[RunFinished, int]]:
    """Runs whose newest counted attempt failed or was lost, each with the number of attempts that count."""
    for key in task.attempts:
        attempts = task.counted(key)
        last = _newest_end(attempts, None)
        if last is not None and last.has_failed and not is_superseded(task, last):
            yield last, len(attempts)


def is_superseded(task: TaskState, run: RunFinished) -> bool:
    """Whether the task has gone on with another batch size since: the run is kept and counts no more."""
    return run.stage != PROBE_STAGE and task.bsz is not None and run.bsz is not None and run.bsz != task.bsz


def superseded_runs(task: TaskState) -> Counter[int | None]:
    """How many runs that had ended count no more, by their batch size, the largest first."""
    ends = [attempt.finished for tries in task.attempts.values() for attempt in tries]
    sizes = (end.bsz for end in ends if end is not None and is_superseded(task, end))
    return Counter(sorted(sizes, key=lambda bsz: -(bsz or 0)))


def _newest_end(attempts: Iterable[Attempt], bsz: int | None) -> RunFinished | None:
    """The last end among `attempts`; only ends at `bsz` where one is given."""
    ends = [attempt.finished for attempt in attempts if attempt.finished is not None]
    matching = [end for end in ends if bsz is None or end.bsz == bsz]
    return matching[-1] if matching else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a round cost, over every attempt, whether it counts or not."""

    #: attempts by how they ended, probes left out
    outcomes: Mapping[str, int]
    #: runs whose result was found in the cache
    cached: int
    probes: int
    #: seconds of training by device
    train_seconds: Mapping[str, float] = field(default_factory=dict)
    #: None where nothing was measured
    eval_seconds: float | None
    #: seconds from the making of a worker until it could train
    #: the device waited for it
    startup_seconds: float
    #: start-up of runs that were prepared while another one trained
    overlapped_seconds: float
    #: None where nothing was measured
    energy_joule: float | None
    peak_memory_mib: float | None

    @property
    def runs(self) -> int:
        """Attempts that ended; a lost or repeated one counts each time."""
        return sum(self.outcomes.values())

    @property
    def startup_share(self) -> float | None:
        """Start-up as a share of start-up, training and evaluation; None when nothing was spent."""
        spent = self.startup_seconds + (self.eval_seconds or 0.0) + sum(self.train_seconds.values())
        return self.startup_seconds / spent if spent > 0 else None


def totals(round_state: RoundState) -> Totals:
    """What the round cost so far."""
    ended = [
        (attempt, attempt.finished)
        for task in round_state.tasks.values()
        for attempts in task.attempts.values()
        for attempt in attempts
        if attempt.finished is not None
    ]
    ends = [end for _, end in ended]
    startups = {True: 0.0, False: 0.0}
    for attempt, end in ended:
        is_ahead = attempt.started is not None and attempt.started.is_prepared_ahead
        if end.cached_from is None:
            startups[is_ahead] += end.startup_seconds or 0.0
    trained = [end for end in ends if end.cached_from is None]
    train_seconds: dict[str, float] = {}
    for end in trained:
        train_seconds[end.device] = train_seconds.get(end.device, 0.0) + (end.train_seconds or 0.0)
    evaluations = [end.eval_seconds for end in trained if end.eval_seconds is not None]
    energies = [end.energy_joule for end in trained if end.energy_joule is not None]
    peaks = [end.peak_memory_mib for end in trained if end.peak_memory_mib is not None]
    return Totals(
        outcomes=Counter(end.status for end in ends if end.stage != PROBE_STAGE),
        cached=len(ends) - len(trained),
        probes=sum(end.stage == PROBE_STAGE for end in ends),
        train_seconds=train_seconds,
        eval_seconds=sum(evaluations) if evaluations else None,
        startup_seconds=startups[False],
        overlapped_seconds=startups[True],
        energy_joule=sum(energies) if energies else None,
        peak_memory_mib=max(peaks) if peaks else None,
    )
