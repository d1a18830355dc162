"""How does a litmus answer read, for a person and for a program?"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scheduler.judging._arms import delta_text
from scheduler.judging._markdown import cell, number, table

if TYPE_CHECKING:
    from scheduler.judging.litmus import Check, Experiment, LitmusJudged

_GATES_HEAD = ("gate", "wanted", "found", "met", "what would meet it")
_LIFTS_HEAD = ("metric", "baseline", "experiment", "lift", "population sd", "by seed", "declared", "reached")


def line(experiment: Experiment) -> str:
    """The lifts on one line, and what keeps the evidence from deciding."""
    lifts = ", ".join(_lift(check) for check in experiment.checks)
    gaps = "; ".join(f"{gate.name}: {gate.found}, {gate.remedy}" for gate in experiment.unmet)
    return f"{lifts}; {gaps}" if gaps and experiment.word == "INCONCLUSIVE" else lifts


def _lift(check: Check) -> str:
    unit = check.arms.unit
    sign = ">=" if check.is_reached else "<"
    found = delta_text(check.arms.delta, unit)
    return f"{check.arms.metric} {found} ({sign} {delta_text(check.min_lift, unit)})"


def experiment_object(experiment: Experiment) -> dict[str, Any]:
    """Every figure of one experiment."""
    return {
        "verdict": experiment.word,
        "evidence_ok": not experiment.unmet,
        "checks": [
            {
                "metric": check.arms.metric,
                "unit": check.arms.unit,
                "baseline": list(check.arms.baseline),
                "variant": list(check.arms.variant),
                "is_paired": check.arms.is_paired,
                "per_seed": [list(pair) for pair in check.arms.per_seed],
                "lift": check.arms.delta,
                "population_sd": check.population_sd,
                "min_lift": check.min_lift,
                "p": None if check.permutation is None else check.permutation.p,
                "is_reached": check.is_reached,
            }
            for check in experiment.checks
        ],
        "gates": [
            {
                "name": gate.name,
                "wanted": gate.wanted,
                "found": gate.found,
                "is_met": gate.is_met,
                "remedy": gate.remedy,
            }
            for gate in experiment.gates
        ],
    }


def document(judged: LitmusJudged) -> str:
    """The whole answer, ending with a newline."""
    return "\n".join(_lines(judged)).rstrip("\n") + "\n"


def _lines(judged: LitmusJudged) -> Iterator[str]:
    yield from (f"# Litmus: {cell(judged.source)}", "")
    for experiment in judged.experiments:
        yield from (f"## {cell(experiment.config)}: {experiment.word}", "")
        yield from ("### Evidence", "")
        yield from table(
            _GATES_HEAD,
            [
                (gate.name, gate.wanted, gate.found, "yes" if gate.is_met else "NO", gate.remedy or "-")
                for gate in experiment.gates
            ],
        )
        yield from ("### Lifts", "")
        yield from table(_LIFTS_HEAD, [_check_row(check) for check in experiment.checks])
    if judged.options.alpha is None:
        yield "No alpha was declared: a lift is what these seeds show, not what others would."
        yield ""
    if judged.notes:
        yield from ("## Notes", "", *(f"- {cell(note)}" for note in judged.notes))


def _check_row(check: Check) -> tuple[str, ...]:
    arms = check.arms
    return (
        arms.metric,
        number(statistics.fmean(arms.baseline) if arms.baseline else None),
        number(statistics.fmean(arms.variant) if arms.variant else None),
        delta_text(arms.delta, arms.unit),
        "-" if check.population_sd is None else delta_text(check.population_sd, arms.unit).lstrip("+"),
        ", ".join(delta_text(delta, arms.unit) for _, delta in arms.per_seed) or "unpaired",
        f">= {delta_text(check.min_lift, arms.unit)}",
        "yes" if check.is_reached else "NO",
    )
