"""Which tables tell of iterations and their gates? For the document and for the page: a head, then rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scheduler.judging._markdown import number
from scheduler.judging._target_gates import told

if TYPE_CHECKING:
    from policies._gates import Gate
    from scheduler.judging._iterations import LedgerRow
    from scheduler.judging._target_gates import TargetReading
    from scheduler.judging.targets import Iteration, TargetsJudged


def line(iteration: Iteration) -> str:
    """The readings of one iteration on one line."""
    return ", ".join(
        f"{reading.gate.metric} {told(reading.gate, reading.value)} ({reading.gate.bound}: {reading.word})"
        for reading in iteration.readings
    )


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


def parameter_rows(judged: TargetsJudged) -> Iterator[tuple[str, ...]]:
    """A head, and a row for each parameter that changed between two iterations."""
    yield ("from → to", "parameter", "before", "after")
    for before, after in itertools.pairwise(judged.iterations):
        step = f"{before.config} → {after.config}"
        for change in after.changes or ():
            yield step, change.name, _setting(change.before), _setting(change.after)
        if not after.changes:
            yield step, "none that is known", "-", "-"


def _setting(value: Any) -> str:
    return "not set" if value is None else str(value)


def stage_rows(judged: TargetsJudged) -> Iterator[tuple[str, ...]]:
    """A head, and a row for each iteration at each stage that is not judged here."""
    yield ("stage", "iteration", *(gate.metric for gate in judged.options.parsed_gates), "verdict")
    for each in judged.other_stages:
        yield (each.stage, each.config, *(_value(reading) for reading in each.readings), each.word)


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


def sample_rows(judged: TargetsJudged) -> Iterator[tuple[str, ...]]:
    """A head, and a row for each iteration that keeps its samples."""
    yield ("iteration", "samples", "flagged raw", "flagged cleaned")
    for each in judged.samples:
        yield (each.config, str(each.samples), str(each.flagged_raw), str(each.flagged_cleaned))


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
    left = remaining(judged)
    if left is not None:
        yield f"Remaining of {judged.options.budget:g} {currency}: {left:.2f}."


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


def remaining(judged: TargetsJudged) -> float | None:
    """Of the budget, after all that ran; None where there is none."""
    if judged.options.budget is None or not judged.ledger:
        return None
    return judged.options.budget - (judged.ledger[-1].so_far.money or 0.0)
