"""What does a way of judging answer to a command line? For every verb that judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from policies.evidence import UnmatchedError
from scheduler.cli.chosen import Choice, chosen_samples, declared_ways
from scheduler.judging import exhibit_names, judged, option_names, way_names
from scheduler.judging.evidence import Sample, UnfitRunsError
from scheduler.judging.protocol import Judged, as_json_text
from scheduler.rounds.errors import UnknownIdError, UsageError
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.settings import load_settings

#: these judge runs by themselves; the others hold them against a baseline
_WITHOUT_BASELINE = frozenset({"band", "targets"})
#: options whose default a home may set in roundhouse.toml
_OF_THE_HOME = ("cost_per_hour", "currency")


def asked_answers(
    home: HomePaths, choice: Choice, way: str | None, given: Mapping[str, Any], config: str | None
) -> list[Judged]:
    """One answer a sample. Options are the home's, above them those of the round's spec, above them `given`.

    Raises UsageError or UnknownIdError.
    """
    name = _way(way, declared_ways(home, choice.names))
    samples = chosen_samples(
        home,
        choice,
        needs_baseline=name not in _WITHOUT_BASELINE,
        exhibits=exhibit_names([name]),
    )
    of_home = _home_options(home, name)
    return [
        _answer(name, _only(each.sample, config), {**of_home, **each.judge.get(name, {}), **given})
        for each in samples
    ]


def json_text(answers: Sequence[Judged]) -> str:
    """One answer as it is, several as a list."""
    told = [answer.to_json() for answer in answers]
    return as_json_text(told[0] if len(told) == 1 else {"answers": told})


def _only(sample: Sample, config: str | None) -> Sample:
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
