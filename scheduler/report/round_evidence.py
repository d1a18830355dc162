"""What do the ways of judging see of a round? Per task, the runs its verdicts rest on, as a sample.

Where a confirm set was frozen these are the fresh seeds of the baseline and the candidates: the seed that
selected is no evidence here either. Otherwise it is the last stage that both sides have been through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from policies.evidence import Objective
from scheduler.decide.facts import RunFinished
from scheduler.decide.state import RoundState
from scheduler.decide.task_state import TaskState
from scheduler.judging._prompt_suite import with_prompt_set
from scheduler.judging.alignment import with_best
from scheduler.judging.evidence import (
    Count,
    JudgedRun,
    Point,
    Sample,
    UnfitRunsError,
    counts_in,
    finite_metrics,
    sample_of,
)
from scheduler.judging.foreign import rows_of_jsonl
from scheduler.judging.foreign_runs import runs_of
from scheduler.report.exhibits import read_exhibits
from scheduler.report.runs import failed_runs, runs_at
from scheduler.report.scores import right_and_all
from scheduler.rounds.paths import RoundPaths
from scheduler.rounds.round import BASELINE


def task_sample(
    round_state: RoundState,
    task: TaskState,
    paths: RoundPaths,
    *,
    stage: str | None = None,
    objective: Objective | None = None,
    exhibits: Sequence[str] = (),
    needs_baseline: bool = True,
) -> Sample:
    """The evidence of one task, with what its runs wrote into the files `exhibits`.

    Raises UnfitRunsError where there is none yet. A stage that is named may lack the baseline where it is not
    needed.
    """
    source = f"{round_state.round.id}/{task.task.name}"
    chosen = stage if stage is not None else _stage(task)
    if chosen is None:
        sides = "both the baseline and a variant" if task.task.variants else "the baseline"
        raise UnfitRunsError(f"{source}: no stage has runs of {sides}")
    aim = objective if objective is not None else task.task.objective
    kept = [run for run in _runs(task, chosen) if not _has_confirmed(task, run) or _decides(task, run)]
    runs = with_best((_judged(task, run, paths, exhibits) for run in kept), aim.metric, aim.direction)
    has_baseline = needs_baseline or any(run.config == BASELINE for run in kept)
    made = sample_of(
        runs, source=source, objective=aim, baseline=BASELINE if has_baseline else None, stage=chosen
    )
    return replace(
        made, notes=(*made.notes, *_notes(task, chosen, kept)), elsewhere=tuple(_elsewhere(task, kept))
    )


def _elsewhere(task: TaskState, kept: Sequence[RunFinished]) -> Iterator[JudgedRun]:
    """Every other run that ended: what it cost, and what it measured where it ended well."""
    judged = {run.attempt_id for run in kept}
    ends = (attempt.finished for tries in task.attempts.values() for attempt in tries)
    for run in ends:
        if run is not None and run.attempt_id not in judged:
            yield _told(task, run, finite_metrics(run.extra) if run.status == "ok" else {})


def _stage(task: TaskState) -> str | None:
    """The stage of the confirm set, or the last one with runs of both sides.

    A task without variants has one side.
    """
    is_confirmed = task.confirm_set is not None and bool(task.confirm_set.candidates)
    for stage in reversed(task.task.stages):
        runs = [run for run in _runs(task, stage.name) if not is_confirmed or _decides(task, run)]
        configs = {run.config for run in runs}
        if BASELINE in configs and (len(configs) > 1 or not task.task.variants):
            return stage.name
    return None


def _runs(task: TaskState, stage: str) -> Iterator[RunFinished]:
    for variant in (task.task.baseline, *task.task.variants):
        yield from runs_at(task, stage, variant.name)


def _has_confirmed(task: TaskState, run: RunFinished) -> bool:
    """Whether runs of this protocol have confirmed: a later stage is a claim of its own."""
    frozen = task.confirm_set
    return frozen is not None and bool(frozen.candidates) and run.protocol == frozen.protocol


def _decides(task: TaskState, run: RunFinished) -> bool:
    """Whether it is on a fresh seed of the confirm set: of the baseline, or of a candidate."""
    frozen = task.confirm_set
    assert frozen is not None
    return _has_confirmed(task, run) and run.slot > 0 and run.config in (BASELINE, *frozen.candidates)


def _judged(task: TaskState, run: RunFinished, paths: RoundPaths, exhibits: Sequence[str]) -> JudgedRun:
    objective = task.task.objective
    known: dict[str, Any] = {
        **run.extra,
        "n_eval": run.n_eval,
        "acc": run.acc,
        "loss": run.loss,
        "best_val_loss": run.best_val_loss,
        "best_val_tok_acc": run.best_val_tok_acc,
        objective.metric: run.value,
    }
    told = _told(task, run, finite_metrics(known))
    whole = replace(
        told,
        curve=_curve(run, objective.metric, paths),
        counts={**told.counts, **_correct(run, paths)},
        exhibits=read_exhibits(paths.run(run.run_dir).root, exhibits),
    )
    return with_prompt_set(whole)


def _told(task: TaskState, run: RunFinished, metrics: Mapping[str, float]) -> JudgedRun:
    """The run as its record tells it; nothing is read from its folder."""
    spent: dict[str, Any] = {
        "train_seconds": run.train_seconds,
        "eval_seconds": run.eval_seconds,
        "energy_joule": run.energy_joule,
    }
    return JudgedRun(
        config=run.config,
        seed=run.seed,
        stage=run.stage,
        protocol=run.protocol,
        metrics=metrics,
        counts=counts_in(metrics),
        wall_seconds=run.wall_seconds if run.contaminated is None else None,
        parameters=task.task.variant(run.config).config,
        # what came from the cache was paid for before; what shared its device took longer than it should
        cost=finite_metrics(spent) if run.cached_from is None and run.contaminated is None else {},
        origin=f"runs/{run.run_dir}",
    )


def _curve(run: RunFinished, metric: str, paths: RoundPaths) -> tuple[Point, ...]:
    """What the run wrote at its evaluations, or where the file is gone, what its record holds of it."""
    try:
        text = paths.run(run.run_dir).metrics.read_text(encoding="utf-8")
        found = runs_of(rows_of_jsonl(text, run.run_dir), defaults={"config": run.config}).runs
    except (OSError, ValueError):
        found = ()
    if len(found) == 1 and found[0].curve:
        return tuple(_with_objective(point, metric) for point in found[0].curve)
    return tuple(Point(step=step, metrics=finite_metrics({metric: value})) for step, value in run.curve)


def _with_objective(point: Point, metric: str) -> Point:
    """The point with the objective's metric, which a run's file calls `value`."""
    if "value" not in point.metrics:
        return point
    metrics = {name: value for name, value in point.metrics.items() if name != "value"}
    return replace(point, metrics={**metrics, metric: point.metrics["value"]})


def _correct(run: RunFinished, paths: RoundPaths) -> dict[str, Count]:
    """The accuracy as a count, where every example is right or wrong, and independent of the others."""
    found = right_and_all(paths.run(run.run_dir).scores)
    if found is None or run.acc is None or run.n_clusters not in (None, found[1]):
        return {}
    return {"acc": Count(successes=found[0], n=found[1])}


def _notes(task: TaskState, stage: str, kept: list[RunFinished]) -> Iterator[str]:
    if any(_has_confirmed(task, run) for run in kept):
        yield "Fresh seeds only: the seed that selected the candidates is left out."
    ended = [f"{run.config} s{run.seed}" for run in kept if run.status == "timed_out"]
    if ended:
        yield f"Ended by the time budget, an effect of speed too: {', '.join(ended)}."
    lost = [f"{run.config} s{run.seed}" for run, _ in failed_runs(task) if run.stage == stage]
    if lost:
        yield f"Failed and left out: {', '.join(lost)}."
