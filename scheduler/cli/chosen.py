"""Which runs does a person mean: those of a round, or of files that other scripts wrote?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from policies.evidence import Objective, UnmatchedError
from scheduler.cli.home import existing_home
from scheduler.cli.saying import say
from scheduler.judging.alignment import aligned, with_best
from scheduler.judging.evidence import JudgedRun, Sample, UnfitRunsError, sample_of
from scheduler.report.foreign_files import read_foreign
from scheduler.report.learnings import judge_options
from scheduler.report.load import load_round
from scheduler.report.printable import one_line
from scheduler.report.round_evidence import task_sample
from scheduler.rounds.errors import UnknownIdError, UsageError
from scheduler.rounds.paths import HomePaths

BASELINE = "baseline"
#: metrics taken where a file has them and none is named, first found first
_USUAL_METRICS = ("acc", "accuracy", "correct_rate", "loss", "val_loss")
#: parts of the name of a metric of which less is better
_LESS_IS_BETTER = ("loss", "ppl", "perplexity", "error", "nll", "bpb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the command line says of the runs; None leaves it to the round, or to what the files hold."""

    names: tuple[str, ...]
    task: str | None = None
    stage: str | None = None
    baseline: str | None = None
    metric: str | None = None
    #: "maximize" or "minimize"
    direction: str | None = None
    unit: str | None = None
    min_effect: float | None = None
    prompt_set: str | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is to be judged, and what its round declared of that."""

    sample: Sample
    #: options by way of judging; nothing for files
    judge: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def declared_ways(home: HomePaths, names: Sequence[str]) -> tuple[str, ...]:
    """The ways of judging that the rounds among `names` ask for."""
    states = [load_round(home.round(name)) for name in names if _is_round(home, name)]
    return tuple(dict.fromkeys(way for state in states for way in state.round.judge))


def chosen_samples(
    home: HomePaths, choice: Choice, *, needs_baseline: bool, exhibits: Sequence[str] = ()
) -> list[Chosen]:
    """The samples to judge: one a task of a round, or one for all files together.

    Their runs bring what they wrote into the files `exhibits`.

    A task that cannot be judged is told on stderr while another one can. Raises UsageError or UnknownIdError.
    """
    rounds = [name for name in choice.names if _is_round(home, name)]
    if rounds and len(rounds) < len(choice.names):
        raise UsageError("rounds and files are not judged together; name either")
    try:
        if not rounds:
            return [Chosen(sample=_of_files(choice, exhibits, needs_baseline=needs_baseline))]
        return [
            chosen
            for name in rounds
            for chosen in _of_round(home, name, choice, exhibits, needs_baseline=needs_baseline)
        ]
    except (UnfitRunsError, UnmatchedError) as error:
        raise UsageError(str(error)) from error


def _is_round(home: HomePaths, name: str) -> bool:
    return "/" not in name and home.round(name).records.is_file()


def _of_round(
    home: HomePaths, name: str, choice: Choice, exhibits: Sequence[str], *, needs_baseline: bool
) -> Iterator[Chosen]:
    if choice.baseline not in (None, BASELINE):
        raise UsageError("--baseline is for files; a round has one baseline in each task")
    paths = existing_home(home).round(name)
    state = load_round(paths)
    if choice.task is not None and choice.task not in state.tasks:
        raise UnknownIdError(f"round {name} has no task {choice.task!r}; it has {', '.join(state.tasks)}")
    tasks = [task for task in state.tasks.values() if choice.task in (None, task.task.name)]
    unfit: list[str] = []
    for task in tasks:
        known = task.task.objective
        objective = _objective(choice, known if choice.metric in (None, known.metric) else None)
        try:
            sample = task_sample(
                state,
                task,
                paths,
                stage=choice.stage,
                objective=objective,
                exhibits=exhibits,
                needs_baseline=needs_baseline,
            )
        except (UnfitRunsError, UnmatchedError) as error:
            unfit.append(str(error))
        else:
            yield Chosen(sample=sample, judge=judge_options(state, paths))
    if len(unfit) == len(tasks):
        raise UsageError("\n".join(unfit) or f"round {name} has no task")
    for problem in unfit:
        say(f"schedctl: {one_line(problem, limit=1000)}", is_problem=True)


def _of_files(choice: Choice, exhibits: Sequence[str], *, needs_baseline: bool) -> Sample:
    found = read_foreign(choice.names, choice.task, exhibits)
    metric = choice.metric or _usual_metric(found.runs)
    objective = _objective(replace(choice, metric=metric), None)
    runs = found.runs
    if choice.stage is not None:
        runs = tuple(run for run in runs if run.stage == choice.stage)
    at_one_step = aligned(runs, metric, choice.step)
    sample = sample_of(
        with_best(at_one_step.runs, metric, objective.direction),
        source=", ".join(choice.names),
        objective=objective,
        baseline=_baseline(choice, runs, needs_baseline=needs_baseline),
        stage=choice.stage,
        prompt_set=choice.prompt_set,
    )
    return replace(sample, notes=(*found.notes, *at_one_step.notes, *sample.notes))


def _objective(choice: Choice, known: Objective | None) -> Objective:
    """What the command line says, else what the round does, else what the name of the metric suggests."""
    metric = choice.metric or (known.metric if known else "")
    is_less_better = any(part in metric.lower() for part in _LESS_IS_BETTER)
    guessed = known.direction if known else ("minimize" if is_less_better else "maximize")
    if choice.direction not in (None, "maximize", "minimize"):
        raise UsageError(f"--direction must be maximize or minimize (found {choice.direction!r})")
    return Objective(
        metric=metric,
        direction="minimize" if (choice.direction or guessed) == "minimize" else "maximize",
        unit=choice.unit if choice.unit is not None else (known.unit if known else ""),
        # nobody declared one: a way of judging that needs it has to ask
        min_effect=choice.min_effect
        if choice.min_effect is not None
        else (known.min_effect if known else 0.0),
    )


def _usual_metric(runs: Sequence[JudgedRun]) -> str:
    known = dict.fromkeys(name for run in runs for name in run.metrics)
    usual = next((name for name in _USUAL_METRICS if name in known), None)
    if usual is not None:
        return usual
    if len(known) == 1:
        return next(iter(known))
    raise UsageError(f"name the metric with --metric; reported are {', '.join(known) or 'none'}")


def _baseline(choice: Choice, runs: Sequence[JudgedRun], *, needs_baseline: bool) -> str | None:
    if choice.baseline is not None:
        return choice.baseline
    configs = list(dict.fromkeys(run.config for run in runs))
    named = [config for config in configs if config == BASELINE] or [
        config for config in configs if config.lower().startswith(BASELINE)
    ]
    if len(named) == 1:
        return named[0]
    if needs_baseline:
        raise UsageError(f"name the baseline with --baseline; configs here: {', '.join(configs) or 'none'}")
    return None
