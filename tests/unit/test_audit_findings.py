"""Every kind of finding, from rows that are made to show it; and none where there is nothing to find."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scheduler.audit.as_json import to_json
from scheduler.audit.audit import Audit, audit
from scheduler.audit.reading import read_records
from scheduler.report.audit_text import WIDTH, render_audit, sum_of


def row(
    stage: str, config: str, acc: float | None = 0.5, loss: float | None = 1.0, **more: Any
) -> dict[str, Any]:
    return {
        "task": "toy",
        "stage": stage,
        "config": config,
        "status": "ok",
        "best_val_loss": loss,
        "best_val_tok_acc": acc,
        **more,
    }


def audited(*rows: dict[str, Any], source: str = "r.jsonl") -> Audit:
    """Of rows whose folders are made up where they name none: each is a run of its own, a minute apart."""
    lines = []
    for minute, fields in enumerate(rows):
        named = {"run_dir": f"runs/20260101-12{minute:02d}00/toy_sft/x", **fields}
        lines.append(json.dumps(named).encode())
    return audit([read_records(source, b"\n".join(lines) + b"\n")])


BASELINE = row("quick", "baseline", 0.50, 2.0)
VARIANT = row("quick", "gate", 0.52, 1.9)
CLAIM = row("med", "gate", 0.80, 1.0)
MATCH = row("med", "baseline", 0.79, 1.1)


def test_a_medium_run_without_a_medium_baseline_is_unmatched() -> None:
    found = audited(BASELINE, VARIANT, CLAIM)
    [claim] = found.unmatched
    assert claim.claimed == pytest.approx(30.0)
    assert claim.baseline_first == pytest.approx(50.0)
    assert claim.first_delta == pytest.approx(2.0)
    assert claim.matched is None
    assert claim.why_unmatched == "no medium baseline was run"


def test_a_medium_run_with_its_baseline_is_matched() -> None:
    found = audited(BASELINE, VARIANT, MATCH, CLAIM)
    assert found.unmatched == []
    [claim] = found.claims
    assert claim.matched == pytest.approx(1.0)
    assert claim.claimed == pytest.approx(30.0)
    assert not claim.is_of_other_seeds


@pytest.mark.parametrize(
    ("baseline", "words"),
    [
        ({**MATCH, "bsz": 4}, "bsz 4, this run at 8"),
        (
            {**MATCH, "status": "fail", "best_val_tok_acc": None, "error": "CUDA out of memory"},
            "failed (oom)",
        ),
        ({**MATCH, "protocol": "p1"}, "another protocol"),
        ({**MATCH, "best_val_tok_acc": None}, "another protocol or metric"),
    ],
)
def test_a_baseline_that_cannot_be_compared_matches_nothing(baseline: dict[str, Any], words: str) -> None:
    claim = {**CLAIM, "bsz": 8, "protocol": "p2"}
    [missing] = audited(BASELINE, VARIANT, baseline, claim).unmatched
    assert words in missing.why_unmatched


def test_a_claim_without_any_baseline_has_no_figure() -> None:
    [claim] = audited(VARIANT, CLAIM).unmatched
    assert (claim.claimed, claim.first_delta) == (None, None)


def test_a_claim_is_matched_with_the_baseline_of_its_seed() -> None:
    found = audited(
        {**MATCH, "seed": 1, "best_val_tok_acc": 0.70},
        {**MATCH, "seed": 2},
        {**CLAIM, "seed": 2},
        {**CLAIM, "seed": 3, "best_val_loss": 0.9},
    )
    by_seed = {claim.row.seed: claim for claim in found.claims}
    assert by_seed[2].matched == pytest.approx(1.0)
    assert not by_seed[2].is_of_other_seeds
    assert by_seed[3].matched == pytest.approx(5.5)
    assert by_seed[3].is_of_other_seeds


def test_a_reused_baseline_matches_like_one_that_ran() -> None:
    found = audited(BASELINE, VARIANT, {**MATCH, "status": "skip_reuse"}, CLAIM)
    assert found.unmatched == []
    assert len(found.runs) == 3


def test_a_stage_of_another_name_is_a_stage_of_its_own() -> None:
    found = audited(row("first", "baseline", 0.5), row("first", "gate", 0.6), row("recheck", "gate", 0.7))
    [claim] = found.unmatched
    assert (claim.first_stage, claim.row.stage, claim.claimed) == ("first", "recheck", pytest.approx(20.0))


def test_another_task_s_baseline_matches_nothing() -> None:
    assert len(audited(BASELINE, VARIANT, {**MATCH, "task": "other"}, CLAIM).unmatched) == 1


def test_a_failed_medium_run_claims_nothing() -> None:
    failed = {**CLAIM, "status": "fail", "best_val_tok_acc": None, "error": "torch.OutOfMemoryError"}
    found = audited(BASELINE, VARIANT, failed)
    assert found.claims == ()
    assert [group.failure_class for group in found.failures] == ["oom"]


def test_a_loss_is_claimed_with_more_meaning_better() -> None:
    found = audited(row("quick", "baseline", None, 2.0), row("med", "gate", None, 1.5))
    [claim] = found.unmatched
    assert (claim.claimed, claim.unit) == (pytest.approx(0.5), "loss")


def test_a_rerun_with_the_same_result_is_a_duplicate_whatever_its_task_is_called() -> None:
    run = {**BASELINE, "best_val_loss": 1.9876543210987654}
    last_digit = {**BASELINE, "best_val_loss": 1.9876543210987656}
    found = audited(run, {**run, "task": "toy_recheck"}, last_digit)
    [duplicate] = found.duplicates
    assert [each.task for each in duplicate.again] == ["toy_recheck"]
    assert not duplicate.has_other_seed


def test_a_rounded_loss_makes_no_duplicate_of_another_task() -> None:
    assert audited(BASELINE, {**BASELINE, "task": "other"}).duplicates == ()
    rounded = {**BASELINE, "best_val_loss": 1.9876}
    assert audited(rounded, {**rounded, "task": "other"}).duplicates == ()
    assert len(audited(BASELINE, BASELINE).duplicates) == 1


def test_a_seed_that_changes_nothing_is_told() -> None:
    found = audited({**MATCH, "seed": 0}, {**MATCH, "seed": 1})
    assert [duplicate.has_other_seed for duplicate in found.duplicates] == [True]
    assert "another seed changed nothing" in render_audit(found)
    unnamed = audited({**MATCH, "seed": 0}, MATCH)
    assert [duplicate.has_other_seed for duplicate in unnamed.duplicates] == [False]


def test_each_seed_s_claim_stands_beside_its_own_baseline() -> None:
    found = audited(
        {**BASELINE, "seed": 0},
        {**BASELINE, "seed": 1, "best_val_tok_acc": 0.6, "best_val_loss": 1.8},
        {**CLAIM, "seed": 0},
        {**CLAIM, "seed": 1, "best_val_loss": 0.9},
    )
    assert [claim.claimed for claim in found.unmatched] == [pytest.approx(30.0), pytest.approx(20.0)]
    assert "baseline: quick 50.00%, 60.00%; no medium baseline was run" in render_audit(found)


def test_an_equal_accuracy_alone_is_no_duplicate() -> None:
    assert audited(row("quick", "a", 0.5, None), row("quick", "a", 0.5, None)).duplicates == ()


def test_a_duplicate_makes_no_second_claim_and_no_second_seed() -> None:
    found = audited(BASELINE, {**CLAIM, "seed": 0}, {**CLAIM, "seed": 1})
    assert [claim.seeds for claim in found.claims] == [1]


def test_a_variant_equal_to_its_baseline_is_a_no_op() -> None:
    found = audited(BASELINE, row("quick", "gate", 0.50, 2.0), row("quick", "head", 0.50, 2.1))
    assert [each.row.config for each in found.no_ops] == ["gate"]


def test_claims_of_one_seed_are_told_and_those_of_two_are_not() -> None:
    assert len(audited(BASELINE, {**CLAIM, "seed": 0}).single_seed) == 1
    other = row("med", "gate", 0.81, 0.9, seed=1)
    assert audited(BASELINE, {**CLAIM, "seed": 0}, other).single_seed == ()


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([row("quick", "gate", best_step=40, steps=80)], "step"),
        ([row("quick", "gate", 0.6, 1.5), row("med", "gate", 0.6, 1.2)], "prefix"),
        ([row("quick", "gate", 0.6, 1.5), row("med", "gate", 0.7, 1.5)], "prefix"),
        ([row("quick", "baseline", 0.5, 1.5), row("quick", "gate", 0.6, 1.6)], "loss"),
    ],
)
def test_a_sign_of_the_best_over_evaluations_is_told(rows: list[dict[str, Any]], kind: str) -> None:
    assert [each.kind for each in audited(*rows).best_over_evals] == [kind]


def test_a_run_told_by_its_last_evaluation_shows_no_such_sign() -> None:
    rows = [row("quick", "baseline", 0.5, 1.5), row("quick", "gate", 0.6, 1.6)]
    told_by_last = [{**each, "acc": each["best_val_tok_acc"]} for each in rows]
    assert audited(*told_by_last).best_over_evals == ()


def test_a_metric_that_is_always_the_same_is_constant() -> None:
    runs = [
        row("quick", config, 0.96875, loss) for config, loss in (("baseline", 1.0), ("a", 1.1), ("b", 1.2))
    ]
    [constant] = audited(*runs).constant_metrics
    assert constant.value == 96.875
    assert len(constant.rows) == 3
    assert audited(*runs[:2]).constant_metrics == ()
    assert audited(*runs, row("quick", "c", 0.97)).constant_metrics == ()


@pytest.mark.parametrize(
    ("error", "failure_class"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 120.00 MiB.", "oom"),
        ("RuntimeError: Only built 374 examples (wanted 900). Try lowering --n_*.", "data"),
        ("train.py: error: unrecognized arguments: --gate", "bad_args"),
        ("ConnectionError: Couldn't reach the Hugging Face Hub", "network"),
        ("rc_nonzero", "crash"),
    ],
)
def test_a_failure_has_the_class_that_the_scheduler_would_give_it(error: str, failure_class: str) -> None:
    found = audited(row("quick", "baseline", None, None, status="fail", error=error))
    assert [group.failure_class for group in found.failures] == [failure_class]
    assert [each["is_text_lost"] for each in to_json(found)["failures"]] == [error == "rc_nonzero"]


def test_time_runs_from_one_start_to_the_next() -> None:
    found = audited(BASELINE, VARIANT, CLAIM, row("quick", "head", 0.4, 3.0))
    assert found.known_seconds == 240.0
    assert found.wasted_seconds == 60.0
    assert sum_of(found).startswith("1 of 1 claim unmatched; 60 s of 4 min (25 %)")


def test_a_failure_takes_what_the_run_before_it_did_not() -> None:
    failed = {**CLAIM, "status": "fail", "run_dir": "", "error": "boom", "best_val_tok_acc": None}
    rows = [BASELINE, VARIANT, failed, row("quick", "head", 0.4, 3.0), row("quick", "tail", 0.4, 3.1)]
    found = audited(*rows)
    assert found.seconds["r.jsonl:2"] == found.seconds["r.jsonl:3"] == 60.0


def test_a_night_between_two_runs_is_no_run() -> None:
    late = row("quick", "late", 0.4, 3.0, run_dir="runs/20260102-120000/toy_sft/x")
    assert audited(BASELINE, VARIANT, row("quick", "head", 0.4, 2.9), late).known_seconds == 240.0


def test_what_lies_between_two_rounds_is_no_run() -> None:
    rounds = [{**BASELINE, "round": 1}, {**VARIANT, "round": 1}, {**CLAIM, "round": 2}]
    assert "r.jsonl:2" in audited(*rounds).seconds
    late = {**CLAIM, "round": 2, "run_dir": "runs/20260101-122500/toy_sft/x"}
    assert audited(*rounds[:2], late).seconds["r.jsonl:2"] == 60.0


def test_a_recorded_time_counts_before_an_estimated_one() -> None:
    assert audited({**BASELINE, "wall_seconds": 12.5}, VARIANT).seconds["r.jsonl:1"] == 12.5


def test_a_run_that_is_wasted_twice_is_counted_once() -> None:
    no_op_claim = row("med", "gate", 0.5, 2.0, wall_seconds=10.0)
    again = row("med", "gate", 0.5, 2.0, wall_seconds=10.0)
    found = audited({**BASELINE, "wall_seconds": 10.0}, no_op_claim, again)
    assert found.wasted_seconds == 20.0


def test_records_without_times_say_so() -> None:
    found = audited({**BASELINE, "run_dir": ""}, {**CLAIM, "run_dir": ""})
    assert sum_of(found) == "1 of 1 claim unmatched; the records tell no times"
    assert "-" in render_audit(found)


def test_sound_records_have_nothing_to_show() -> None:
    found = audited(
        {**BASELINE, "seed": 0, "acc": 0.5},
        {**VARIANT, "seed": 0, "acc": 0.52},
        *({**MATCH, "seed": seed, "acc": 0.7 + seed / 100, "best_val_loss": 1.0 + seed} for seed in (0, 1)),
        *({**CLAIM, "seed": seed, "acc": 0.8 + seed / 100, "best_val_loss": 0.5 + seed} for seed in (0, 1)),
    )
    assert [cost.found for cost in found.costs] == [0] * len(found.costs)
    assert sum_of(found).startswith("0 of 2 claims unmatched; 0 s of 6 min (0 %)")


def test_decisions_are_counted_and_claim_nothing() -> None:
    decision = {
        "stage": "med_decision",
        "config": "gate",
        "status": "flagged",
        "task": "toy",
        "reason": "+9 pp",
    }
    found = audited(BASELINE, decision)
    assert found.claims == ()
    assert "1 decision" in render_audit(found)


def test_the_text_fits_a_terminal_and_holds_nothing_that_steers_it() -> None:
    error = "Traceback " + "x " * 400 + "torch.OutOfMemoryError: \x1b[31mCUDA out of memory" + " y" * 400
    found = audited(
        BASELINE,
        VARIANT,
        CLAIM,
        row("quick", "head", None, None, status="fail", error=error),
        *(row("quick", f"v{number}", 0.6, 2.0 + number) for number in range(1, 40)),
    )
    text = render_audit(found)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "\x1b" not in text
    assert "OutOfMemoryError: CUDA out of memory" in text
    assert "more (--json has them all)" in text


def test_the_json_names_every_finding_with_its_place() -> None:
    told = json.loads(json.dumps(to_json(audited(BASELINE, VARIANT, CLAIM))))
    [claim] = told["unmatched_claims"]
    assert (claim["file"], claim["line"], claim["stage"]) == ("r.jsonl", 3, "medium")
    assert claim["claimed"] == pytest.approx(30.0)
    assert claim["matched"] is None
