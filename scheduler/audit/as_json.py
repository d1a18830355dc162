"""What does a program get to know of an audit? Everything that was found, with file and line."""

from __future__ import annotations

from typing import Any

from scheduler.audit.audit import Audit, Cost
from scheduler.audit.claims import Claim
from scheduler.audit.failed import class_of, lost_its_text
from scheduler.audit.rows import Row


def to_json(found: Audit) -> dict[str, Any]:
    """The audit as a value of JSON; figures in pp where the metric is an accuracy."""
    return {
        "files": [
            {"file": file.source, "sha256": file.sha256, "rows": len(file.rows), "torn_line": file.torn_line}
            for file in found.files
        ],
        "problems": [
            {"file": problem.source, "line": problem.line, "problem": problem.text}
            for problem in found.problems
        ],
        "repeats": [
            {"file": repeat.source, "of": repeat.of, "rows": repeat.rows} for repeat in found.repeats
        ],
        "runs": len(found.runs),
        "known_seconds": found.known_seconds,
        "wasted_seconds": found.wasted_seconds,
        "costs": [_cost(cost) for cost in found.costs],
        "unmatched_claims": [_claim(claim) for claim in found.unmatched],
        "matched_claims": [_claim(claim) for claim in found.claims if claim.is_matched],
        "duplicates": [
            {
                **_row(each.first),
                "again": [_row(row) for row in each.again],
                "has_other_seed": each.has_other_seed,
            }
            for each in found.duplicates
        ],
        "no_ops": [{**_row(each.row), "baseline": _row(each.baseline)} for each in found.no_ops],
        "single_seed_claims": [_row(claim.row) for claim in found.single_seed],
        "best_over_evals": [
            {**_row(each.row), "sign": each.kind, "text": each.text} for each in found.best_over_evals
        ],
        "constant_metrics": [
            {"value": each.value, "runs": [_row(row) for row in each.rows]} for each in found.constant_metrics
        ],
        "failures": [_failure(row) for group in found.failures for row in group.rows],
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "file": row.source,
        "line": row.line,
        "round": row.round,
        "task": row.task,
        "stage": row.stage,
        "config": row.config,
        "seed": row.seed,
    }


def _claim(claim: Claim) -> dict[str, Any]:
    return {
        **_row(claim.row),
        "unit": claim.unit,
        "value": claim.row.value,
        "claimed": claim.claimed,
        "first_stage": claim.first_stage,
        "baseline_at_first_stage": claim.baseline_first,
        "delta_at_first_stage": claim.first_delta,
        "matched": claim.matched,
        "is_of_other_seeds": claim.is_of_other_seeds,
        "why_unmatched": claim.why_unmatched or None,
        "seeds": claim.seeds,
    }


def _failure(row: Row) -> dict[str, Any]:
    return {
        **_row(row),
        "failure_class": class_of(row),
        "error": row.error,
        "is_text_lost": lost_its_text(row),
    }


def _cost(cost: Cost) -> dict[str, Any]:
    return {
        "name": cost.name,
        "found": cost.found,
        "runs": len(cost.places),
        "is_wasted": cost.is_wasted,
        "seconds": cost.seconds,
        "share": cost.share,
    }
