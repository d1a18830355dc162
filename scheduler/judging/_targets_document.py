"""How does a report on targets read?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scheduler.judging._markdown import cell, table
from scheduler.judging._targets_tables import (
    intervals_told,
    learning_rows,
    ledger_rows,
    ledger_told,
    metric_rows,
    parameter_rows,
    sample_rows,
    stage_rows,
)

if TYPE_CHECKING:
    from scheduler.judging.targets import TargetsJudged


def document(judged: TargetsJudged) -> str:
    """The whole report, ending with a newline."""
    return "\n".join(_lines(judged)).rstrip("\n") + "\n"


def _lines(judged: TargetsJudged) -> Iterator[str]:
    yield from (f"# Targets: {cell(judged.source)}", "")
    if judged.stage is not None:
        yield from (f"Judged at {cell(judged.stage)}.", "")
    yield from (f"- {cell(each.config)}: {each.word}" for each in judged.iterations)
    yield ""
    warnings = [note for note in judged.notes if note.startswith("WARNING")]
    yield from (f"**{cell(warning)}**" for warning in warnings)
    if warnings:
        yield ""
    yield from _metrics(judged)
    yield from _parameters(judged)
    yield from _other_stages(judged)
    yield from _learnings(judged)
    yield from _samples(judged)
    yield from _ledger(judged)
    notes = [note for note in judged.notes if note not in warnings]
    if notes:
        yield from ("## Notes", "", *(f"- {cell(note)}" for note in notes))


def _metrics(judged: TargetsJudged) -> Iterator[str]:
    yield from ("## Metrics", "")
    yield from (intervals_told(judged), "")
    head, *rows = metric_rows(judged)
    yield from table([cell(name) for name in head], rows)


def _parameters(judged: TargetsJudged) -> Iterator[str]:
    if len(judged.iterations) < 2:
        return
    yield from ("## Parameters that changed", "")
    head, *rows = parameter_rows(judged)
    yield from table(head, rows)


def _other_stages(judged: TargetsJudged) -> Iterator[str]:
    if judged.other_stages:
        yield from ("## At other stages", "")
        head, *rows = stage_rows(judged)
        yield from table(head, rows)


def _learnings(judged: TargetsJudged) -> Iterator[str]:
    if judged.learnings:
        yield from ("## Learnings", "")
        yield from ("The hypothesis was declared before, the reality is read from the figures.", "")
        head, *rows = learning_rows(judged)
        yield from table(head, rows)


def _samples(judged: TargetsJudged) -> Iterator[str]:
    if judged.samples:
        yield from ("## Samples", "")
        head, *rows = sample_rows(judged)
        yield from table(head, rows)
        yield from ("Some of them, before and after cleaning, are in targets.html.", "")


def _ledger(judged: TargetsJudged) -> Iterator[str]:
    yield from ("## Cost ledger", "")
    head, *rows = ledger_rows(judged)
    yield from table([cell(name) for name in head], rows)
    for sentence in ledger_told(judged):
        yield from (cell(sentence), "")
