"""How do runs compare, told in one of the ways that other people judge? As documents, never as a decision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from scheduler.cli.answers import asked_answers, json_text
from scheduler.cli.chosen import Choice
from scheduler.cli.judging_arguments import (
    Baseline,
    Config,
    Direction,
    Metric,
    MinEffect,
    Names,
    PromptSet,
    Settings,
    StageName,
    Step,
    TaskName,
    Unit,
    Way,
)
from scheduler.cli.option_values import read_settings
from scheduler.cli.saying import say, say_json_text
from scheduler.effects.files import publish
from scheduler.judging._markdown import file_words
from scheduler.judging.protocol import Judged
from scheduler.report.documents import documents_of
from scheduler.report.printable import one_line
from scheduler.rounds.errors import UsageError
from scheduler.rounds.paths import HomePaths


def compare(
    context: typer.Context,
    names: Names,
    way: Way = None,
    settings: Settings = None,
    config: Config = None,
    task: TaskName = None,
    stage: StageName = None,
    baseline: Baseline = None,
    metric: Metric = None,
    direction: Direction = None,
    unit: Unit = None,
    min_effect: MinEffect = None,
    prompt_set: PromptSet = None,
    step: Step = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the documents into this folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Every figure, for a program.")] = False,
) -> None:
    """Compare runs in one of the customary ways.

    Shows its report, or writes its documents. For an answer as exit code ask `schedctl verdict`.
    """
    home: HomePaths = context.obj
    choice = Choice(
        names=tuple(names),
        task=task,
        stage=stage,
        baseline=baseline,
        metric=metric,
        direction=direction,
        unit=unit,
        min_effect=min_effect,
        prompt_set=prompt_set,
        step=step,
    )
    answers = asked_answers(home, choice, way, read_settings(settings or []), config)
    written = _written(answers, out) if out is not None else []
    if as_json:
        say_json_text(json_text(answers))
    elif out is None:
        say("\n".join(answer.markdown() for answer in answers), end="")
    else:
        for path in written:
            say(f"{path}")


def _written(answers: Sequence[Judged], out: Path) -> list[Path]:
    """Every document below `out`, in a folder for each sample where there are several."""
    paths = []
    for folder, answer in _folders(answers, out):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in documents_of(answer).items():
                publish(folder / name, text.encode())
                paths.append(folder / name)
        except OSError as error:
            raise UsageError(f"{one_line(str(folder))} cannot be written: {error.strerror}") from error
    return paths


def _folders(answers: Sequence[Judged], out: Path) -> Iterator[tuple[Path, Judged]]:
    if len(answers) == 1:
        yield out, answers[0]
        return
    sources = [str(answer.to_json()["source"]).replace("/", ".") for answer in answers]
    for word, answer in zip(file_words(sources), answers, strict=True):
        yield out / word, answer
