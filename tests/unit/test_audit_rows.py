"""What a line of foreign records says, whichever script wrote it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scheduler.audit.reading import read_records
from scheduler.audit.repeats import count_once
from scheduler.audit.rows import RecordFile, Row

#: as the bash scripts of the early rounds wrote it
EARLY: dict[str, Any] = {
    "task": "toy",
    "stage": "med",
    "config": "gate_l6",
    "status": "ok",
    "bsz": 8,
    "best_val_loss": 0.5,
    "best_val_tok_acc": 0.75,
    "run_dir": "runs/20260101-120000/toy_sft/prompt_fs",
}
#: as the later queue runner wrote it
LATER: dict[str, Any] = {
    "round": 77,
    "task": "toy_seed3_probe",
    "novelty_tier": "new",
    "stage": "quick",
    "config": "gate_l6",
    "status": "ok",
    "best_val_loss": 0.5,
    "best_val_tok_acc": 0.75,
    "run_dir": "runs/20260101-120000/toy_sft/prompt_fs",
    "gate_reason": "promote",
    "signature": json.dumps(
        {"cfg_name": "gate_l6", "ds": "toy", "med_budget": 200, "seed": 3, "task": "toy_seed3_probe"}
    ),
    "cooldown_until_round": None,
}


def line(fields: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({**fields, **changes}).encode() + b"\n"


def one(fields: dict[str, Any], **changes: Any) -> Row:
    file = read_records("r.jsonl", line(fields, **changes))
    assert file.problems == ()
    return file.rows[0]


def test_an_early_row_is_read() -> None:
    row = one(EARLY)
    assert (row.task, row.stage, row.config, row.kind, row.outcome) == (
        "toy",
        "medium",
        "gate_l6",
        "run",
        "ok",
    )
    assert (row.value, row.loss, row.bsz, row.seed) == (75.0, 0.5, 8, None)
    assert row.is_best_over_evals


def test_a_later_row_tells_its_seed_and_protocol() -> None:
    row = one(LATER)
    assert (row.seed, row.round, row.family) == (3, "77", "toy_probe")
    assert row.signature == {"ds": "toy", "med_budget": "200"}


def test_rounds_of_one_signature_share_a_scope_and_others_do_not() -> None:
    other_seed = LATER["signature"].replace('"seed": 3', '"seed": 4').replace("toy_seed3", "toy_seed4")
    same = one(LATER, round=78, task="toy_seed4_probe", signature=other_seed)
    assert same.scope == one(LATER).scope
    assert same.seed == 4
    longer = one(LATER, signature=LATER["signature"].replace("200", "300"))
    assert longer.scope != one(LATER).scope


def test_without_a_signature_two_files_share_nothing() -> None:
    files = [read_records(name, line(EARLY)) for name in ("a.jsonl", "b.jsonl")]
    assert files[0].rows[0].scope != files[1].rows[0].scope


@pytest.mark.parametrize(
    ("changes", "kind", "outcome"),
    [
        ({"stage": "quick_decision", "status": "pruned", "reason": "quick_drop"}, "decision", "skipped"),
        ({"stage": "med_decision", "status": "flagged"}, "decision", "skipped"),
        ({"stage": "probe", "config": "bsz"}, "probe", "ok"),
        ({"status": "fail", "error": "rc_nonzero"}, "run", "failed"),
        ({"status": "skip_reuse"}, "run", "reused"),
        ({"status": "skipped"}, "run", "skipped"),
        ({"status": "dry_run"}, "run", "skipped"),
    ],
)
def test_rows_that_are_no_finished_run_are_told_apart(
    changes: dict[str, Any], kind: str, outcome: str
) -> None:
    row = one(LATER, **changes)
    assert (row.kind, row.outcome) == (kind, outcome)


def test_a_row_without_a_task_has_that_of_its_folder_or_of_its_file() -> None:
    nameless = {key: value for key, value in EARLY.items() if key != "task"}
    assert one(nameless).task == "toy"
    file = read_records("_round9_words_records.jsonl", line(nameless, run_dir=""))
    assert file.rows[0].task == "words"


def test_the_end_of_a_run_counts_before_its_best() -> None:
    row = one(EARLY, acc=0.5)
    assert row.value == 50.0
    assert not row.is_best_over_evals


def test_of_our_own_records_only_runs_are_rows() -> None:
    data = line({"event": "round_accepted", "v": 1}) + line(EARLY, event="run_finished", wall_seconds=9.5)
    file = read_records("records.jsonl", data)
    assert [row.wall_seconds for row in file.rows] == [9.5]
    assert file.problems == ()


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b'{"task":"toy","stage":"quick","config":"b","status":"ok","best_val_loss":None}\n', "not JSON"),
        (b"[1, 2]\n", "not a JSON object"),
        (b'{"summary": 1}\n', "no `stage`"),
        (b"\xff\xfe\n", "not UTF-8"),
        (line(EARLY, best_val_tok_acc="high"), "`best_val_tok_acc` is 'high'"),
        (line(EARLY, best_val_tok_acc=61.5), "no share between 0 and 1"),
        (b"[" * 100_000 + b"\n", "nested too deeply"),
    ],
)
def test_a_bad_line_is_told_and_the_rest_is_read(bad: bytes, words: str) -> None:
    file = read_records("r.jsonl", line(EARLY) + bad + line(EARLY))
    assert [row.line for row in file.rows] == [1, 3]
    assert [problem.line for problem in file.problems] == [2]
    assert words in str(file.problems[0])
    assert str(file.problems[0]).startswith("r.jsonl:2: ")
    assert file.torn_line is None


def test_a_torn_last_line_is_no_problem() -> None:
    file = read_records("r.jsonl", line(EARLY) + line(EARLY)[:40])
    assert (len(file.rows), file.problems, file.torn_line) == (1, (), 2)


def test_a_last_line_without_its_newline_is_whole() -> None:
    file = read_records("r.jsonl", line(EARLY).rstrip(b"\n"))
    assert (len(file.rows), file.torn_line) == (1, None)


@pytest.mark.parametrize("data", [b"\0\1\2", b"a summary\nof a round\n"])
def test_a_file_of_something_else_is_unreadable(data: bytes) -> None:
    assert read_records("r.jsonl", data).is_unreadable


def test_an_empty_file_holds_nothing() -> None:
    file = read_records("r.jsonl", b"")
    assert (file.rows, file.problems) == ((), ())


def test_a_reading_that_is_not_a_number_is_none() -> None:
    assert one(EARLY, best_val_tok_acc=float("nan"), best_val_loss="nan").value is None


def files_of(**lines: list[bytes]) -> list[RecordFile]:
    return [read_records(name, b"".join(found)) for name, found in lines.items()]


FAILED = line(EARLY, stage="quick", status="fail", run_dir="", error="rc_nonzero", best_val_tok_acc=None)
OTHER = line(EARLY, run_dir="runs/20260101-130000/toy_sft/prompt_fs")


def test_a_partial_copy_is_counted_once_whatever_its_place() -> None:
    for files in (
        files_of(whole=[line(EARLY), FAILED, OTHER], part=[line(EARLY), FAILED]),
        files_of(part=[line(EARLY), FAILED], whole=[line(EARLY), FAILED, OTHER]),
    ):
        rows, repeats = count_once(files)
        assert {row.source for row in rows} == {"whole"}
        assert [(repeat.source, repeat.of, repeat.rows) for repeat in repeats] == [("part", "whole", 2)]


def test_a_line_written_twice_is_counted_once() -> None:
    rows, repeats = count_once(files_of(one=[line(EARLY), line(EARLY)]))
    assert len(rows) == 1
    assert [(repeat.source, repeat.of) for repeat in repeats] == [("one", "one")]


def test_rounds_that_fail_in_the_same_words_are_two_failures() -> None:
    rows, repeats = count_once(files_of(one=[line(EARLY), FAILED], two=[OTHER, FAILED]))
    assert len(rows) == 4
    assert repeats == ()


def test_two_failures_of_one_file_are_two_failures() -> None:
    rows, _ = count_once(files_of(one=[line(EARLY), FAILED, FAILED], two=[line(EARLY), FAILED]))
    assert sum(row.outcome == "failed" for row in rows) == 2


def test_a_reused_reading_is_no_repeat_of_the_run_it_reuses() -> None:
    reused = line(EARLY, status="skip_reuse")
    rows, repeats = count_once(files_of(one=[line(EARLY)], two=[reused]))
    assert len(rows) == 2
    assert repeats == ()
