"""What does one way of judging say of a round or of files, as a word and an exit code?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from policies.evidence import UnmatchedError
from scheduler.cli.chosen import Choice, chosen_samples, declared_ways
from scheduler.cli.option_values import read_settings
from scheduler.judging import judged, option_names, way_names
from scheduler.judging._outcome import outcome
from scheduler.judging.evidence import Sample, UnfitRunsError
from scheduler.judging.protocol import Judged, as_json_text
from scheduler.report.printable import one_line
from scheduler.rounds.errors import UnknownIdError, UsageError
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.settings import load_settings

#: these judge runs by themselves; the others hold them against a baseline
_WITHOUT_BASELINE = frozenset({"band", "targets"})
#: options whose default a home may set in roundhouse.toml
_OF_THE_HOME = ("cost_per_hour", "currency")


def verdict(
    context: typer.Context,
    names: Annotated[
        list[str], typer.Argument(metavar="ROUND|FILES...", help="A round, or files, folders and patterns.")
    ],
    way: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="WAY",
            help=f"One of {', '.join(way_names())}; by default what the round asks for.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the way of judging."),
    ] = None,
    config: Annotated[str | None, typer.Option(help="Only this experiment.")] = None,
    task: Annotated[str | None, typer.Option(help="Only this task.")] = None,
    stage: Annotated[str | None, typer.Option(help="Runs of this stage.")] = None,
    baseline: Annotated[str | None, typer.Option(help="Name of the baseline in files.")] = None,
    metric: Annotated[str | None, typer.Option(help="Metric to judge by.")] = None,
    direction: Annotated[str | None, typer.Option(help="maximize or minimize.")] = None,
    unit: Annotated[str | None, typer.Option(help='Unit of deltas; "pp" is a 0..1 score times 100.')] = None,
    min_effect: Annotated[float | None, typer.Option(help="Smallest effect of interest.")] = None,
    prompt_set: Annotated[str | None, typer.Option(help="The prompts that count.")] = None,
    step: Annotated[int | None, typer.Option(help="Read every run at this step.")] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The whole report.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Every figure, for a program.")] = False,
) -> None:
    """Judge runs in one way and end with its answer as exit code.

    0 is CONFIRMED, an improvement, PASS or WINNER; 1 is FAILED, a degradation, FAIL or LOSER; 4 is neither.
    """
    home: HomePaths = context.obj
    name = _way(way, declared_ways(home, names))
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
    samples = chosen_samples(home, choice, needs_baseline=name not in _WITHOUT_BASELINE)
    of_home, given = _home_options(home, name), read_settings(settings or [])
    answers = [
        _answer(name, only(each.sample, config), {**of_home, **each.judge.get(name, {}), **given})
        for each in samples
    ]
    typer.echo(_text(answers, as_markdown=as_markdown, as_json=as_json), nl=False)
    raise typer.Exit(outcome(answer.exit_code for answer in answers))


def only(sample: Sample, config: str | None) -> Sample:
    """`sample` with no other experiment than `config`. Raises UnknownIdError."""
    if config is None:
        return sample
    if config not in sample.experiments:
        known = ", ".join(sample.experiments) or "none"
        raise UnknownIdError(f"{sample.source} has no experiment {config!r}; it has {known}")
    return replace(sample, experiments={config: sample.experiments[config]})


def _way(named: str | None, declared: Sequence[str]) -> str:
    if named is None:
        if len(declared) == 1:
            return declared[0]
        ways = ", ".join(declared or way_names())
        raise UsageError(f"say with --as in which way to judge; there are {ways}")
    name = named.replace("-", "_")
    if name not in way_names():
        raise UsageError(f"--as {named}: there is no such way of judging; there are {', '.join(way_names())}")
    return name


def _home_options(home: HomePaths, way: str) -> dict[str, Any]:
    """What roundhouse.toml says and `way` takes."""
    names = [name for name in _OF_THE_HOME if name in option_names(way)]
    if not names or not home.settings.is_file():
        return {}
    settings = load_settings(home.settings)
    told = {name: getattr(settings, name) for name in names}
    # an hour that costs nothing is one whose cost nobody said
    return {name: value for name, value in told.items() if value}


def _answer(way: str, sample: Sample, options: Mapping[str, Any]) -> Judged:
    try:
        return judged(way, sample, options)
    except (UnfitRunsError, UnmatchedError) as error:
        raise UsageError(str(error)) from error
    except ValueError as error:
        raise UsageError(f"{way}: {error}") from error


def _text(answers: Sequence[Judged], *, as_markdown: bool, as_json: bool) -> str:
    if as_json:
        told = [answer.to_json() for answer in answers]
        return as_json_text(told[0] if len(told) == 1 else {"answers": told})
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
