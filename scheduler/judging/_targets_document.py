"""How does a report on targets read, for a person and for a program?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scheduler.judging._markdown import cell, number, table
from scheduler.judging._target_gates import told

if TYPE_CHECKING:
    from policies._gates import Gate
    from scheduler.judging._iterations import LedgerRow, Spent
    from scheduler.judging._target_gates import TargetReading
    from scheduler.judging.targets import Iteration, TargetsJudged


def line(iteration: Iteration) -> str:
    """The readings of one iteration on one line."""
    return ", ".join(
        f"{reading.gate.metric} {told(reading.gate, reading.value)} ({reading.gate.bound}: {reading.word})"
        for reading in iteration.readings
    )


def as_object(judged: TargetsJudged) -> dict[str, Any]:
    """Every figure, by iteration."""
    return {
        "way": judged.way,
        "source": judged.source,
        "stage": judged.stage,
        "level": judged.options.level,
        "gates": [str(gate) for gate in judged.options.parsed_gates],
        "iterations": [_iteration_object(each) for each in judged.iterations],
        "ledger": {
            "currency": judged.options.currency,
            "budget": judged.options.budget,
            "remaining": _remaining(judged),
            "rows": [_row_object(row) for row in judged.ledger],
        },
        "other_stages": [
            {
                "stage": each.stage,
                "config": each.config,
                "verdict": each.word,
                "metrics": [_measured_object(reading) for reading in each.readings],
            }
            for each in judged.other_stages
        ],
        "learnings": [
            {
                "config": each.config,
                "hypothesis": each.hypothesis,
                "reality": each.reality,
                "why": each.why,
                "lesson": each.lesson,
            }
            for each in judged.learnings
        ],
        "samples": [
            {
                "config": each.config,
                "samples": each.samples,
                "flagged_raw": each.flagged_raw,
                "flagged_cleaned": each.flagged_cleaned,
            }
            for each in judged.samples
        ],
        "notes": list(judged.notes),
    }


def _iteration_object(iteration: Iteration) -> dict[str, Any]:
    changes = iteration.changes
    return {
        "config": iteration.config,
        "verdict": iteration.word,
        "metrics": [_reading_object(reading, iteration) for reading in iteration.readings],
        "changed_parameters": None
        if changes is None
        else {change.name: [change.before, change.after] for change in changes},
    }


def _reading_object(reading: TargetReading, iteration: Iteration) -> dict[str, Any]:
    return {
        **_measured_object(reading),
        "fisher_p_against_iteration_before": iteration.fisher_p.get(reading.gate.metric),
    }


def _measured_object(reading: TargetReading) -> dict[str, Any]:
    return {
        "metric": reading.gate.metric,
        "gate": str(reading.gate),
        "verdict": reading.word,
        "value": reading.value,
        "interval": None if reading.interval is None else [reading.interval.low, reading.interval.high],
        "count": None if reading.count is None else [reading.count.successes, reading.count.n],
        "runs": reading.runs,
    }


def _row_object(row: LedgerRow) -> dict[str, Any]:
    return {
        "config": row.config,
        **_spent_object(row.spent),
        "is_estimate": row.is_estimate,
        "so_far": _spent_object(row.so_far),
    }


def _spent_object(spent: Spent) -> dict[str, Any]:
    return {
        "runs": spent.runs,
        "seconds": spent.seconds,
        "energy_joule": spent.energy_joule,
        "tokens": spent.tokens,
        "money": spent.money,
    }


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


def intervals_told(judged: TargetsJudged) -> str:
    """What stands in the brackets, and what p is."""
    return (
        f"In brackets the {100 * judged.options.level:g} % interval; p by Fisher's exact test against the"
        " iteration before, as if every case were independent."
    )


def metric_rows(judged: TargetsJudged) -> Iterator[tuple[str, ...]]:
    """A head, a row for each gate, and the verdicts."""
    yield ("metric", *(each.config for each in judged.iterations), "target")
    for index, gate in enumerate(judged.options.parsed_gates):
        yield (gate.metric, *_across(judged, index, gate), gate.bound)
    yield ("verdict", *(each.word for each in judged.iterations), "all")


def _across(judged: TargetsJudged, index: int, gate: Gate) -> Iterator[str]:
    before: float | None = None
    for each in judged.iterations:
        reading = each.readings[index]
        p = each.fisher_p.get(gate.metric)
        parts = (
            _value(reading),
            _arrow(before, reading.value),
            "" if p is None else f"p {number(p)}",
            reading.word,
        )
        yield " ".join(part for part in parts if part)
        before = reading.value


def _value(reading: TargetReading) -> str:
    gate = reading.gate
    value = told(gate, reading.value)
    if reading.count is not None:
        value += f", {reading.count.successes} of {reading.count.n}"
    if reading.interval is not None:
        value += f" ({told(gate, reading.interval.low)} to {told(gate, reading.interval.high)})"
    return value


def _arrow(before: float | None, now: float | None) -> str:
    if before is None or now is None or before == now:
        return ""
    return "↑" if now > before else "↓"


def _parameters(judged: TargetsJudged) -> Iterator[str]:
    if len(judged.iterations) < 2:
        return
    yield from ("## Parameters that changed", "")
    head, *rows = parameter_rows(judged)
    yield from table(head, rows)


def parameter_rows(judged: TargetsJudged) -> Iterator[tuple[str, ...]]:
    """A head, and a row for each parameter that changed between two iterations."""
    yield ("from → to", "parameter", "before", "after")
    for before, after in itertools.pairwise(judged.iterations):
        step = f"{before.config} → {after.config}"
        for change in after.changes or ():
            yield step, change.name, _setting(change.before), _setting(change.after)
        if not after.changes:
            yield step, "none that is known", "-", "-"


def _other_stages(judged: TargetsJudged) -> Iterator[str]:
    if judged.other_stages:
        yield from ("## At other stages", "")
        head, *rows = stage_rows(judged)
        yield from table(head, rows)


def stage_rows(judged: TargetsJudged) -> Iterator[tuple[str, ...]]:
    """A head, and a row for each iteration at each stage that is not judged here."""
    yield ("stage", "iteration", *(gate.metric for gate in judged.options.parsed_gates), "verdict")
    for each in judged.other_stages:
        yield (each.stage, each.config, *(_value(reading) for reading in each.readings), each.word)


def _learnings(judged: TargetsJudged) -> Iterator[str]:
    if judged.learnings:
        yield from ("## Learnings", "")
        yield from ("The hypothesis was declared before, the reality is read from the figures.", "")
        head, *rows = learning_rows(judged)
        yield from table(head, rows)


def learning_rows(judged: TargetsJudged) -> Iterator[tuple[str, ...]]:
    """A head, and a row for each iteration of which something was told."""
    yield ("iteration", "hypothesis", "reality", "why", "lesson")
    for each in judged.learnings:
        yield (
            each.config,
            each.hypothesis or "-",
            each.reality or "has not run",
            each.why or "-",
            each.lesson or "-",
        )


def _samples(judged: TargetsJudged) -> Iterator[str]:
    if judged.samples:
        yield from ("## Samples", "")
        head, *rows = sample_rows(judged)
        yield from table(head, rows)
        yield from ("Some of them, before and after cleaning, are in targets.html.", "")


def sample_rows(judged: TargetsJudged) -> Iterator[tuple[str, ...]]:
    """A head, and a row for each iteration that keeps its samples."""
    yield ("iteration", "samples", "flagged raw", "flagged cleaned")
    for each in judged.samples:
        yield (each.config, str(each.samples), str(each.flagged_raw), str(each.flagged_cleaned))


def _setting(value: Any) -> str:
    return "not set" if value is None else str(value)


def _ledger(judged: TargetsJudged) -> Iterator[str]:
    yield from ("## Cost ledger", "")
    head, *rows = ledger_rows(judged)
    yield from table([cell(name) for name in head], rows)
    for sentence in ledger_told(judged):
        yield from (cell(sentence), "")


def ledger_rows(judged: TargetsJudged) -> Iterator[tuple[str, ...]]:
    """A head, and a row for each iteration, with the sum so far."""
    currency = judged.options.currency
    head = ("iteration", "runs", "seconds", "energy, J", "tokens", currency)
    yield (*head, "seconds so far", "energy so far, J", "tokens so far", f"{currency} so far")
    for row in judged.ledger:
        yield (row.config, *_amounts(row), *_amounts_so_far(row))


def ledger_told(judged: TargetsJudged) -> Iterator[str]:
    """What is an estimate, and what remains."""
    currency = judged.options.currency
    if any(row.is_estimate for row in judged.ledger):
        yield f"~ is an estimate: seconds at {judged.options.cost_per_hour:g} {currency} an hour."
    remaining = _remaining(judged)
    if remaining is not None:
        yield f"Remaining of {judged.options.budget:g} {currency}: {remaining:.2f}."


def _amounts(row: LedgerRow) -> tuple[str, ...]:
    spent = row.spent
    return (
        str(spent.runs),
        _whole(spent.seconds),
        _whole(spent.energy_joule),
        _whole(spent.tokens),
        _money(spent.money, is_estimate=row.is_estimate),
    )


def _amounts_so_far(row: LedgerRow) -> tuple[str, ...]:
    spent = row.so_far
    return (
        _whole(spent.seconds),
        _whole(spent.energy_joule),
        _whole(spent.tokens),
        _money(spent.money, is_estimate=False),
    )


def _whole(amount: float | None) -> str:
    return "-" if amount is None else f"{amount:.0f}"


def _money(amount: float | None, *, is_estimate: bool) -> str:
    return "-" if amount is None else f"{'~' if is_estimate else ''}{amount:.2f}"


def _remaining(judged: TargetsJudged) -> float | None:
    if judged.options.budget is None or not judged.ledger:
        return None
    return judged.options.budget - (judged.ledger[-1].so_far.money or 0.0)
