"""What does one way of judging say of a round or of files, as a word and an exit code?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from scheduler.cli.saying import say
from scheduler.judging._outcome import outcome
from scheduler.judging.protocol import Judged
from scheduler.report.printable import one_line
from scheduler.rounds.paths import HomePaths


def verdict(
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
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The whole report.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Every figure, for a program.")] = False,
) -> None:
    """Judge runs in one way and end with its answer as exit code.

    0 is CONFIRMED, an improvement, PASS or WINNER; 1 is FAILED, a degradation, FAIL or LOSER; 4 is neither.
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
    say(_text(answers, as_markdown=as_markdown, as_json=as_json), end="")
    raise typer.Exit(outcome(answer.exit_code for answer in answers))


def _text(answers: Sequence[Judged], *, as_markdown: bool, as_json: bool) -> str:
    if as_json:
        return json_text(answers)
    if as_markdown:
        return "\n".join(answer.markdown() for answer in answers)
    return "".join(f"{line}\n" for answer in answers for line in _lines(answer))


def _lines(answer: Judged) -> Iterator[str]:
    told = answer.to_json()
    yield f"{answer.way}, {one_line(str(told.get('source', '')))}"
    for label in answer.labels():
        yield f"  {label.word} {one_line(label.config)}: {one_line(label.line, limit=1000)}"
    for note in told.get("notes", ()):
        yield f"  {one_line(str(note), limit=1000)}"
