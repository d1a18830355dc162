"""Is the experiment better than the baseline beyond chance? A permutation test over seeds, and more.

Seeds are the units: the test turns the signs of paired seeds. What treats steps or episodes of one run as if
they were independent is shown for comparison and says so; it never makes a recommendation.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scheduler.judging._arms import Arms, arms_of, need_baseline, need_metrics
from scheduler.judging._checks import (
    flag_problems,
    number_problems,
    refuse,
    whole_problems,
    words,
    words_problems,
)
from scheduler.judging._outcome import MET, MISSED, OPEN, outcome
from scheduler.judging._pooled import PooledShares, PooledSteps, pooled_shares, pooled_steps
from scheduler.judging._significance_text import as_object, document, line
from scheduler.judging._tests_of_difference import (
    USUAL_POWER,
    USUAL_RESAMPLES,
    Interval,
    PermutationTest,
    cohens_d,
    holm,
    pairs_needed,
    runs_per_arm,
)
from scheduler.judging.evidence import Sample
from scheduler.judging.protocol import Judged, Label

IMPROVEMENT = "statistically_significant_improvement"
DEGRADATION = "significant_degradation"
INSUFFICIENT = "insufficient_statistical_evidence"
#: tests named in one note
_MOST_NAMES = 4
_CODES = {IMPROVEMENT: MET, DEGRADATION: MISSED, INSUFFICIENT: OPEN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is declared before the runs are looked at."""

    #: chance of a false recommendation that is accepted
    alpha: float = 0.05
    #: the first is what the recommendation is about; none means the objective's
    metrics: tuple[str, ...] = ()
    #: metrics beside the objective's of which less is better
    lower_is_better: tuple[str, ...] = ()
    #: 2 tests for better and worse, 1 for better only
    sides: int = 2
    #: compare Holm-adjusted p with alpha, over all metrics and experiments of the sample
    holm: bool = False
    #: confidence of the bootstrap interval
    level: float = 0.95
    resamples: int = USUAL_RESAMPLES
    #: of the random numbers
    seed: int = 0
    #: lift of a share that is planned for, such as 0.0126; none plans for the lift seen
    lift: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", words(self.metrics))
        object.__setattr__(self, "lower_is_better", words(self.lower_is_better))
        refuse(self._problems())

    def _problems(self) -> Iterator[str]:
        yield from number_problems("alpha", self.alpha, above=0, below=1)
        yield from words_problems("metrics", self.metrics)
        yield from words_problems("lower_is_better", self.lower_is_better)
        if self.sides not in (1, 2):
            yield f"sides: must be 1 or 2 (found {self.sides!r})"
        yield from flag_problems("holm", self.holm)
        yield from number_problems("level", self.level, above=0, below=1)
        yield from whole_problems("resamples", self.resamples, least=99)
        yield from whole_problems("seed", self.seed)
        if self.lift is not None:
            yield from number_problems("lift", self.lift, above=-1, below=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricTest:
    """One metric of one experiment against the baseline's."""

    arms: Arms
    #: None where there are too few runs for any
    permutation: PermutationTest | None
    #: Holm's, over all tests of the sample
    adjusted_p: float | None
    interval: Interval | None
    #: over all runs of both arms, in their pooled sd
    cohens_d: float | None
    #: pairs, or runs an arm, for 80 % power at the delta seen
    needed: int | None
    #: the fewest pairs, or runs an arm, with which p can fall below alpha at all
    attainable_from: int
    recommendation: str

    @property
    def can_reach_alpha(self) -> bool:
        """Whether so few runs could have shown anything, whatever they said."""
        return self.arms.units >= self.attainable_from


@dataclass(frozen=True, slots=True, kw_only=True)
class SignificanceJudged(Judged):
    """The answer, by experiment and metric in order."""

    source: str
    options: Options
    tests: tuple[MetricTest, ...]
    shares: tuple[PooledShares, ...]
    steps: tuple[PooledSteps, ...]
    notes: tuple[str, ...]

    @property
    def way(self) -> str:
        return "significance"

    @property
    def primary(self) -> tuple[MetricTest, ...]:
        """The test of the first metric of each experiment: what the recommendations are."""
        return tuple(test for test in self.tests if test.arms.metric == self.tests[0].arms.metric)

    def labels(self) -> tuple[Label, ...]:
        return tuple(
            Label(config=test.arms.config, word=test.recommendation, line=line(test)) for test in self.primary
        )

    def to_json(self) -> dict[str, Any]:
        return as_object(self)

    def markdown(self) -> str:
        return document(self)

    @property
    def exit_code(self) -> int:
        return outcome(_CODES[test.recommendation] for test in self.primary)


def judge(sample: Sample, options: Options) -> SignificanceJudged:
    """Every experiment of `sample` against its baseline. Raises UnfitRunsError without either."""
    need_baseline(sample, "significance")
    metrics = options.metrics or (sample.objective.metric,)
    need_metrics(sample, metrics)
    found = [
        _test(arms_of(sample, config, metric, options.lower_is_better), options)
        for config in sample.experiments
        for metric in metrics
    ]
    tests = tuple(_recommended(found, options))
    return SignificanceJudged(
        source=sample.source,
        options=options,
        tests=tests,
        shares=tuple(pooled_shares(sample, alpha=options.alpha, lift=options.lift)),
        steps=tuple(pooled_steps(sample, tests, resamples=options.resamples, seed=options.seed)),
        notes=(*sample.notes, *_notes(tests, options)),
    )


def _test(arms: Arms, options: Options) -> MetricTest:
    return MetricTest(
        arms=arms,
        permutation=arms.permutation(sides=options.sides, resamples=options.resamples, seed=options.seed),
        adjusted_p=None,
        interval=arms.interval(level=options.level, resamples=options.resamples, seed=options.seed + 1),
        cohens_d=cohens_d(arms.signed_baseline, arms.signed_variant),
        needed=_needed(arms, options),
        attainable_from=0,
        recommendation=INSUFFICIENT,
    )


def _needed(arms: Arms, options: Options) -> int | None:
    if arms.delta is None or arms.units < 2:
        return None
    if arms.is_paired:
        sd = statistics.stdev(arms.differences)
        return pairs_needed(arms.delta, sd, alpha=options.alpha, power=USUAL_POWER, sides=options.sides)
    spreads = [statistics.variance(values) for values in (arms.signed_baseline, arms.signed_variant)]
    sd = math.sqrt(statistics.fmean(spreads))
    return runs_per_arm(arms.delta, sd, alpha=options.alpha, power=USUAL_POWER, sides=options.sides)


def _recommended(tests: Sequence[MetricTest], options: Options) -> Iterator[MetricTest]:
    """With what depends on how many tests there are: the adjusted p, and what follows from p."""
    tested = [index for index, test in enumerate(tests) if test.permutation is not None]
    adjusted = dict(zip(tested, holm([_p(tests[index]) for index in tested]), strict=True))
    # Holm's smallest p has to be alpha over the number of tests
    reach = options.alpha / (len(tests) if options.holm else 1)
    for index, test in enumerate(tests):
        told = replace(
            test,
            adjusted_p=adjusted.get(index),
            attainable_from=_fewest(reach, options.sides, is_paired=test.arms.is_paired),
        )
        yield replace(told, recommendation=_recommendation(told, options))


def _p(test: MetricTest) -> float:
    return 1.0 if test.permutation is None else test.permutation.p


def _fewest(alpha: float, sides: int, *, is_paired: bool) -> int:
    number = 2
    while sides / (2**number if is_paired else math.comb(2 * number, number)) >= alpha:
        number += 1
    return number


def _recommendation(test: MetricTest, options: Options) -> str:
    p = test.adjusted_p if options.holm else _p(test)
    delta = test.arms.delta
    if p is None or delta is None or test.interval is None or p >= options.alpha:
        return INSUFFICIENT
    if delta > 0 and test.interval.low > 0:
        return IMPROVEMENT
    if delta < 0 and test.interval.high < 0:
        return DEGRADATION
    return INSUFFICIENT


def _notes(tests: Sequence[MetricTest], options: Options) -> Iterator[str]:
    concerned: dict[str, list[str]] = {}
    for test in tests:
        for note in _test_notes(test, options):
            concerned.setdefault(note, []).append(f"{test.arms.config}, {test.arms.metric}")
    for note, names in concerned.items():
        yield f"{_concerned(names, len(tests))}: {note}"
    if len(tests) > 1:
        treated = (
            "p is Holm-adjusted before it is compared with alpha."
            if options.holm
            else "p is compared with alpha as it is, so that one of them is more likely to pass by chance;"
            " `holm = true` compares the adjusted p."
        )
        yield f"{len(tests)} tests were made; {treated}"
    if any(test.arms.units < 10 for test in tests):
        yield "A bootstrap over fewer than 10 seeds is narrower than its confidence says."
    if options.sides == 1:
        yield "One-sided: the test looks for an improvement only and can show no degradation."


def _concerned(names: Sequence[str], tests: int) -> str:
    if len(names) == tests > 1:
        return "In every test"
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return "; ".join(names[:_MOST_NAMES]) + more


def _test_notes(test: MetricTest, options: Options) -> Iterator[str]:
    arms = test.arms
    if not arms.variant or not arms.baseline:
        yield f"{'the baseline' if not arms.baseline else 'the experiment'} has no value of it."
        return
    unit = "pairs" if arms.is_paired else "runs an arm"
    if not test.can_reach_alpha:
        smallest = (
            "no p at all" if test.permutation is None else f"no p below {test.permutation.smallest_p:.4g}"
        )
        yield (
            f"{arms.units_text} can give {smallest}, whatever the runs say;"
            f" alpha {options.alpha:g} can be reached from {test.attainable_from} {unit} on."
        )
    if not arms.is_paired:
        yield "the arms share too few seeds to be paired; runs are dealt anew as independent ones."
    if arms.left_out:
        yield f"{arms.left_out} runs have no partner of the same seed and are left out of the test."
    if arms.delta == 0 and len(set(arms.differences)) == 1:
        yield "every pair is equal to the last digit; the experiment may change nothing."
