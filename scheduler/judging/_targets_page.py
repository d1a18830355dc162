"""What does a person look at who tunes iteration by iteration? Words first, then texts, then what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

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
from scheduler.judging.page import Block, Callout, Mark, Page, Paragraph, Passage, Section, Table

if TYPE_CHECKING:
    from scheduler.judging._flagged_samples import FlaggedSamples, ShownSample
    from scheduler.judging.targets import TargetsJudged

#: where a text was cut
_CUT = "cleaned away"


def page(judged: TargetsJudged) -> Page:
    """All that the document says, with flagged samples before and after cleaning."""
    kept = [each.config for each in judged.iterations if each.word != "FAIL"]
    gates = ", ".join(str(gate) for gate in judged.options.parsed_gates)
    at = f" at {judged.stage}" if judged.stage is not None else ""
    lead = f"{len(kept)} of {len(judged.iterations)} iterations keep {gates}{at}"
    return Page(
        title=f"Targets: {judged.source}",
        lead=f"{lead}: {', '.join(kept)}." if kept else f"{lead}.",
        words=tuple((each.config, each.word) for each in judged.iterations),
        sections=tuple(_sections(judged)),
    )


def _sections(judged: TargetsJudged) -> Iterator[Section]:
    warnings = tuple(note for note in judged.notes if note.startswith("WARNING"))
    others = tuple(note for note in judged.notes if note not in warnings)
    # an iteration a row: of them there are more than of gates
    (_, *gates), *rows = zip(*metric_rows(judged), strict=True)
    metrics: list[Block] = [_table([("iteration", *gates), *rows]), Paragraph(text=intervals_told(judged))]
    if warnings:
        metrics.append(Callout(title="What made the difference cannot be told", texts=warnings))
    yield Section(title="Metrics", blocks=tuple(metrics))
    if len(judged.iterations) > 1:
        yield Section(title="Parameters that changed", blocks=(_table(parameter_rows(judged)),))
    if judged.other_stages:
        yield Section(title="At other stages", blocks=(_table(stage_rows(judged)),))
    if judged.learnings:
        yield Section(title="Learnings", blocks=(_table(learning_rows(judged)),))
    if judged.samples:
        yield Section(title="Samples", blocks=(_table(sample_rows(judged)),))
        yield from (_passages(each) for each in judged.samples if each.shown)
    told = tuple(Paragraph(text=sentence) for sentence in ledger_told(judged))
    yield Section(title="Cost ledger", blocks=(_table(ledger_rows(judged)), *told))
    if others:
        yield Section(title="Notes", blocks=tuple(Paragraph(text=note) for note in others))


def _passages(samples: FlaggedSamples) -> Section:
    blocks = (block for sample in samples.shown for block in _before_and_after(sample))
    return Section(title=f"Flagged samples of {samples.config}", blocks=tuple(blocks))


def _before_and_after(sample: ShownSample) -> Iterator[Passage]:
    begin, end = sample.kept
    edges = ((0, begin), (end, len(sample.raw)))
    marks = tuple(
        Mark(begin=left, end=right, word=_CUT) for left, right in edges if sample.raw[left:right].strip()
    )
    if sample.raw.strip() == sample.cleaned:
        flags = tuple(dict.fromkeys((*sample.flags_raw, *sample.flags_cleaned)))
        yield Passage(title=sample.prompt, text=sample.cleaned, flags=flags)
        return
    yield Passage(title=f"{sample.prompt} (raw)", text=sample.raw, marks=marks, flags=sample.flags_raw)
    yield Passage(title=f"{sample.prompt} (cleaned)", text=sample.cleaned, flags=sample.flags_cleaned)


def _table(rows: Iterable[tuple[str, ...]]) -> Table:
    head, *others = rows
    return Table(head=head, rows=tuple(others))
