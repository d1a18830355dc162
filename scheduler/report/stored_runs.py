"""Which finished runs lie where, with the metrics recorded of them? Of rounds, and of run folders."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scheduler.decide.facts import RunFinished
from scheduler.decide.state import RoundState
from scheduler.judging.evidence import finite_metrics
from scheduler.report.foreign_files import METRICS_FILE, read_foreign
from scheduler.report.runs import runs_at
from scheduler.rounds.errors import UnknownIdError
from scheduler.rounds.paths import RoundPaths


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """One run and the folder, or the file, that holds what it stored."""

    #: of the iteration that it belongs to
    iteration: str
    path: Path
    #: at its end, by name; empty where nobody recorded any
    metrics: Mapping[str, float]


def runs_of_round(round_state: RoundState, paths: RoundPaths) -> Iterator[tuple[str, StoredRun]]:
    """Every run that counts, with its trainer's name, by task, stage and config in file order."""
    for task in round_state.tasks.values():
        place = f"{round_state.round.id}/{task.task.name}"
        configs = [variant.name for variant in (task.task.baseline, *task.task.variants)]
        for stage, config in itertools.product(task.task.stages, configs):
            for run in runs_at(task, stage.name, config):
                yield task.task.trainer, _stored(run, f"{place}, {config}, {stage.name}", paths)


def _stored(run: RunFinished, iteration: str, paths: RoundPaths) -> StoredRun:
    told: dict[str, Any] = {"acc": run.acc, "loss": run.loss, **run.extra}
    return StoredRun(iteration=iteration, path=paths.run(run.run_dir).root, metrics=finite_metrics(told))


def runs_of_files(name: str) -> Iterator[StoredRun]:
    """The runs in folders with a metrics.jsonl, or the stored file that `name` itself is.

    Raises UnknownIdError, UsageError or UnfitRunsError.
    """
    path = Path(name)
    if path.is_file() and path.name != METRICS_FILE:
        yield StoredRun(iteration=path.parent.name or path.stem, path=path, metrics={})
        return
    for run in read_foreign([name]).runs:
        folder = Path(run.origin).parent
        if not folder.is_dir():
            raise UnknownIdError(f"{run.origin} has no folder in which samples could lie")
        counted = {
            part: float(amount)
            for rate, count in run.counts.items()
            for part, amount in ((f"{rate}_successes", count.successes), (f"{rate}_n", count.n))
        }
        yield StoredRun(iteration=run.config, path=folder, metrics={**run.metrics, **counted})
