"""What would runs look like by another version of their metrics' definitions? Nothing is recorded anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from scheduler.cli.home import existing_home
from scheduler.cli.saying import say, say_json
from scheduler.effects.regrading import Regraded, RegradeError, regraded
from scheduler.judging._regraded import RegradedIteration, regrade_document, regraded_metrics
from scheduler.judging.evidence import UnfitRunsError
from scheduler.report.load import load_round
from scheduler.report.printable import one_line
from scheduler.report.stored_runs import StoredRun, runs_of_files, runs_of_round
from scheduler.rounds.errors import UsageError
from scheduler.rounds.paths import HomePaths

#: the trainer of run folders that no round tells of
_TRAINER = "generate"


def regrade(
    context: typer.Context,
    names: Annotated[
        list[str], typer.Argument(metavar="ROUND|FILES...", help="Rounds, run folders, or stored samples.")
    ],
    definitions: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Of the definitions; without it the latest.")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Show these alone, changed or not. May be given several times.")
    ] = None,
    trainer: Annotated[str, typer.Option(help="Whose samples lie in files.")] = _TRAINER,
    as_json: Annotated[bool, typer.Option("--json", help="Every metric, for a program.")] = False,
) -> None:
    """Make the metrics of finished runs again, from their stored samples, and show them beside the recorded.

    For iterations of old definitions. The records stay as they are: a regrade is a document of its own.
    """
    home: HomePaths = context.obj
    try:
        asked = [found for name in names for found in _runs(home, name, trainer)]
        version, iterations = _graded(home, asked, definitions)
    except UnfitRunsError as error:
        raise UsageError(str(error)) from error
    if as_json:
        say_json({"definitions": version, "iterations": [each.as_object() for each in iterations]})
    else:
        say("\n".join(regrade_document(iterations, version, metric or ())).rstrip("\n"))


def _runs(home: HomePaths, name: str, trainer: str) -> Iterator[tuple[str, StoredRun]]:
    """Each run with the name of its trainer."""
    if "/" not in name and home.round(name).records.is_file():
        paths = existing_home(home).round(name)
        yield from runs_of_round(load_round(paths), paths)
    else:
        yield from ((trainer, run) for run in runs_of_files(name))


def _graded(
    home: HomePaths, asked: Sequence[tuple[str, StoredRun]], version: str | None
) -> tuple[str, list[RegradedIteration]]:
    """The version that graded, and the iterations. Trainers that cannot are told of while another one can."""
    versions: dict[str, None] = {}
    found: list[RegradedIteration] = []
    problems: list[str] = []
    for trainer in dict.fromkeys(name for name, _ in asked):
        runs = [run for name, run in asked if name == trainer]
        try:
            answer = regraded(home.root, trainer, version, [run.path for run in runs])
        except RegradeError as error:
            problems.append(str(error))
            continue
        versions[answer.version] = None
        found += _iterations(list(zip(runs, answer.runs, strict=True)))
    if not found:
        raise UsageError("\n".join(problems) or "no finished run to grade")
    for problem in problems:
        say(f"schedctl: {one_line(problem, limit=1000)}", is_problem=True)
    return ", ".join(versions), found


def _iterations(pairs: Sequence[tuple[StoredRun, Regraded]]) -> Iterator[RegradedIteration]:
    for name in dict.fromkeys(run.iteration for run, _ in pairs):
        own = [(run, new) for run, new in pairs if run.iteration == name]
        good = [(run, new) for run, new in own if new.problem is None]
        yield RegradedIteration(
            name=name,
            runs=len(good),
            metrics=regraded_metrics([run.metrics for run, _ in good], [new.metrics for _, new in good]),
            problems=tuple(f"{run.path}: {new.problem}" for run, new in own if new.problem is not None),
        )
