"""What did a model write at the end of its run, and how did the suite of prompts read it?

Rows of `prompts.jsonl`: `step`, `suite`, `prompt`, `temperature` (0 is greedy), `text`, and figures.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scheduler.judging._markdown import number
from scheduler.judging._spread import Spread, spread
from scheduler.judging.evidence import JudgedRun, finite_metrics
from scheduler.judging.page import Passage, Table

FILE = "prompts.jsonl"

#: of each run, on a page
TEXTS_OF_A_RUN = 3

#: keys of a row that are no figure of its text
_PLACE = frozenset({"step", "tokens_seen", "temperature"})
#: a text is read as no language below, or above
_FLAGS: Mapping[str, str] = {"intelligible": "not intelligible"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a model wrote after one prompt."""

    step: int
    prompt: str
    text: str
    temperature: float
    figures: Mapping[str, float]

    @property
    def flags(self) -> tuple[str, ...]:
        """What a reader should know of it, in a few words each."""
        return tuple(words for name, words in _FLAGS.items() if self.figures.get(name) == 0.0)

    @property
    def how(self) -> str:
        """`greedy`, or `T 0.8`."""
        return "greedy" if self.temperature == 0 else f"T {self.temperature:g}"


def suite_of(exhibits: Mapping[str, Sequence[Mapping[str, Any]]]) -> str | None:
    """The name of the suite that a run was read with; None where it was with none, or with several."""
    names = {row["suite"] for row in exhibits.get(FILE, ()) if isinstance(row.get("suite"), str)}
    return names.pop() if len(names) == 1 else None


def with_prompt_set(run: JudgedRun) -> JudgedRun:
    """The run on the prompt set that its own file names, unless it was told already."""
    return run if run.prompt_set is not None else replace(run, prompt_set=suite_of(run.exhibits))


def last_written(run: JudgedRun) -> tuple[Written, ...]:
    """All texts of the last step at which the suite was read; rows that lack something are left out."""
    found = tuple(_written(run.exhibits.get(FILE, ())))
    last = max((each.step for each in found), default=0)
    return tuple(each for each in found if each.step == last)


def suite_figures(runs: Sequence[JudgedRun]) -> dict[tuple[str, str], Spread]:
    """By temperature and figure, the spread over `runs` of each run's mean over the prompts."""
    values: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        by_kind: dict[tuple[str, str], list[float]] = {}
        for each in last_written(run):
            for name, value in each.figures.items():
                by_kind.setdefault((each.how, name), []).append(value)
        for kind, found in by_kind.items():
            values.setdefault(kind, []).append(statistics.fmean(found))
    spreads = ((kind, spread(found)) for kind, found in values.items())
    return {kind: found for kind, found in spreads if found is not None}


def suite_table(configs: Sequence[tuple[str, Sequence[JudgedRun]]]) -> Iterator[Table]:
    """The figures of the suite by config; nothing where no run was read."""
    rows = tuple(
        (config, name, how, number(found.mean, 3), "-" if found.sd is None else f"{found.sd:.2g}")
        for config, runs in configs
        for (how, name), found in suite_figures(runs).items()
    )
    if rows:
        yield Table(
            head=("Config", "Prompt suite", "Sampling", "Mean", "SD"),
            rows=rows,
            figures=frozenset({3, 4}),
            caption="Shares over the prompts of the suite, at the last reading; sd over the seeds.",
        )


def passages(configs: Sequence[tuple[str, Sequence[JudgedRun]]]) -> Iterator[Passage]:
    """The first texts of each run; its file has all of them."""
    for _, runs in configs:
        for run in runs:
            for each in last_written(run)[:TEXTS_OF_A_RUN]:
                yield Passage(
                    title=f"{run.name}, step {each.step}, {each.how}: {each.prompt}",
                    text=each.text,
                    flags=each.flags,
                )


def _written(rows: Sequence[Mapping[str, Any]]) -> Iterator[Written]:
    for row in rows:
        prompt, text, step = row.get("prompt"), row.get("text"), row.get("step")
        place = finite_metrics({"temperature": row.get("temperature", 0)})
        if isinstance(prompt, str) and isinstance(text, str) and type(step) is int and place:
            figures = finite_metrics({key: value for key, value in row.items() if key not in _PLACE})
            yield Written(
                step=step, prompt=prompt, text=text, temperature=place["temperature"], figures=figures
            )
