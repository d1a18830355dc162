"""`schedctl audit` on files: what it says, and how it ends; also on the real records, where they are."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from scheduler.cli import main

SAMPLES = Path(__file__).parents[1] / "data"
EARLY, LATER = SAMPLES / "foreign-early.jsonl", SAMPLES / "foreign-later.jsonl"
PARTIAL = SAMPLES / "foreign-early.partial.jsonl"
#: the folder that holds future_seed/ and replay/
DATA = os.environ.get("ROUNDHOUSE_DATA")


class Audited:
    """`schedctl audit`, in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments: str | Path) -> int:
        status = main(["audit", *map(str, arguments)])
        self.out, self.err = self._capsys.readouterr()
        return status

    @property
    def told(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def audit(capsys: pytest.CaptureFixture[str]) -> Audited:
    return Audited(capsys)


def test_the_sum_comes_first_and_an_unmatched_claim_is_a_failure(audit: Audited) -> None:
    assert audit(EARLY) == 1
    assert audit.err == ""
    first, *rest = audit.out.splitlines()
    assert first.startswith("1 of 1 claim unmatched; 10 min of 15 min (63 %)")
    assert any("gate_l1" in line and "+31.25pp" in line and "+6.25pp" in line for line in rest)
    assert max(map(len, audit.out.splitlines())) <= 100


def test_a_partial_copy_changes_nothing_and_is_told(audit: Audited) -> None:
    audit(EARLY, "--json")
    alone = audit.told
    assert audit(PARTIAL, EARLY, "--json") == 1
    assert audit.told["repeats"] == [{"file": PARTIAL.name, "of": EARLY.name, "rows": 6}]
    for key in ("unmatched_claims", "duplicates", "no_ops", "failures", "known_seconds"):
        assert audit.told[key] == alone[key]


def test_matched_claims_of_the_later_form_are_no_failure(audit: Audited) -> None:
    assert audit(LATER, "--json") == 0
    told = audit.told
    assert told["unmatched_claims"] == []
    assert {(claim["seed"], round(claim["matched"], 2)) for claim in told["matched_claims"]} == {
        (0, -1.0),
        (1, 2.0),
    }
    assert told["single_seed_claims"] == []
    [duplicate] = told["duplicates"]
    assert (duplicate["line"], [each["line"] for each in duplicate["again"]]) == (8, [16])
    assert [(each["failure_class"], each["is_text_lost"]) for each in told["failures"]] == [("crash", True)]
    assert audit(LATER) == 0
    assert "1 of them gain nothing once matched (50 %)" in audit.out


def test_bad_lines_are_told_by_place_and_the_rest_is_audited(audit: Audited, tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    lines = LATER.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:3], "oops\n", *lines[3:]]) + '{"torn')
    assert audit(file) == 2
    assert audit.err.startswith("records.jsonl:4: is not JSON")
    assert f"records.jsonl:{len(lines) + 2}: the last line is torn" in audit.out
    assert "matched claims (2)" in audit.out
    file.write_text("".join(lines) + '{"torn')
    assert audit(file) == 0


def test_unmatched_claims_count_before_bad_lines(audit: Audited, tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text("oops\n" + EARLY.read_text())
    assert audit(file) == 1
    assert audit.err.startswith("records.jsonl:1: ")


def test_what_holds_no_records_is_unreadable_and_the_rest_is_audited(audit: Audited, tmp_path: Path) -> None:
    binary = tmp_path / "model.pth"
    binary.write_bytes(b"\0\1\2")
    assert audit(binary, tmp_path, LATER) == 2
    assert "model.pth: is not text" in audit.err
    assert "is a folder; name the files in it" in audit.err
    assert "matched claims (2)" in audit.out


def test_a_file_that_is_not_there_is_named(audit: Audited, tmp_path: Path) -> None:
    assert audit(tmp_path / "none.jsonl") == 3
    assert "there is no file" in audit.err


def test_files_of_one_name_are_told_apart(audit: Audited, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(EARLY, tmp_path / folder / "records.jsonl")
    assert audit(tmp_path / "a" / "records.jsonl", tmp_path / "b" / "records.jsonl", "--json") == 1
    assert [file["file"] for file in audit.told["files"]] == [
        str(tmp_path / folder / "records.jsonl") for folder in ("a", "b")
    ]
    assert len(audit.told["unmatched_claims"]) == 1


@pytest.mark.skipif(DATA is None, reason="ROUNDHOUSE_DATA names no folder of real records")
def test_every_unmatched_claim_of_rounds_20_to_25_is_named(audit: Audited) -> None:
    assert DATA is not None
    files = sorted((Path(DATA) / "future_seed").glob("*.jsonl"))
    assert len(files) == 7
    assert audit(*files, "--json") == 1
    told = audit.told
    assert told["problems"] == []
    assert len(told["unmatched_claims"]) == 19
    assert told["matched_claims"] == []
    claimed = {(claim["task"], round(claim["claimed"], 2)) for claim in told["unmatched_claims"]}
    assert claimed >= {
        ("sudoku4_refine", 33.29),
        ("mbpp_fix", 13.61),
        ("protein_ss_refine", 13.31),
        ("protein_ss", 8.02),
        ("punc_restore", 3.45),
    }
    failures = {(each["failure_class"], each["task"], each["stage"]) for each in told["failures"]}
    assert failures == {
        ("oom", "protein_ss_expand", "medium"),
        ("oom", "punc_restore_rt", "quick"),
        ("data", "mbpp", "quick"),
        ("data", "protein_contact", "quick"),
        ("bad_args", "protein_ss", "quick"),
    }
    assert sum(each["stage"] == "medium" for each in told["failures"]) == 2
    assert [repeat["rows"] for repeat in told["repeats"]] == [9]
    assert len(told["no_ops"]) == 3
    assert [round(each["value"], 2) for each in told["constant_metrics"]] == [98.83, 4.77]
    assert audit(*files) == 1
    for figure in ("+33.29pp", "+13.61pp", "+13.31pp", "+8.02pp", "+3.45pp"):
        assert figure in audit.out
