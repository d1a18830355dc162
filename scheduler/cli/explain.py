"""What would a round do, and what can it find? Its runs in order, their time, their power; nothing runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import typer

from policies._ledger import learnt
from scheduler.cli.reading import described_round
from scheduler.cli.saying import say
from scheduler.decide.floors import earlier_runs, equal_task, stored_baseline, stored_slots
from scheduler.decide.forecast import Forecast, Outlook, PlannedRun, forecast_round, total
from scheduler.decide.state import RoundState, State
from scheduler.decide.task_state import TaskState
from scheduler.report.load import load_home, load_results
from scheduler.report.numbers import count, duration, duration_range
from scheduler.report.printable import one_line
from scheduler.report.prospects import Background, prospects
from scheduler.report.text import task_description
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.round import BASELINE


def explain(
    context: typer.Context,
    round_or_file: Annotated[
        str, typer.Argument(metavar="FILE|ROUND", help="A spec file, or a known round.")
    ],
    name: Annotated[str | None, typer.Option(help="The name of a spec from stdin.")] = None,
) -> None:
    """Show what a round would run, in order, its time, and what it can find.

    A file is a spec that need not be queued; a round is one the daemon has accepted.
    """
    home: HomePaths = context.obj
    round_state = described_round(round_or_file, home, name)
    known = load_home(home) if round_state.round.fresh else load_results(home)
    say("\n".join(explanation(round_state, known)))


def explanation(round_state: RoundState, known: State) -> Iterator[str]:
    """The lines of `explain`; `known` is what the home has of earlier rounds."""
    current = round_state.round
    title = f": {one_line(current.title)}" if current.title else ""
    yield f"{current.id}{title}"
    if current.after:
        yield f"runs after: {', '.join(current.after)}"
    if round_state.finished is not None:
        yield f"the round is {round_state.finished.outcome}; nothing is left to run"
        return
    if current.fresh:
        yield "fresh: everything is run, also what earlier rounds have run"
    outlooks = {
        name: (Outlook.of(task), ()) if current.fresh else _outlook(task, known)
        for name, task in round_state.tasks.items()
    }
    if not round_state.is_open:
        yield from _figures(forecast_round(round_state))
    else:
        yield from _figures(total(outlook.forecast() for outlook, _ in outlooks.values()))
    for name, task in round_state.tasks.items():
        yield ""
        yield from _task(task, *outlooks[name], known)


def _outlook(task: TaskState, known: State) -> tuple[Outlook, tuple[str, ...]]:
    """What the task may still run; and, in words, what it takes from earlier rounds."""
    slots = stored_slots(known, task)
    outlook = Outlook.of(task, slots)
    ran = earlier_runs(known, task, outlook.possible)
    told = (
        ("stored runs of the baseline", Counter(stage for stage, _ in slots)),
        ("runs of earlier rounds", Counter(run.stage for run in ran)),
    )
    lines = [_reused(what, found) for what, found in told if found]
    equal = equal_task(known, task) if ran else None
    if equal is not None:
        lines.append(f"equal to {equal}: no run that it made is made again, whatever this comes to")
    return replace(outlook, made=ran), tuple(lines)


def _reused(what: str, number_by_stage: Counter[str]) -> str:
    stages = " and ".join(f"{number} at {stage}" for stage, number in sorted(number_by_stage.items()))
    return f"{what}, which are reused: {stages}"


def _figures(forecast: Forecast) -> Iterator[str]:
    done = f"; {forecast.runs_done} have ended" if forecast.runs_done else ""
    least, most = forecast.runs_least, forecast.runs_most
    number = count(most, "run") if least == most else f"{least} to {count(most, 'run')}"
    yield f"to run: {number}, {forecast.runs_expected:.1f} expected{done}"
    span = duration_range(forecast.seconds_least, forecast.seconds_most)
    yield f"time: {span}, {duration(forecast.seconds_expected)} expected"
    yield f"worst case: {duration(forecast.seconds_worst)}, with every run at its time budget"


def _task(task: TaskState, outlook: Outlook, reused: tuple[str, ...], known: State) -> Iterator[str]:
    yield f"[{task.task.name}] {task_description(task.task)}"
    if task.parked is not None:
        yield f"  parked: {one_line(task.parked.reason)}; remedy: {one_line(task.parked.remedy)}"
        return
    if task.is_finished:
        yield "  finished"
        return
    yield f"  batch size: {_batch_size(task)}"
    if not task.task.identity.is_complete:
        yield (
            "  nothing of this task is cached across rounds: not all that it depends on is known, a command's"
            " inputs or git checkout, a file that is missing, or the revision of a data set"
        )
    yield from (f"  {line}" for line in prospects(task.task, _background(task, known)))
    yield from (f"  {line}" for line in reused)
    forecast = outlook.forecast()
    span = duration_range(forecast.seconds_least, forecast.seconds_most)
    yield f"  {forecast.runs_least} to {forecast.runs_most} runs, {span}, in this order:"
    yield from _table(outlook)


def _background(task: TaskState, known: State) -> Background:
    """What is known before the task runs; of one that has begun, the ledger as it was frozen then."""
    objective = task.task.objective
    lessons = tuple(known.lessons.values())
    stored = [stored_baseline(known, task, stage.name) for stage in task.task.stages]
    runs = [run for run in task.observations(BASELINE) if run.n_clusters or run.n_eval]
    return Background(
        ledger=task.begun.ledger if task.begun is not None else learnt(lessons, objective),
        tasks=sum(each.unit == objective.unit and each.medium.df > 0 for each in lessons),
        stored={each.stage: each.values for each in stored if each is not None},
        sized_run=runs[-1] if runs else None,
    )


def _batch_size(task: TaskState) -> str:
    sizes = task.task.bsz
    if task.probed is not None:
        return f"{task.bsz} ({one_line(task.probed.reason)})"
    if len(sizes) > 1:
        return f"probed: {', then '.join(str(size) for size in sizes)} (a CPU takes the first)"
    return str(sizes[0]) if sizes else "left to the trainer"


def _table(outlook: Outlook) -> Iterator[str]:
    runs = list(outlook.planned())
    width = max((len(run.config) for run in runs), default=0)
    yield _row("", "stage", "variant".ljust(width), "seed", "bsz", "steps", "budget", "about")
    for number, run in enumerate(runs, start=1):
        yield _row(
            number,
            run.stage,
            run.config.ljust(max(width, len("variant"))),
            "derived" if run.seed is None else run.seed,
            "-" if run.bsz is None else run.bsz,
            "-" if run.budget.max_steps is None else run.budget.max_steps,
            f"{run.budget.time_budget_sec:g} s",
            duration(run.likely_seconds) + _condition(run),
        )


def _condition(run: PlannedRun) -> str:
    """What has to come first; seeds beyond those of the spec are for candidates."""
    if not run.is_conditional:
        return ""
    return "  if promoted" if run.seed is not None else "  if it comes to candidates"


def _row(*cells: object) -> str:
    number, stage, config, seed, bsz, steps, budget, about = cells
    return f"  {number:>4} {stage:<8} {config} {seed:>10} {bsz:>5} {steps:>8} {budget:>8}  {about}"
