"""What does a report on targets tell a program? Every figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scheduler.judging._targets_tables import remaining

if TYPE_CHECKING:
    from scheduler.judging._iterations import LedgerRow, Spent
    from scheduler.judging._target_gates import TargetReading
    from scheduler.judging.targets import Iteration, TargetsJudged


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
            "remaining": remaining(judged),
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
