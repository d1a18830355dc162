"""How does a repeatability band look? Runs, Training, Eval and Insights, the answer first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from scheduler.judging._band_documents import line, slope_text
from scheduler.judging._curves import seed_curves
from scheduler.judging._markdown import number
from scheduler.judging._prompt_suite import passages, suite_table
from scheduler.judging.evidence import JudgedRun
from scheduler.judging.page import Block, Callout, Page, Paragraph, Section, Table
from scheduler.judging.protocol import SIDE_LABEL

if TYPE_CHECKING:
    from scheduler.judging.band import Band


def band_page(answer: Band) -> Page:
    """The page."""
    standing = answer.standing
    counts = ", ".join(f"{each.config}: {len(each.runs)} runs" for each in answer.configs)
    return Page(
        title=f"Repeatability band: {answer.sample.source}",
        lead=f"{standing.decision} {counts or 'No run'}.",
        words=(("", standing.status),),
        sections=(
            Section(title="Runs", blocks=tuple(_runs(answer))),
            Section(title="Training", blocks=tuple(_training(answer))),
            Section(title="Eval", blocks=tuple(_eval(answer))),
            Section(title="Insights", blocks=tuple(_insights(answer))),
        ),
    )


def _runs(answer: Band) -> Iterator[Block]:
    metrics = _metrics(answer)
    yield Table(
        head=("Config", "Seed", *metrics, "Tokens seen", "Wall clock (s)"),
        rows=tuple((each.config, *_run_row(run, metrics)) for each in answer.configs for run in each.runs),
        figures=frozenset(range(1, len(metrics) + 4)),
    )
    if answer.sample.pilots:
        yield Table(
            head=("Pilot", "Prompt set", *metrics),
            rows=tuple(
                (run.name, run.prompt_set or "-", *(number(run.metrics.get(m), 4) for m in metrics))
                for run in answer.sample.pilots
            ),
            figures=frozenset(range(2, len(metrics) + 2)),
            caption="On another prompt set: kept, never pooled.",
        )


def _run_row(run: JudgedRun, metrics: Sequence[str]) -> tuple[str, ...]:
    tokens = [point.tokens for point in run.curve if point.tokens is not None]
    return (
        "unknown" if run.seed is None else str(run.seed),
        *(number(run.metrics.get(name), 4) for name in metrics),
        f"{max(tokens):,}" if tokens else "-",
        "-" if run.wall_seconds is None else f"{run.wall_seconds:.0f}",
    )


def _training(answer: Band) -> Iterator[Block]:
    metric = answer.curve
    if metric is None:
        yield Paragraph(text="No run tells its loss step by step.")
        return
    drawn = seed_curves(
        [(each.config, each.runs) for each in answer.configs], metric, baseline=answer.baseline_config
    )
    if drawn is not None:
        yield drawn
    rows = tuple(
        (
            run.name,
            slope_text(shape.early),
            slope_text(shape.late),
            "undefined" if shape.plateau_coefficient is None else f"{shape.plateau_coefficient:.3g}",
            "undefined" if shape.late_variance is None else f"{shape.late_variance:.3g}",
        )
        for each in answer.configs
        for run, shape in zip(each.runs, each.shapes, strict=True)
    )
    unit = "/".join(sorted({s.unit for each in answer.configs for s in each.shapes if s.points}) or ["steps"])
    yield Table(
        head=("Run", f"Early slope per million {unit}", "Late slope", "Plateau coefficient", "Late variance"),
        rows=rows,
        figures=frozenset({3, 4}),
        caption="Slopes with their standard errors. The plateau coefficient is |late slope| / |early slope|.",
    )


def _eval(answer: Band) -> Iterator[Block]:
    percent = f"{100 * answer.options.confidence:g} %: one new run"
    rows = [
        (
            each.config,
            quantity.name,
            str(quantity.spread.n),
            number(quantity.spread.mean, 4),
            "-" if quantity.spread.sd is None else f"{quantity.spread.sd:.3g}",
            "-" if quantity.spread.cv is None else f"{100 * quantity.spread.cv:.3g} %",
            "-" if quantity.interval is None else " to ".join(number(x, 4) for x in quantity.interval),
        )
        for each in answer.configs
        for quantity in each.quantities
    ]
    yield Table(
        head=("Config", "Quantity", "n", "Mean", "SD", "CV", percent),
        rows=tuple(rows),
        figures=frozenset({2, 3, 4, 5, 6}),
    )
    runs = [(each.config, each.runs) for each in answer.configs]
    yield from suite_table(runs)
    yield from passages(runs)


def _insights(answer: Band) -> Iterator[Block]:
    standing = answer.standing
    if standing.is_for_conclusions:
        yield Paragraph(text=standing.decision)
        yield from (Paragraph(text=f"Next: {action}") for action in standing.next_actions)
    else:
        yield Callout(title=standing.decision, texts=standing.next_actions)
    for each in answer.configs:
        yield Paragraph(text=f"{each.config}: {line(each)}.")
        sentences = (quantity.sentence for quantity in each.quantities)
        yield from (Paragraph(text=sentence) for sentence in sentences if sentence is not None)
        if each.warnings:
            yield Callout(title=f"{each.config}: what these figures do not tell", texts=each.warnings)
    yield Paragraph(text=" ".join((SIDE_LABEL, *answer.sample.notes)))


def _metrics(answer: Band) -> tuple[str, ...]:
    return tuple(dict.fromkeys(answer.options.metrics or (answer.sample.objective.metric,)))
