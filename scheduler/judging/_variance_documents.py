"""How does variance first read? In the layout of the documents its users keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from scheduler.judging._markdown import cell, number, table
from scheduler.judging._sigmas import Comparison
from scheduler.judging._spread import Spread
from scheduler.judging.evidence import Sample
from scheduler.judging.protocol import SIDE_LABEL

if TYPE_CHECKING:
    from scheduler.judging.variance_first import Experiment, Options, VarianceFirst

_SPREAD_HEAD = ("Metric", "Mean", "Std", "Min", "Max")
_TEST_HEAD = ("Metric", "Cohen's d", "Effect Size", "Sigma", "Significant?")


def baseline_document(answer: VarianceFirst) -> str:
    """The noise of the baseline."""
    lines = [
        f"# Baseline Variance Report: {answer.options.budget}",
        "",
        *_where(answer.sample),
        *table(_SPREAD_HEAD, _spread_rows(answer.baseline, answer.baseline_wall)),
        f"Seeds used: {_seeds(answer.sample.baseline)}",
        *_quoted(answer.sample.remarks),
    ]
    return "\n".join(lines) + "\n"


def experiment_document(answer: VarianceFirst, each: Experiment) -> str:
    """One experiment: Baseline, Experiment, Statistical Test, Wall Clock, Verdict."""
    base = {found.metric: found.baseline for found in each.comparisons}
    own = {found.metric: found.experiment for found in each.comparisons}
    lines = [
        f"# Experiment: {cell(each.config)}",
        "",
        *_where(answer.sample),
        f"## Baseline Statistics (N={len(answer.sample.baseline)} runs)",
        "",
        *table(_SPREAD_HEAD, _spread_rows(base, answer.baseline_wall)),
        f"## Experiment Statistics (N={len(each.runs)} runs)",
        "",
        *table(_SPREAD_HEAD, _spread_rows(own, each.wall)),
        f"Seeds used: {_seeds(each.runs)}",
        "",
        "## Statistical Test",
        "",
        *table(_TEST_HEAD, [_test_row(found) for found in each.comparisons]),
        "A positive d and sigma are better.",
        "",
        "## Wall Clock",
        "",
        *table(("", "Baseline Mean", "Experiment Mean", "Delta"), [_wall_row(answer.baseline_wall, each)]),
        f"## Verdict: {each.verdict}",
        "",
        f"{cell(each.reason)}.{_next_seeds(each, answer.options)}",
        *_quoted((SIDE_LABEL, *each.warnings, *answer.sample.remarks)),
    ]
    return "\n".join(lines) + "\n"


def line(each: Experiment, options: Options) -> str:
    """The figures behind an experiment's word, on one line."""
    fields = []
    main = each.comparisons[0] if each.comparisons else None
    if main is not None and main.sigmas is not None:
        fields.append(f"{main.sigmas:+.2f} sigma")
    if main is not None and main.cohens_d is not None:
        fields.append(f"d={main.cohens_d:+.2f} ({main.effect_size})")
    if each.wall_percent is not None:
        fields.append(f"wall clock {each.wall_percent:+.1f} %")
    if each.verdict == "NOT JUDGED":
        fields.append(each.reason)
    return ", ".join(fields) + _next_seeds(each, options).replace(" Within", "; within")


def experiment_json(each: Experiment) -> dict[str, Any]:
    """Every figure of an experiment."""
    return {
        "config": each.config,
        "seeds": [run.seed for run in each.runs],
        "verdict": each.verdict,
        "reason": each.reason,
        "metrics": each.comparisons,
        "wall_seconds": each.wall,
        "wall_percent": each.wall_percent,
        "next_seeds": each.next_seeds,
        "warnings": each.warnings,
    }


def _seeds(runs: tuple[Any, ...]) -> str:
    return ", ".join("unknown" if run.seed is None else str(run.seed) for run in runs) or "none"


def _next_seeds(each: Experiment, options: Options) -> str:
    if not each.next_seeds:
        return ""
    seeds = ", ".join(str(seed) for seed in each.next_seeds)
    return f" Within {options.winner_sigmas:g} sigma: run seeds {seeds} too."


def _quoted(sentences: tuple[str, ...]) -> Iterator[str]:
    if sentences:
        yield ""
        yield "\n>\n".join(f"> {cell(sentence)}" for sentence in sentences)


def _where(sample: Sample) -> Iterator[str]:
    stage = f", stage {sample.stage}" if sample.stage else ""
    yield cell(f"{sample.source}{stage}: {sample.objective.metric}, {sample.objective.direction}")
    yield ""


def _spread_rows(by_metric: Mapping[str, Spread], wall: Spread | None) -> list[tuple[str, ...]]:
    rows = [(name, found, 4) for name, found in by_metric.items()]
    if wall is not None:
        rows.append(("wall_time (s)", wall, 2))
    return [
        (name, *(number(value, digits) for value in (found.mean, found.sd, found.minimum, found.maximum)))
        for name, found, digits in rows
    ]


def _test_row(found: Comparison) -> tuple[str, ...]:
    words = {"winner": "yes", "suggestive": "suggestive", "noise": "no (noise)", None: "not known"}
    return (
        found.metric,
        "-" if found.cohens_d is None else f"{found.cohens_d:+.2f}",
        found.effect_size or "-",
        "-" if found.sigmas is None else f"{found.sigmas:+.2f}",
        words[found.strength],
    )


def _wall_row(baseline: Spread | None, each: Experiment) -> tuple[str, ...]:
    return (
        "wall_time (s)",
        number(baseline.mean if baseline else None, 2),
        number(each.wall.mean if each.wall else None, 2),
        "-" if each.wall_percent is None else f"{each.wall_percent:+.1f} %",
    )
