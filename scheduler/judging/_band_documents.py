"""How does a repeatability band read? Per config: its runs, their band, and loss against tokens seen."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from scheduler.judging._markdown import cell, number, table
from scheduler.judging._prompt_suite import last_written, suite_figures
from scheduler.judging._spread import spread
from scheduler.judging._training_curve import Slope
from scheduler.judging.evidence import JudgedRun, common_steps
from scheduler.judging.protocol import SIDE_LABEL

if TYPE_CHECKING:
    from scheduler.judging.band import Band, ConfigBand, Quantity

#: rows of the table of loss against tokens; the CSV file holds every point
_MAX_CURVE_ROWS = 12


def band_document(answer: Band) -> str:
    """The whole answer."""
    sample = answer.sample
    stage = f", stage {sample.stage}" if sample.stage else ""
    lines = [f"# Repeatability band: {cell(sample.source)}{cell(stage)}", "", *_standing(answer)]
    for each in answer.configs:
        lines += [f"## {cell(each.config)} (N={len(each.runs)} runs)", "", *_config(answer, each)]
    if sample.pilots:
        lines += ["## Pilots", "", "On another prompt set: kept, never pooled.", "", *_pilots(answer)]
    lines += [f"> {cell(sentence)}  " for sentence in (SIDE_LABEL, *sample.notes)]
    return "\n".join(lines).rstrip() + "\n"


def line(each: ConfigBand) -> str:
    """The figures of a config's first quantities, on one line."""
    return "; ".join(_short(quantity) for quantity in each.quantities) or "nothing to band"


def curves_csv(answer: Band, metric: str) -> str:
    """Every point of every curve, pilots included."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("config", "seed", "prompt_set", "step", "tokens", metric))
    for run in (*answer.sample.runs, *answer.sample.pilots):
        rows.writerows(
            (run.config, run.seed, run.prompt_set, point.step, point.tokens, point.metrics[metric])
            for point in run.curve
            if metric in point.metrics
        )
    return text.getvalue()


def _config(answer: Band, each: ConfigBand) -> Iterator[str]:
    metrics = tuple(dict.fromkeys(answer.options.metrics or (answer.sample.objective.metric,)))
    yield from _runs(each, metrics)
    percent = f"{100 * answer.options.confidence:g} % one new run"
    rows = []
    for quantity in each.quantities:
        found = quantity.spread
        cv = "-" if found.cv is None else f"{100 * found.cv:.3g} %"
        interval = "-" if quantity.interval is None else " to ".join(number(x, 5) for x in quantity.interval)
        rows.append((quantity.name, str(found.n), number(found.mean, 5), _sd(found.sd), cv, interval))
    yield from table(("Quantity", "n", "Mean", "SD", "CV", percent), rows)
    sentences = [quantity.sentence for quantity in each.quantities if quantity.sentence is not None]
    for sentence in (*sentences, *each.warnings):
        yield f"- {cell(sentence)}"
    yield ""
    if answer.curve is not None:
        yield from _curve(each.runs, answer.curve)
    yield from _prompts(each)


def _standing(answer: Band) -> Iterator[str]:
    standing = answer.standing
    yield f"**Status: {standing.status}.** {cell(standing.decision)}"
    yield ""
    yield from (f"- Next: {cell(action)}" for action in standing.next_actions)
    yield ""


def slope_text(slope: Slope | None) -> str:
    """`-0.077 +- 0.067, not distinguishable from 0`."""
    if slope is None:
        return "undefined"
    error = "" if slope.se is None else f" ± {slope.se:.2g}"
    words = ", not distinguishable from 0" if slope.is_distinguishable is False else ""
    return f"{slope.value:+.3g}{error}{words}"


def _prompts(each: ConfigBand) -> Iterator[str]:
    """The suite's figures, and the first text of each run."""
    figures = suite_figures(each.runs)
    if not figures:
        return
    yield "### Prompt suite"
    yield ""
    rows = [
        (name, how, number(found.mean), _sd(found.sd), number(found.minimum), number(found.maximum))
        for (how, name), found in figures.items()
    ]
    yield from table(("Figure", "Sampling", "Mean", "SD", "Min", "Max"), rows)
    for run in each.runs:
        for written in last_written(run)[:1]:
            flags = f" ({', '.join(written.flags)})" if written.flags else ""
            yield f"- {cell(run.name)}, {written.how}{flags}: **{cell(written.prompt)}** {cell(written.text)}"
    yield ""


