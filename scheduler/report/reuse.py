"""What may later rounds reuse, how often was it, and is it whole? Read from a home's records and folders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from scheduler.decide.codec import event_name, from_record
from scheduler.decide.facts import RunFinished
from scheduler.decide.result_cache import Shelf, may_be_reused, needs_scores
from scheduler.decide.state import State
from scheduler.effects.records import read_records
from scheduler.effects.stored_results import UnusableResultError, check_folder
from scheduler.report.load import load_results, round_ids
from scheduler.report.scores import scores_digest
from scheduler.rounds.errors import CorruptRecordsError
from scheduler.rounds.paths import HomePaths

_RUN_FINISHED = event_name(RunFinished)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReuse:
    """The results of one task."""

    round: str
    task: str
    #: runs that may be reused
    results: int
    #: how often one of them was
    times_reused: int
    #: what running them again would have taken, as often as they were reused
    seconds_saved: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def reuse_by_task(home: HomePaths) -> tuple[TaskReuse, ...]:
    """Every task with results, in order of acceptance. Raises CorruptRecordsError."""
    state = load_results(home)
    taken: dict[str, list[float]] = {}
    for run in (run for name in round_ids(home) for run in _runs(home, name)):
        if run.cached_from is not None:
            seconds = run.wall_seconds or run.train_seconds or 0.0
            taken.setdefault(run.cached_from, []).append(seconds)
    results: dict[tuple[str, str], list[list[float]]] = {}
    for run in _reusable(state, home):
        saved = taken.get(f"{run.round}/{run.run_dir}", [])
        results.setdefault((run.round, run.task), []).append(saved)
    return tuple(
        TaskReuse(
            round=round_id,
            task=task,
            results=len(found),
            times_reused=sum(map(len, found)),
            seconds_saved=round(sum(map(sum, found)), 3),
        )
        for (round_id, task), found in results.items()
    )


def problems_of_results(home: HomePaths) -> tuple[int, tuple[str, ...]]:
    """How many results there are, and what is wrong with them, or with the records they lie in."""
    broken: list[CorruptRecordsError] = []
    state = load_results(home, broken)
    number, problems = 0, [str(error) for error in broken]
    for run in _reusable(state, home):
        number += 1
        try:
            paths = home.round(run.round).run(run.run_dir)
            task = state.rounds[run.round].tasks[run.task].task
            check_folder(paths, run, needs_scores=needs_scores(task))
            if run.scores_digest is not None and scores_digest(paths.scores) != run.scores_digest:
                raise UnusableResultError(f"{paths.scores} does not hold the scores that were recorded")
        except (UnusableResultError, OSError) as error:
            problems.append(f"{run.round}/{run.run_dir}: {error}")
    return number, tuple(problems)


def _reusable(state: State, home: HomePaths) -> Iterator[RunFinished]:
    """The runs behind the results that are not forgotten; those of broken records are left out."""
    for name, current in state.rounds.items():
        try:
            for run in _runs(home, name):
                task = current.tasks[run.task].task
                shelves = state.results.find(run.content_key)
                if may_be_reused(run, task) and any(_lies_on(run, shelf) for shelf in shelves):
                    yield run
        except CorruptRecordsError:
            continue


def _lies_on(run: RunFinished, shelf: Shelf) -> bool:
    return (run.round, run.task, run.status) == (shelf.round, shelf.task, shelf.status)


def _runs(home: HomePaths, round_id: str) -> Iterator[RunFinished]:
    for record in read_records(home.round(round_id).records):
        fact = from_record(record) if record["event"] == _RUN_FINISHED else None
        if isinstance(fact, RunFinished):
            yield fact
