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
        "level": judged.options.level,
        "gates": [str(gate) for gate in judged.options.parsed_gates],
        "iterations": [_iteration_object(each) for each in judged.iterations],
        "ledger": {
            "currency": judged.options.currency,
            "budget": judged.options.budget,
            "remaining": _remaining(judged),
            "rows": [_row_object(row) for row in judged.ledger],
        },
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
        "metric": reading.gate.metric,
        "gate": str(reading.gate),
        "verdict": reading.word,
        "value": reading.value,
        "interval": None if reading.interval is None else [reading.interval.low, reading.interval.high],
        "count": None if reading.count is None else [reading.count.successes, reading.count.n],
        "runs": reading.runs,
        "fisher_p_against_iteration_before": iteration.fisher_p.get(reading.gate.metric),
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
    yield from (f"- {cell(each.config)}: {each.word}" for each in judged.iterations)
    yield ""
    warnings = [note for note in judged.notes if note.startswith("WARNING")]
    yield from (f"**{cell(warning)}**" for warning in warnings)
    if warnings:
        yield ""
    yield from _metrics(judged)
    yield from _parameters(judged)
    yield from _ledger(judged)
    notes = [note for note in judged.notes if note not in warnings]
    if notes:
        yield from ("## Notes", "", *(f"- {cell(note)}" for note in notes))


def _metrics(judged: TargetsJudged) -> Iterator[str]:
    yield from ("## Metrics", "")
    yield f"In brackets the {100 * judged.options.level:g} % interval; p by Fisher's exact test against the"
    yield "iteration before, as if every case were independent."
    yield ""
    head = ["metric", *(cell(each.config) for each in judged.iterations), "target"]
    rows = [
        [gate.metric, *_across(judged, index, gate), gate.bound]
        for index, gate in enumerate(judged.options.parsed_gates)
    ]
    verdicts = ["verdict", *(each.word for each in judged.iterations), "all"]
    yield from table(head, [*rows, verdicts])


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
    rows = []
    for before, after in itertools.pairwise(judged.iterations):
        step = f"{before.config} → {after.config}"
        rows += [
            (step, change.name, _setting(change.before), _setting(change.after))
            for change in after.changes or ()
        ] or [(step, "none that is known", "-", "-")]
    yield from table(("from → to", "parameter", "before", "after"), rows)


def _setting(value: Any) -> str:
    return "not set" if value is None else str(value)


def _ledger(judged: TargetsJudged) -> Iterator[str]:
    yield from ("## Cost ledger", "")
    currency = cell(judged.options.currency)
    head = ("iteration", "runs", "seconds", "energy, J", "tokens", currency)
    so_far = ("seconds so far", "energy so far, J", "tokens so far", f"{currency} so far")
    yield from table(
        (*head, *so_far),
        [(row.config, *_amounts(row), *_amounts_so_far(row)) for row in judged.ledger],
    )
    if any(row.is_estimate for row in judged.ledger):
        yield f"~ is an estimate: seconds at {judged.options.cost_per_hour:g} {currency} an hour."
        yield ""
    remaining = _remaining(judged)
    if remaining is not None:
        yield f"Remaining of {judged.options.budget:g} {currency}: {remaining:.2f}."
        yield ""


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
