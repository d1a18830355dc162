"""Is an experiment further from the baseline than the baseline is from itself? Variance first.

Five baseline runs give the noise, three runs of the experiment (two more when within 2 sigma) the delta.
Documents: `baseline_variance_<budget>.md` and one `experiment_<name>_<budget>.md` each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scheduler.judging import _prompt_suite
from scheduler.judging._checks import (
    is_number,
    number_problems,
    refuse,
    seeds_problems,
    words,
    words_problems,
)
from scheduler.judging._markdown import file_words
from scheduler.judging._outcome import MET, MISSED, OPEN, outcome
from scheduler.judging._sigmas import Comparison, compare
from scheduler.judging._spread import Spread, chance_of_large_effect, chance_of_sigmas, spread
from scheduler.judging._variance_documents import (
    baseline_document,
    experiment_document,
    experiment_json,
    line,
)
from scheduler.judging._variance_page import variance_page
from scheduler.judging.evidence import JudgedRun, Sample
from scheduler.judging.page import Page
from scheduler.judging.protocol import Judged, Label, as_json_text

#: what models wrote after the prompts of a suite
EXHIBITS = (_prompt_suite.FILE,)

Word = Literal["WINNER", "NEUTRAL", "LOSER", "NOT JUDGED"]

#: fewer baseline runs give no sigma to judge by: that of three is known within a factor of six
_LEAST_BASELINE_RUNS = 4
_CODES: Mapping[Word, int] = {"WINNER": MET, "LOSER": MISSED, "NEUTRAL": OPEN, "NOT JUDGED": OPEN}
_BUDGET = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,31}")
_DEFAULT_SEEDS = (42, 137, 256, 512, 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What variance first asks for. The defaults are those its users know."""

    baseline_seeds: Sequence[int] = _DEFAULT_SEEDS
    #: the experiment's first seeds
    seeds: Sequence[int] = _DEFAULT_SEEDS[:3]
    #: run when the experiment is within `winner_sigmas` of the baseline
    more_seeds: Sequence[int] = _DEFAULT_SEEDS[3:]
    winner_sigmas: float = 2.0
    suggestive_sigmas: float = 1.0
    #: the budget's label in the names of the documents
    budget: str = "1M"
    #: further metrics to tabulate; the label is the objective's alone
    metrics: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", words(self.metrics))
        refuse(self._problems())

    def _problems(self) -> Iterator[str]:
        yield from seeds_problems("baseline_seeds", self.baseline_seeds, least=2)
        yield from seeds_problems("seeds", self.seeds, least=2)
        yield from seeds_problems("more_seeds", self.more_seeds, least=0)
        yield from number_problems("suggestive_sigmas", self.suggestive_sigmas, above=0)
        if is_number(self.suggestive_sigmas) and not (
            is_number(self.winner_sigmas) and self.winner_sigmas >= self.suggestive_sigmas
        ):
            yield (
                f"winner_sigmas: must be at least suggestive_sigmas, {self.suggestive_sigmas:g}"
                f" (found {self.winner_sigmas!r})"
            )
        if not isinstance(self.budget, str) or not _BUDGET.fullmatch(self.budget):
            yield f'budget: must be a short word such as "1M" (found {self.budget!r})'
        yield from words_problems("metrics", self.metrics)


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One experiment's answer."""

    config: str
    runs: tuple[JudgedRun, ...]
    verdict: Word
    reason: str
    #: the objective's first, where both sides have it
    comparisons: tuple[Comparison, ...]
    wall: Spread | None
    #: how much longer the experiment's runs take; None where it was not measured
    wall_percent: float | None
    #: the seeds to run next: the two more of a result within 2 sigma
    next_seeds: tuple[int, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceFirst(Judged):
    """The baseline's noise, and every experiment held against it."""

    sample: Sample
    options: Options
    #: by metric, in table order; without those that no baseline run reported
    baseline: Mapping[str, Spread]
    baseline_wall: Spread | None
    experiments: tuple[Experiment, ...]

    @property
    def way(self) -> str:
        return "variance_first"

    def labels(self) -> tuple[Label, ...]:
        return tuple(
            Label(config=each.config, word=each.verdict, line=line(each, self.options))
            for each in self.experiments
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "way": self.way,
            "source": self.sample.source,
            "stage": self.sample.stage,
            "metric": self.sample.objective.metric,
            "direction": self.sample.objective.direction,
            "budget": self.options.budget,
            "baseline": {
                "seeds": [run.seed for run in self.sample.baseline],
                "metrics": self.baseline,
                "wall_seconds": self.baseline_wall,
            },
            "experiments": [experiment_json(each) for each in self.experiments],
            "notes": self.sample.remarks,
        }

    def markdown(self) -> str:
        experiments = (experiment_document(self, each) for each in self.experiments)
        return "\n".join((baseline_document(self), *experiments))

    def documents(self) -> Mapping[str, str]:
        budget = self.options.budget
        words = file_words(each.config for each in self.experiments)
        return {
            f"baseline_variance_{budget}.md": baseline_document(self),
            **{
                f"experiment_{word}_{budget}.md": experiment_document(self, each)
                for word, each in zip(words, self.experiments, strict=True)
            },
            "variance_first.json": as_json_text(self.to_json()),
        }

    def pages(self) -> Mapping[str, Page]:
        return {"variance_first": variance_page(self)}

    @property
    def exit_code(self) -> int:
        return outcome(_CODES[each.verdict] for each in self.experiments)


def judge(sample: Sample, options: Options) -> VarianceFirst:
    """Every experiment of `sample` against its baseline. Positive deltas are better."""
    names = dict.fromkeys((sample.objective.metric, *options.metrics))
    base = {name: found for name in names if (found := spread(sample.values(sample.baseline, name)))}
    wall = _wall(sample.baseline)
    return VarianceFirst(
        sample=sample,
        options=options,
        baseline=base,
        baseline_wall=wall,
        experiments=tuple(_experiment(sample, options, config, base, wall) for config in sample.experiments),
    )


def _experiment(
    sample: Sample, options: Options, config: str, base: Mapping[str, Spread], wall: Spread | None
) -> Experiment:
    runs = sample.experiments[config]
    thresholds = (options.winner_sigmas, options.suggestive_sigmas)
    comparisons = tuple(
        compare(sample.objective, name, found, own, thresholds)
        for name, found in base.items()
        if (own := spread(sample.values(runs, name))) is not None
    )
    main = next((found for found in comparisons if found.metric == sample.objective.metric), None)
    verdict, reason = _verdict(sample, options, main, runs)
    own_wall = _wall(runs)
    percent = 100 * (own_wall.mean / wall.mean - 1) if own_wall and wall and wall.mean > 0 else None
    return Experiment(
        config=config,
        runs=runs,
        verdict=verdict,
        reason=reason,
        comparisons=comparisons,
        wall=own_wall,
        wall_percent=percent,
        next_seeds=_next_seeds(options, main, runs),
        warnings=tuple(_warnings(sample, options, main, runs)),
    )


def _verdict(
    sample: Sample, options: Options, main: Comparison | None, runs: Sequence[JudgedRun]
) -> tuple[Word, str]:
    metric = sample.objective.metric
    if main is None:
        return "NOT JUDGED", f"no {metric} on one of the two sides"
    least_baseline = min(_LEAST_BASELINE_RUNS, len(options.baseline_seeds))
    if main.baseline.n < least_baseline:
        return "NOT JUDGED", f"a baseline of N={main.baseline.n} gives no sigma; at least {least_baseline} do"
    if main.experiment.n < len(options.seeds):
        return "NOT JUDGED", f"{main.experiment.n} of {len(options.seeds)} runs of the experiment"
    if main.sigmas is None or main.strength is None:
        return "NOT JUDGED", f"every baseline run has the same {metric}; is it constant?"
    side = "better" if main.sigmas >= 0 else "worse"
    words = f"{metric} is {abs(main.sigmas):.2f} sigma {side} than the baseline"
    if main.strength != "winner":
        told = "indistinguishable from noise" if main.strength == "noise" else "suggestive, not decisive"
        return "NEUTRAL", f"{words}: {told}"
    return ("WINNER" if main.sigmas > 0 else "LOSER"), words


def _next_seeds(options: Options, main: Comparison | None, runs: Sequence[JudgedRun]) -> tuple[int, ...]:
    """The seeds still to run of an experiment that is within 2 sigma."""
    if main is None or main.strength not in ("suggestive", "noise"):
        return ()
    wanted = len(options.seeds) + len(options.more_seeds)
    seen = {run.seed for run in runs}
    left = [seed for seed in (*options.seeds, *options.more_seeds) if seed not in seen]
    return tuple(left[: max(0, wanted - main.experiment.n)])


def _warnings(
    sample: Sample, options: Options, main: Comparison | None, runs: Sequence[JudgedRun]
) -> Iterator[str]:
    if main is None:
        return
    if main.baseline.n < len(options.baseline_seeds):
        yield f"{main.baseline.n} of the {len(options.baseline_seeds)} baseline runs asked for."
    asked = {*options.seeds, *options.more_seeds}
    others = [str(run.seed) for run in runs if run.seed is not None and run.seed not in asked]
    if others:
        yield f"Seeds {', '.join(others)} are not those of the protocol; they count like any."
    if main.baseline.n > 1 and main.experiment.n > 1:
        sizes = (main.baseline.n, main.experiment.n)
        large = 100 * chance_of_large_effect(*sizes)
        sigma = 100 * chance_of_sigmas(*sizes, options.winner_sigmas)
        yield (
            f"With {sizes[0]} + {sizes[1]} seeds and no effect at all, |d| >= 0.8 (large) appears"
            f" {large:.0f} % of the time and {options.winner_sigmas:g} sigma {sigma:.0f} %:"
            " the label alone decides nothing."
        )


def _wall(runs: Sequence[JudgedRun]) -> Spread | None:
    return spread([run.wall_seconds for run in runs if run.wall_seconds is not None])
