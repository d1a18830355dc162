"""How does variance first look? Every experiment, the baseline's noise, and what the models wrote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scheduler.judging._curves import seed_curves
from scheduler.judging._markdown import number
from scheduler.judging._prompt_suite import passages, suite_table
from scheduler.judging._variance_documents import line
from scheduler.judging.page import Block, Callout, Page, Paragraph, Section, Table
from scheduler.judging.protocol import SIDE_LABEL

if TYPE_CHECKING:
    from scheduler.judging.variance_first import VarianceFirst


def variance_page(answer: VarianceFirst) -> Page:
    """The page."""
    names = ", ".join(each.config for each in answer.experiments if each.verdict == "WINNER")
    n = len(answer.sample.baseline)
    return Page(
        title=f"Variance first: {answer.sample.source}",
        lead=f"Against the noise of {n} baseline runs, {names or 'no experiment'} is "
        f"{answer.options.winner_sigmas:g} sigma or more better.",
        words=tuple((each.config, each.verdict) for each in answer.experiments),
        sections=(
            Section(title="Experiments", blocks=tuple(_experiments(answer))),
            Section(title="Baseline variance", blocks=tuple(_baseline(answer))),
            Section(title="Curves and samples", blocks=tuple(_samples(answer))),
        ),
    )


def _experiments(answer: VarianceFirst) -> Iterator[Block]:
    metric = answer.sample.objective.metric
    rows = []
    for each in answer.experiments:
        main = next((found for found in each.comparisons if found.metric == metric), None)
        rows.append(
            (
                each.config,
                each.verdict,
                str(len(each.runs)),
                "-" if main is None else f"{main.difference:+.4f}",
                "-" if main is None or main.sigmas is None else f"{main.sigmas:+.2f}",
                "-"
                if main is None or main.cohens_d is None
                else f"{main.cohens_d:+.2f} ({main.effect_size})",
                "-" if each.wall_percent is None else f"{each.wall_percent:+.1f} %",
            )
        )
    yield Table(
        head=("Experiment", "Verdict", "Runs", f"{metric}: difference", "Sigma", "Cohen's d", "Wall clock"),
        rows=tuple(rows),
        figures=frozenset({2, 3, 4, 5, 6}),
        marked=frozenset(n for n, each in enumerate(answer.experiments) if each.verdict == "WINNER"),
        caption="A positive sigma and d are better, whatever the metric's direction.",
    )
    for each in answer.experiments:
        yield Paragraph(text=f"{each.config}: {each.verdict}, {line(each, answer.options)}.")
    warnings = tuple(f"{each.config}: {warning}" for each in answer.experiments for warning in each.warnings)
    yield Callout(title=SIDE_LABEL, texts=(*warnings, *answer.sample.remarks))


def _baseline(answer: VarianceFirst) -> Iterator[Block]:
    found = dict(answer.baseline)
    if answer.baseline_wall is not None:
        found["wall clock (s)"] = answer.baseline_wall
    yield Table(
        head=("Metric", "n", "Mean", "Std", "Min", "Max"),
        rows=tuple(
            (
                name,
                str(each.n),
                number(each.mean),
                "-" if each.sd is None else f"{each.sd:.3g}",
                number(each.minimum),
                number(each.maximum),
            )
            for name, each in found.items()
        ),
        figures=frozenset({1, 2, 3, 4, 5}),
    )


def _samples(answer: VarianceFirst) -> Iterator[Block]:
    sample = answer.sample
    base = sample.baseline[0].config if sample.baseline else None
    configs = [*([(base, sample.baseline)] if base is not None else []), *sample.experiments.items()]
    drawn = seed_curves(configs, sample.objective.metric, baseline=base)
    if drawn is not None:
        yield drawn
    yield from suite_table(configs)
    # of one seed each: the page is about differences between configs
    yield from passages([(config, runs[:1]) for config, runs in configs])
