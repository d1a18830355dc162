"""What did a campaign of conditions over seeds show? Curves, warnings, the declared order, and tests by seed.

The level of a run is the mean of its metric over its last steps. Conditions are compared with the baseline on
the seeds they share, with Holm's correction over the conditions; why the smallest p is no evidence is said.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from scheduler.judging import litmus, significance
from scheduler.judging._arms import need_baseline
from scheduler.judging._campaign_chance import Smallest, smallest, t_test_p, why_no_evidence
from scheduler.judging._campaign_order import Order, checked
from scheduler.judging._campaign_page import page_of
from scheduler.judging._campaign_runs import (
    Band,
    Completeness,
    bands,
    completeness,
    conditions,
    level_sample,
)
from scheduler.judging._campaign_warnings import Warned, warnings
from scheduler.judging._checks import (
    number_problems,
    refuse,
    whole_problems,
    word_problems,
    words,
    words_problems,
)
from scheduler.judging._outcome import OPEN
from scheduler.judging._page_markdown import markdown_of
from scheduler.judging._spread import Spread, spread
from scheduler.judging._tests_of_difference import USUAL_RESAMPLES
from scheduler.judging.evidence import Sample
from scheduler.judging.page import Page
from scheduler.judging.protocol import Judged, Label, as_json_text

#: drawn beside the metric where a run tells them
CURVES = (
    "exec_entropy_mean",
    "plan_entropy_mean",
    "planning_share",
    "sepa_lambda",
    "max_token_hit_rate",
    "reward_uniform_rate",
    "loss",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is declared before the runs are looked at."""

    #: told at every step; none means the objective's. Deltas are in the objective's unit
    metric: str = ""
    #: steps at the end over which a run's level is a mean
    last: int = 10
    #: conditions, the worst first, as they are expected to come out; none declares nothing
    expected_order: tuple[str, ...] = ()
    #: chance of a false recommendation over all conditions that is accepted
    alpha: float = 0.05
    #: the smallest lift that confirms in the litmus; none takes the objective's min_effect
    min_lift: float | None = None
    #: pairs of seeds below which the litmus is inconclusive
    min_seeds: int = 3
    #: share of completions cut at the token limit from which on a step is a spike
    token_limit: float = 0.1
    #: further metrics to draw; none takes the customary ones that were told
    curves: tuple[str, ...] = ()
    resamples: int = USUAL_RESAMPLES
    #: of the random numbers
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("expected_order", "curves"):
            object.__setattr__(self, name, words(getattr(self, name)))
        refuse(self._problems())

    def _problems(self) -> Iterator[str]:
        yield from word_problems("metric", self.metric)
        yield from whole_problems("last", self.last, least=1)
        for name in ("expected_order", "curves"):
            yield from words_problems(name, getattr(self, name))
        if isinstance(self.expected_order, tuple):
            if len(self.expected_order) == 1:
                yield "expected_order: must name at least two conditions, the worst first"
            if len(set(self.expected_order)) < len(self.expected_order):
                yield "expected_order: must name each condition once"
        yield from number_problems("alpha", self.alpha, above=0, below=1)
        if self.min_lift is not None:
            yield from number_problems("min_lift", self.min_lift)
        yield from whole_problems("min_seeds", self.min_seeds, least=1)
        yield from number_problems("token_limit", self.token_limit, above=0)
        yield from whole_problems("resamples", self.resamples, least=99)
        yield from whole_problems("seed", self.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignJudged(Judged):
    """The answer about one campaign."""

    source: str
    options: Options
    metric: str
    completeness: Completeness
    #: of the level, by condition, the baseline first
    levels: Mapping[str, Spread]
    significance: significance.SignificanceJudged
    #: None where no smallest lift was declared
    litmus: litmus.LitmusJudged | None
    smallest: Smallest | None
    #: None where none was declared, or no seed has two of its conditions
    order: Order | None
    warnings: tuple[Warned, ...]
    bands: tuple[Band, ...]
    notes: tuple[str, ...]

    @property
    def way(self) -> str:
        return "campaign"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the smallest p is no evidence; nothing where one is, or none can be tested."""
        if self.smallest is None or self.significance.exit_code != OPEN:
            return ()
        return tuple(why_no_evidence(self.smallest, self.significance))

    def labels(self) -> tuple[Label, ...]:
        litmus_of = (
            {label.config: f"; litmus {label.word}" for label in self.litmus.labels()} if self.litmus else {}
        )
        return tuple(
            replace(label, line=f"{label.line}{litmus_of.get(label.config, '')}")
            for label in self.significance.labels()
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "way": self.way,
            "source": self.source,
            "metric": self.metric,
            "last": self.options.last,
            "whole_seeds": list(self.completeness.whole),
            "partial_seeds": list(self.completeness.partial),
            "levels": self.levels,
            "significance": self.significance.to_json(),
            "t_test_p": {test.arms.config: t_test_p(test.arms) for test in self.significance.primary},
            "smallest_p": self.smallest,
            "why_no_evidence": list(self.reasons),
            "litmus": self.litmus.to_json() if self.litmus else None,
            "order": self.order,
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }

    def markdown(self) -> str:
        return markdown_of(page_of(self))

    def documents(self) -> Mapping[str, str]:
        return {
            "campaign.md": self.markdown(),
            "campaign.json": as_json_text(self.to_json()),
            "campaign_curves.csv": _curves_csv(self.bands),
        }

    def pages(self) -> Mapping[str, Page]:
        return {"campaign": page_of(self)}

    @property
    def exit_code(self) -> int:
        return self.significance.exit_code


def judge(sample: Sample, options: Options) -> CampaignJudged:
    """The whole campaign. Raises UnfitRunsError without a baseline or a condition to compare with it."""
    need_baseline(sample, "campaign")
    metric = options.metric or sample.objective.metric
    level = level_sample(sample, metric, options.last)
    tested = significance.judge(
        level,
        significance.Options(alpha=options.alpha, holm=True, resamples=options.resamples, seed=options.seed),
    )
    return CampaignJudged(
        source=sample.source,
        options=options,
        metric=metric,
        completeness=completeness(sample),
        levels=dict(_levels(level)),
        significance=tested,
        litmus=_litmus(level, options),
        smallest=smallest(tested),
        order=checked(level, options.expected_order) if options.expected_order else None,
        warnings=warnings(sample, token_limit=options.token_limit),
        bands=tuple(bands(sample, tuple(dict.fromkeys((metric, *(options.curves or CURVES)))))),
        notes=sample.remarks,
    )


def _litmus(level: Sample, options: Options) -> litmus.LitmusJudged | None:
    if options.min_lift is None and not level.objective.min_effect > 0:
        return None
    declared = litmus.Options(
        min_lift=options.min_lift,
        alpha=options.alpha,
        min_seeds=options.min_seeds,
        resamples=options.resamples,
        seed=options.seed,
    )
    return litmus.judge(level, declared)


def _levels(level: Sample) -> Iterator[tuple[str, Spread]]:
    for config, runs in conditions(level).items():
        found = spread(level.values(runs))
        if found is not None:
            yield config, found


def _curves_csv(told: tuple[Band, ...]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("metric", "condition", "step", "mean", "lowest", "highest", "runs"))
    for band in told:
        for point in zip(band.steps, band.mean, band.low, band.high, strict=True):
            step, *figures = point
            writer.writerow((band.metric, band.config, step, *(f"{value:.6g}" for value in figures), band.n))
    return out.getvalue()