def _runs(each: ConfigBand, metrics: Sequence[str]) -> Iterator[str]:
    units = {shape.unit for shape in each.shapes if shape.points}
    unit = units.pop() if len(units) == 1 else "tokens or steps"
    head = (
        "Seed",
        *(cell(name) for name in metrics),
        "Late-loss variance",
        f"Early slope per million {unit}",
        f"Late slope per million {unit}",
        "Plateau coefficient",
    )
    shapes = each.shapes or (None,) * len(each.runs)
    rows = [
        (
            "unknown" if run.seed is None else str(run.seed),
            *(number(run.metrics.get(name), 5) for name in metrics),
            *(
                ("undefined",) * 4
                if shape is None
                else (
                    _or_undefined(shape.late_variance),
                    slope_text(shape.early),
                    slope_text(shape.late),
                    _or_undefined(shape.plateau_coefficient),
                )
            ),
        )
        for run, shape in zip(each.runs, shapes, strict=True)
    ]
    yield from table(head, rows)


def _curve(runs: Sequence[JudgedRun], metric: str) -> Iterator[str]:
    """Loss against tokens seen, at steps that all runs have."""
    steps = common_steps(runs, metric)
    if not steps:
        yield from (f"No step at which every run told its {cell(metric)}.", "")
        return
    last = len(steps) - 1
    shown = [steps[round(i * last / (_MAX_CURVE_ROWS - 1))] for i in range(_MAX_CURVE_ROWS)]
    rows: list[tuple[str, ...]] = []
    for step in dict.fromkeys(shown if last >= _MAX_CURVE_ROWS else steps):
        points = [next(p for p in run.curve if p.step == step and metric in p.metrics) for run in runs]
        tokens = {point.tokens for point in points}
        found = spread([point.metrics[metric] for point in points])
        assert found is not None
        seen = str(tokens.pop()) if len(tokens) == 1 and None not in tokens else "-"
        figures = (number(found.mean), number(found.sd), number(found.minimum), number(found.maximum))
        rows.append((str(step), seen, *figures))
    are_known = any(row[1] != "-" for row in rows)
    yield f"### {cell(metric)} against {'tokens seen' if are_known else 'steps'}"
    yield ""
    yield from table(("Step", "Tokens", "Mean", "SD", "Min", "Max"), rows)


def _pilots(answer: Band) -> Iterator[str]:
    metric = answer.sample.objective.metric
    yield from table(
        ("Run", "Prompt set", cell(metric)),
        [
            (run.name, run.prompt_set or "-", number(run.metrics.get(metric), 5))
            for run in answer.sample.pilots
        ],
    )


def _short(quantity: Quantity) -> str:
    found = quantity.spread
    fields = [f"{quantity.name} {number(found.mean, 5)}"]
    if found.sd is not None:
        fields.append(f"sd {found.sd:.3g}")
    if found.cv is not None:
        fields.append(f"CV {100 * found.cv:.3g} % (n={found.n})")
    if quantity.interval is not None:
        fields.append(f"one new run {' to '.join(number(x) for x in quantity.interval)}")
    return " ".join(fields)


def _sd(value: float | None) -> str:
    """Three digits, which is more than few runs can know of it."""
    return "-" if value is None else f"{value:.3g}"


def _or_undefined(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return "undefined"
    return f"{value:+.4g}" if signed else f"{value:.4g}"
