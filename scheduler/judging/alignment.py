"""At which step are runs compared that went on for different times? At the last one that all of them told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from scheduler.judging.evidence import JudgedRun, UnfitRunsError, common_steps
from scheduler.judging.foreign_runs import ForeignRuns


def aligned(runs: Iterable[JudgedRun], metric: str, step: int | None = None) -> ForeignRuns:
    """The runs as they were at `step`, by default the last one at which all of them told `metric`.

    For a best value that is the metric it is the best of, and `with_best` reads it off afterwards. Runs of
    different stages or prompt sets are aligned apart, since they are never compared; runs without a curve
    stay as they are. Raises UnfitRunsError where no group has such a step.
    """
    all_runs = tuple(runs)
    if not any(metric in point.metrics for run in all_runs for point in run.curve):
        metric = best_of(metric)
    groups: dict[tuple[str | None, str | None], list[JudgedRun]] = {}
    for run in all_runs:
        groups.setdefault((run.stage, run.prompt_set), []).append(run)
    made: list[JudgedRun] = []
    notes: list[str] = []
    errors: list[UnfitRunsError] = []
    for group in groups.values():
        try:
            found = _group_aligned(group, metric, step)
        except UnfitRunsError as error:
            errors.append(error)
            found = ForeignRuns(runs=tuple(group), notes=(f"Not aligned: {error}.",))
        made += found.runs
        notes += found.notes
    if errors and len(errors) == len(groups):
        raise errors[0]
    return ForeignRuns(runs=tuple(made), notes=tuple(notes))


def _group_aligned(runs: Sequence[JudgedRun], metric: str, step: int | None) -> ForeignRuns:
    curved = [run for run in runs if any(metric in point.metrics for point in run.curve)]
    if not curved:
        return ForeignRuns(runs=tuple(runs))
    common = common_steps(curved, metric)
    if not common or (step is not None and step not in common):
        wanted = "step" if step is None else f"step {step}"
        raise UnfitRunsError(
            f"there is no {wanted} at which all {len(curved)} runs told {metric};"
            " log it at the same steps in every run"
        )
    at = common[-1] if step is None else step
    notes = []
    later = [run.name for run in curved if run.curve[-1].step > at]
    if later:
        notes.append(f"All runs are read at step {at}, though {', '.join(later)} went on.")
    if len(curved) < len(runs):
        rest = ", ".join(run.name for run in runs if run not in curved)
        notes.append(f"No curve of {metric} for {rest}: whether it ended at step {at} is not known.")
    return ForeignRuns(
        runs=tuple(_cut(run, at) if run in curved else run for run in runs), notes=tuple(notes)
    )


def with_best(runs: Iterable[JudgedRun], metric: str, direction: str) -> tuple[JudgedRun, ...]:
    """The runs with `<name>_best` or `best_<name>` read off their curves, where that is the metric."""
    name = best_of(metric)
    if name == metric:
        return tuple(runs)
    pick = min if direction == "minimize" else max
    made = []
    for run in runs:
        values = [point.metrics[name] for point in run.curve if name in point.metrics]
        if metric not in run.metrics and values:
            run = replace(run, metrics={**run.metrics, metric: pick(values)})
        made.append(run)
    return tuple(made)


def best_of(metric: str) -> str:
    """The metric that `metric` is the best value of, by its name: `loss` for `loss_best`; else itself."""
    return metric.removesuffix("_best").removeprefix("best_")


def _cut(run: JudgedRun, step: int) -> JudgedRun:
    curve = tuple(point for point in run.curve if point.step <= step)
    last: dict[str, float] = {}
    for point in curve:
        last.update(point.metrics)
    kept = run.metrics if run.curve[-1].step <= step else {}
    return replace(run, curve=curve, metrics={**kept, **last})
