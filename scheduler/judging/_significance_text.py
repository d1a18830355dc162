"""How does a significance report read, for a person and for a program?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scheduler.judging._arms import delta_text
from scheduler.judging._markdown import cell, number, table

if TYPE_CHECKING:
    from scheduler.judging._pooled import PooledShares, PooledSteps
    from scheduler.judging._tests_of_difference import Interval, PermutationTest
    from scheduler.judging.significance import MetricTest, SignificanceJudged

#: stands with everything that is pooled, in both forms
AS_IF_INDEPENDENT = "As if every step and episode were independent: those of one run are not. No evidence."


def line(test: MetricTest) -> str:
    """The figures of one test on one line."""
    interval = interval_text(test.interval, test.arms.unit)
    return (
        f"{test.arms.metric} {delta_text(test.arms.delta, test.arms.unit)}, {_p(test)}, interval {interval}"
    )


def as_object(judged: SignificanceJudged) -> dict[str, Any]:
    """Every figure, by experiment."""
    options = judged.options
    return {
        "way": judged.way,
        "source": judged.source,
        "alpha": options.alpha,
        "sides": options.sides,
        "correction": "holm" if options.holm else "none",
        "level": options.level,
        "resamples": options.resamples,
        "seed": options.seed,
        "recommendations": {test.arms.config: test.recommendation for test in judged.primary},
        "tests": [_test_object(test) for test in judged.tests],
        "pooled": {
            "reading": AS_IF_INDEPENDENT,
            "shares": [_shares_object(shares) for shares in judged.shares],
            "steps": [_steps_object(steps) for steps in judged.steps],
        },
        "notes": list(judged.notes),
    }


def _test_object(test: MetricTest) -> dict[str, Any]:
    arms = test.arms
    return {
        "config": arms.config,
        "metric": arms.metric,
        "unit": arms.unit,
        "recommendation": test.recommendation,
        "test": "paired by seed" if arms.is_paired else "unpaired",
        "units": arms.units,
        "baseline": list(arms.baseline),
        "variant": list(arms.variant),
        "per_seed": [list(pair) for pair in arms.per_seed],
        "left_out": arms.left_out,
        "delta": arms.delta,
        **_permutation_object(test.permutation),
        "adjusted_p": test.adjusted_p,
        "interval": _interval_object(test.interval),
        "cohens_d": test.cohens_d,
        "needed_for_80_percent_power": test.needed,
        "alpha_attainable_from": test.attainable_from,
    }


def _permutation_object(tested: PermutationTest | None) -> dict[str, Any]:
    if tested is None:
        return {"p": None}
    return {
        "p": tested.p,
        "is_exact": tested.is_exact,
        "other_arrangements": tested.resamples,
        "smallest_p": tested.smallest_p,
    }


def _interval_object(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _shares_object(shares: PooledShares) -> dict[str, Any]:
    return {
        "config": shares.config,
        "rate": shares.rate,
        "baseline": [shares.baseline.successes, shares.baseline.n],
        "variant": [shares.variant.successes, shares.variant.n],
        "lift": shares.lift,
        "fisher_p": shares.p,
        "baseline_interval": _interval_object(shares.baseline_interval),
        "variant_interval": _interval_object(shares.variant_interval),
        "episodes_per_arm_for_lift_seen": shares.needed_for_seen,
        "episodes_per_arm_for_lift_planned": shares.needed_for_planned,
    }


def _steps_object(steps: PooledSteps) -> dict[str, Any]:
    return {
        "config": steps.config,
        "metric": steps.metric,
        "unit": steps.unit,
        "baseline_steps": steps.baseline_steps,
        "variant_steps": steps.variant_steps,
        "delta": steps.delta,
        **_permutation_object(steps.permutation),
        "interval": _interval_object(steps.interval),
    }


def document(judged: SignificanceJudged) -> str:
    """The whole report, ending with a newline."""
    return "\n".join(_lines(judged)).rstrip("\n") + "\n"


def _lines(judged: SignificanceJudged) -> Iterator[str]:
    options = judged.options
    yield from (f"# Significance report: {cell(judged.source)}", "")
    sides = "two-sided" if options.sides == 2 else "one-sided, better only"
    corrected = ", Holm-adjusted" if options.holm else ""
    yield f"- alpha: {options.alpha:g} ({sides}{corrected})"
    for test in judged.primary:
        yield f"- recommendation for {cell(test.arms.config)}: {test.recommendation}"
    yield ""
    yield from _mean_tests(judged)
    yield from _shares(judged)
    yield from _sizes(judged)
    yield from _steps(judged)
    if judged.notes:
        yield from ("## Notes", "", *(f"- {cell(note)}" for note in judged.notes), "")


def _mean_tests(judged: SignificanceJudged) -> Iterator[str]:
    yield from ("## Mean-difference tests", "")
    yield "A delta is positive where the experiment is better. Units are seeds; their number is n."
    yield ""
    level = f"{100 * judged.options.level:g} % interval"
    head = ("experiment", "metric", "n", "baseline mean", "experiment mean", "delta", "p", "Holm p", level)
    rows = [
        (
            test.arms.config,
            test.arms.metric,
            test.arms.units_text,
            number(_mean(test.arms.baseline)),
            number(_mean(test.arms.variant)),
            delta_text(test.arms.delta, test.arms.unit),
            _p(test).removeprefix("p "),
            number(test.adjusted_p),
            interval_text(test.interval, test.arms.unit),
            number(test.cohens_d, 2),
            test.recommendation,
        )
        for test in judged.tests
    ]
    yield from table((*head, "Cohen's d (pooled sd)", "recommendation"), rows)


def _shares(judged: SignificanceJudged) -> Iterator[str]:
    if not judged.shares:
        return
    yield from ("## Rates, pooled", "", AS_IF_INDEPENDENT, "")
    head = ("experiment", "rate", "baseline", "experiment", "lift", "Fisher exact p")
    rows = [
        (
            shares.config,
            shares.rate,
            _share(shares.baseline.successes, shares.baseline.n, shares.baseline_interval),
            _share(shares.variant.successes, shares.variant.n, shares.variant_interval),
            f"{shares.lift:+.4f}",
            number(shares.p),
        )
        for shares in judged.shares
    ]
    yield from table(head, rows)


def _sizes(judged: SignificanceJudged) -> Iterator[str]:
    yield from ("## Sample sizes for 80 % power", "")
    rows = [
        (
            test.arms.config,
            test.arms.metric,
            delta_text(test.arms.delta, test.arms.unit),
            _count(test.needed),
            "pairs of seeds" if test.arms.is_paired else "runs an arm",
        )
        for test in judged.tests
    ]
    for shares in judged.shares:
        seen = (shares.config, shares.rate, f"{shares.lift:+.4f}", _count(shares.needed_for_seen))
        rows.append((*seen, "episodes an arm"))
        if judged.options.lift is not None:
            planned = f"{judged.options.lift:+.4f} (planned)"
            needed = _count(shares.needed_for_planned)
            rows.append((shares.config, shares.rate, planned, needed, "episodes an arm"))
    yield from table(("experiment", "metric", "effect", "n", "unit"), rows)
    yield "Seeds by the t test."
    if judged.shares:
        yield "Episodes by the two-proportion z test of Fleiss, Levin and Paik: pooled variance under the"
        yield "null, no correction for continuity, and as if episodes were independent."
    yield ""


def _steps(judged: SignificanceJudged) -> Iterator[str]:
    if not judged.steps:
        return
    yield from ("## Steps, pooled", "", AS_IF_INDEPENDENT, "")
    head = ("experiment", "metric", "steps of baseline", "steps of experiment", "delta", "p", "95 % interval")
    rows = [
        (
            steps.config,
            steps.metric,
            str(steps.baseline_steps),
            str(steps.variant_steps),
            delta_text(steps.delta, steps.unit),
            number(steps.permutation.p),
            interval_text(steps.interval, steps.unit),
        )
        for steps in judged.steps
    ]
    yield from table(head, rows)


def _p(test: MetricTest) -> str:
    if test.permutation is None:
        return "p -"
    kind = "exact" if test.permutation.is_exact else f"{test.permutation.resamples} draws"
    return f"p {number(test.permutation.p)} ({kind})"


def interval_text(interval: Interval | None, unit: str) -> str:
    if interval is None:
        return "-"
    return f"{delta_text(interval.low, unit)} to {delta_text(interval.high, unit)}"


def _share(successes: int, n: int, interval: Interval) -> str:
    low, high = 100 * interval.low, 100 * interval.high
    return f"{successes}/{n} = {100 * successes / n:.1f} % ({low:.1f} to {high:.1f})"


def _mean(values: tuple[float, ...]) -> float | None:
    return sum(values) / len(values) if values else None


def _count(needed: int | None) -> str:
    return "-" if needed is None else str(needed)
