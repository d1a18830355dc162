"""How does a campaign read? Its answer, why a small p is none, and the curves of every condition."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from scheduler.judging._arms import delta_text
from scheduler.judging._campaign_chance import t_test_p
from scheduler.judging._markdown import number
from scheduler.judging._significance_text import interval_text
from scheduler.judging.page import Block, Callout, Curves, Line, Page, Paragraph, Section, Table

if TYPE_CHECKING:
    from scheduler.judging._campaign_order import Order
    from scheduler.judging._spread import Spread
    from scheduler.judging.campaign import CampaignJudged


def page_of(judged: CampaignJudged) -> Page:
    """The whole answer; the Markdown document says the same without its pictures."""
    sections = (
        Section(title="What was compared", blocks=tuple(_significance(judged))),
        Section(title="Expected order", blocks=tuple(_order(judged))),
        Section(title="Warnings", blocks=tuple(_warnings(judged))),
        Section(title="Curves", blocks=tuple(_curves(judged))),
        Section(title="Litmus", blocks=tuple(_litmus(judged))),
        Section(title="Complete pairs", blocks=tuple(_completeness(judged))),
        Section(title="Notes", blocks=tuple(Paragraph(text=note) for note in judged.notes)),
    )
    return Page(
        title=f"Campaign: {judged.source}",
        lead=_lead(judged),
        words=tuple((label.config, label.word) for label in judged.significance.labels()),
        sections=tuple(section for section in sections if section.blocks),
    )


def _lead(judged: CampaignJudged) -> str:
    words = {test.recommendation for test in judged.significance.primary}
    seeds = len(judged.completeness.whole)
    told = (
        f"{len(judged.levels)} conditions, {seeds} seed{'' if seeds == 1 else 's'} that all of them have run"
    )
    if words == {"insufficient_statistical_evidence"}:
        return f"No condition can be told from the baseline in {judged.metric}: {told}."
    return f"At least one condition differs from the baseline in {judged.metric}: {told}."


def _significance(judged: CampaignJudged) -> Iterator[Block]:
    last = judged.options.last
    over = (
        f"the mean of {judged.metric} over the last {last} steps" if last > 1 else f"its last {judged.metric}"
    )
    yield Paragraph(
        text=f"The level of a run is {over}. A delta is positive where the condition is better than the"
        " baseline on the same seed. The recommendation goes by the test that turns the signs of these pairs,"
        " adjusted for the number of conditions (Holm)."
    )
    head = ("condition", "n", "level (sd)", "delta", "95 % interval", "p (signs)", "Holm p", "p (t test)")
    baseline, *_ = judged.levels.items()
    rows = [(baseline[0], str(baseline[1].n), _level(baseline[1]), *("-",) * 5)]
    for test in judged.significance.primary:
        arms = test.arms
        rows.append(
            (
                arms.config,
                arms.units_text,
                _level(judged.levels.get(arms.config)),
                delta_text(arms.delta, arms.unit),
                interval_text(test.interval, arms.unit),
                number(None if test.permutation is None else test.permutation.p),
                number(test.adjusted_p),
                number(t_test_p(arms)),
            )
        )
    yield Table(head=head, rows=tuple(rows), figures=frozenset({2, 3, 5, 6, 7}))
    if judged.reasons:
        yield Callout(title="Why the smallest p is no evidence", texts=judged.reasons)


def _level(found: Spread | None) -> str:
    if found is None:
        return "-"
    return number(found.mean) if found.sd is None else f"{number(found.mean)} ({found.sd:.2g})"


def _order(judged: CampaignJudged) -> Iterator[Block]:
    order = judged.order
    if order is None:
        if judged.options.expected_order:
            yield Paragraph(text="No seed has two of the conditions whose order was declared.")
        return
    held = "holds" if order.holds else "does not hold"
    yield Paragraph(
        text=f"Declared, the worst first: {', '.join(order.declared)}. Found: {', '.join(order.found)}. The"
        f" order {held}: {order.steps_held} of {len(order.declared) - 1} neighbours are as declared, and the"
        f" whole order stands in {order.seeds_held} of {order.seeds} seeds."
    )
    yield Paragraph(text=_what_chance_does(order))
    rows = [
        (f"{low} < {high}", number(first), number(second), "as declared" if is_held else "the other way")
        for (low, first), (high, second), is_held in _neighbours(order)
    ]
    yield Table(
        head=("declared", "mean", "mean of the next", "found"), rows=tuple(rows), figures=frozenset({1, 2})
    )


def _what_chance_does(order: Order) -> str:
    size = len(order.declared)
    return (
        f"Of {size} conditions that do not differ, chance puts one campaign in {round(1 / order.chance)}"
        " into exactly this order, and half of all neighbours as declared. An order that holds says nothing"
        " about how far apart they are."
    )


def _neighbours(order: Order) -> Iterator[tuple[tuple[str, float], tuple[str, float], bool]]:
    places = {name: place for place, name in enumerate(order.found)}
    for low, high in pairwise(zip(order.declared, order.means, strict=True)):
        yield low, high, low[1] != high[1] and places[low[0]] < places[high[0]]


def _warnings(judged: CampaignJudged) -> Iterator[Block]:
    for warned in judged.warnings:
        yield Callout(title=warned.title, texts=(*warned.findings, warned.meaning))
    if not judged.warnings:
        yield Paragraph(
            text="None: few completions were cut, losses are losses, groups have different rewards, and every"
            " step of every run has its row."
        )


def _curves(judged: CampaignJudged) -> Iterator[Block]:
    baseline = next(iter(judged.levels), None)
    if judged.bands:
        yield Paragraph(
            text="Means over seeds, step by step; a band goes from the lowest to the highest seed. The"
            " figures lie in campaign_curves.csv."
        )
    for metric in dict.fromkeys(band.metric for band in judged.bands):
        lines = tuple(
            Line(
                label=band.config,
                x=tuple(float(step) for step in band.steps),
                mean=band.mean,
                low=band.low if band.n > 1 else (),
                high=band.high if band.n > 1 else (),
                is_baseline=band.config == baseline,
            )
            for band in judged.bands
            if band.metric == metric
        )
        yield Curves(title=metric, x_label="step", lines=lines)


def _litmus(judged: CampaignJudged) -> Iterator[Block]:
    told = judged.litmus
    if told is None:
        yield Paragraph(text="None: no smallest lift was declared; set min_lift.")
        return
    lift = next((delta_text(c.min_lift, c.arms.unit) for e in told.experiments for c in e.checks), "-")
    yield Paragraph(
        text=f"CONFIRMED where the lift is at least {lift}, the evidence suffices, and chance gives it more"
        f" rarely than {judged.options.alpha:g}; FAILED where it suffices and the lift is not reached."
    )
    rows = [
        (each.config, each.word, label.line)
        for each, label in zip(told.experiments, told.labels(), strict=True)
    ]
    yield Table(head=("condition", "litmus", "found"), rows=tuple(rows))


def _completeness(judged: CampaignJudged) -> Iterator[Block]:
    found = judged.completeness
    if not found.seeds:
        yield Paragraph(text="No run tells its seed: nothing can be paired.")
        return
    rows = [
        (config, *("yes" if seed in has else "-" for seed in found.seeds))
        for config, has in found.has.items()
    ]
    yield Table(head=("condition", *(f"seed {seed}" for seed in found.seeds)), rows=tuple(rows))
    if found.partial:
        named = ", ".join(str(seed) for seed in found.partial)
        yield Paragraph(
            text=f"Incomplete: seed {named}. A condition is compared on the seeds that the baseline has too."
        )
