"""Does `schedctl regrade` show old iterations by other definitions, and leave what was recorded alone?"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from real_home import Ask

STORED = Path(__file__).parents[1] / "data" / "generation"


def test_three_old_iterations_are_shown_by_both_definitions(ask: Ask) -> None:
    status, shown, _ = ask("regrade", STORED, "--metric", "runaway_rate")
    assert status == 0
    rows = [line for line in shown.splitlines() if line.startswith("| runaway")]
    assert [row.split("|")[2].split(",")[0].strip() for row in rows] == ["20.9 %", "53.8 %", "46.7 %"]
    assert [row.split("|")[3].split(",")[0].strip() for row in rows] == ["0.0 %"] * 3


def test_every_figure_is_told_to_a_program_with_counts_and_intervals(ask: Ask) -> None:
    status, told, _ = ask("regrade", STORED / "iteration_2", "--json")
    assert status == 0
    answer = json.loads(told)
    assert answer["definitions"] == "2"
    metric = answer["iterations"][0]["metrics"]["runaway_rate"]
    assert metric["recorded"]["count"] == [21, 39]
    assert metric["recorded"]["interval"] == pytest.approx([0.386, 0.684], abs=1e-3)
    assert metric["regraded"]["count"] == [0, 39]


def test_the_recorded_definition_gives_the_recorded_figures(ask: Ask) -> None:
    status, shown, _ = ask("regrade", STORED / "iteration_3", "--definitions", "1")
    assert status == 0
    assert "As they were recorded: 1 of 1 metrics." in shown


def test_nothing_is_written_and_what_cannot_be_graded_is_named(ask: Ask, tmp_path: Path) -> None:
    stored = tmp_path / "stored"
    shutil.copytree(STORED, stored)
    (stored / "iteration_1" / "samples.jsonl").write_text("{\n")
    (stored / "iteration_3" / "samples.jsonl").unlink()
    before = {path: path.read_bytes() for path in stored.rglob("*") if path.is_file()}
    status, shown, _ = ask("regrade", stored)
    assert status == 0
    assert shown.count("Not graded:") == 2
    assert "line 1" in shown
    assert {path: path.read_bytes() for path in stored.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--definitions", "9"), "no definitions '9'; it has 1, 2"),
        (("--trainer", "command"), "stores nothing"),
        (("--trainer", "generte"), "did you mean 'generate'?"),
    ],
)
def test_what_nobody_can_grade_by_is_refused(ask: Ask, arguments: tuple[str, str], named: str) -> None:
    status, _, problem = ask("regrade", STORED, *arguments)
    assert status == 2
    assert named in problem
