"""Are files that other scripts wrote read as their writers meant them, or refused with a reason?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from policies.evidence import Objective
from scheduler.judging.alignment import aligned, with_best
from scheduler.judging.evidence import Count, JudgedRun, Point, UnfitRunsError, sample_of
from scheduler.judging.foreign import facts_of_folder, rows_of_csv, rows_of_json, rows_of_jsonl
from scheduler.judging.foreign_runs import runs_of
from scheduler.report.foreign_files import read_foreign
from scheduler.rounds.errors import UnknownIdError, UsageError


def jsonl(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def curve(seed: int, steps: tuple[int, ...], slope: float = 0.01, config: str = "a") -> JudgedRun:
    points = tuple(Point(step=s, metrics={"loss": 1.0 - slope * s}) for s in steps)
    return JudgedRun(config=config, seed=seed, curve=points, metrics=points[-1].metrics if points else {})


def folder(root: Path, name: str, *rows: dict[str, Any], config: Any = None) -> None:
    (root / name).mkdir(parents=True)
    (root / name / "metrics.jsonl").write_text(jsonl(*rows))
    if config is not None:
        (root / name / "config.json").write_text(json.dumps(config))


def test_a_csv_row_is_a_run() -> None:
    text = "condition,seed,acc,loss,notes\nbaseline,1,0.5,2.0,first\nwide,1,0.6,,\n"
    runs = runs_of(rows_of_csv(text, "r.csv")).runs
    assert [(r.name, dict(r.metrics)) for r in runs] == [
        ("baseline s1", {"acc": 0.5, "loss": 2.0}),
        ("wide s1", {"acc": 0.6}),
    ]


def test_csv_rows_with_steps_make_curves_and_end_at_the_last_one() -> None:
    text = "config,seed,step,tokens,loss\na,7,20,2000,1.5\na,7,10,1000,2.0\na,11,10,1000,2.1\n"
    first, second = runs_of(rows_of_csv(text, "r.csv")).runs
    assert [(p.step, p.tokens, p.metrics["loss"]) for p in first.curve] == [(10, 1000, 2.0), (20, 2000, 1.5)]
    assert first.metrics == {"loss": 1.5}
    assert second.seed == 11


def test_records_of_ours_are_read_and_failures_left_out_with_a_note() -> None:
    text = jsonl(
        {"event": "round_accepted", "v": 1, "seq": 1},
        {
            "event": "run_finished",
            "task": "t",
            "stage": "quick",
            "config": "a",
            "seed": 0,
            "status": "ok",
            "acc": 0.5,
        },
        {"task": "t", "stage": "probe", "config": "bsz", "status": "ok", "bsz": 8},
        {"task": "t", "stage": "quick", "config": "b", "seed": 0, "status": "oom", "error": "x"},
    )
    found = runs_of(rows_of_jsonl(text, "records.jsonl"))
    assert [(r.name, r.stage, dict(r.metrics)) for r in found.runs] == [("a s0", "quick", {"acc": 0.5})]
    assert found.notes == ("1 rows with status 'oom' are left out.",)


def test_nested_metrics_counts_cost_and_parameters_are_read() -> None:
    row = {
        "config": "it2",
        "metrics": {"loss": 1.0},
        "counts": {"runaway_rate": [3, 39]},
        "cost": {"usd": 0.5},
        "parameters": {"lr": 0.1},
        "wall_time": 12,
        "correct_successes": 4,
        "correct_n": 8,
    }
    (found,) = runs_of(rows_of_jsonl(jsonl(row), "r.jsonl")).runs
    assert found.counts == {"runaway_rate": Count(successes=3, n=39), "correct": Count(successes=4, n=8)}
    assert (found.cost, found.parameters, found.wall_seconds) == ({"usd": 0.5}, {"lr": 0.1}, 12)


def test_tokens_among_the_metrics_of_a_step_are_tokens_all_the_same() -> None:
    rows = [{"config": "a", "seed": 1, "step": 2, "loss": 1.5, "extra": {"tokens": 640.0, "gate": 0.5}}]
    (found,) = runs_of(rows_of_jsonl(jsonl(*rows), "r.jsonl")).runs
    assert found.curve == (Point(step=2, tokens=640, metrics={"gate": 0.5, "loss": 1.5}),)


def test_columns_with_a_dot_are_parameters_and_costs() -> None:
    text = "config,acc,parameters.lr,cost.usd\na,0.5,0.1,2\n"
    (found,) = runs_of(rows_of_csv(text, "r.csv")).runs
    assert (found.parameters, found.cost, dict(found.metrics)) == ({"lr": 0.1}, {"usd": 2.0}, {"acc": 0.5})


def test_a_json_file_holds_a_list_of_runs() -> None:
    text = json.dumps({"runs": [{"config": "a", "seed": 1, "acc": 0.5}]})
    assert [r.name for r in runs_of(rows_of_json(text, "r.json")).runs] == ["a s1"]


def test_rows_of_several_tasks_need_a_name() -> None:
    rows = [{"task": t, "config": "a", "seed": 1, "acc": 0.5} for t in ("x", "y")]
    with pytest.raises(UnfitRunsError, match="rows of several tasks \\(x, y\\) are not compared; name one"):
        runs_of(rows_of_jsonl(jsonl(*rows), "r.jsonl"))
    assert len(runs_of(rows_of_jsonl(jsonl(*rows), "r.jsonl"), task="y").runs) == 1
    with pytest.raises(UnfitRunsError, match="no row of task 'z'; tasks here: x, y"):
        runs_of(rows_of_jsonl(jsonl(*rows), "r.jsonl"), task="z")


def test_the_same_run_told_twice_is_no_second_run() -> None:
    rows = [{"config": "a", "seed": 1, "acc": 0.5}] * 2
    runs = runs_of(rows_of_jsonl(jsonl(*rows), "r.jsonl")).runs
    assert len(runs) == 2
    made = sample_of(runs, source="r", objective=Objective(), baseline=None)
    assert len(made.runs) == 1


@pytest.mark.parametrize(
    ("names", "config", "seed"),
    [
        (("baseline_1M_seed42", "checkpoints"), "baseline_1M", 42),
        (("wide-s7", "runs"), "wide", 7),
        (("sums.quick.wide.s3.a1", "runs"), "sums.quick.wide", 3),
        (("seed13", "wide"), "wide", 13),
        (("wide", "runs"), "wide", None),
        (("models2", "runs"), "models2", None),
    ],
)
def test_a_folder_is_named_for_its_config_and_seed(
    names: tuple[str, ...], config: str, seed: int | None
) -> None:
    found = facts_of_folder(names, None)
    assert (found["config"], found.get("seed")) == (config, seed)


def test_folders_are_runs_and_a_config_file_says_more_than_a_name(tmp_path: Path) -> None:
    rows = [{"step": 10, "loss": 2.0}, {"step": 10, "tokens": 640}, {"step": 20, "loss": 1.0, "wall_time": 9}]
    folder(tmp_path, "base/seed7", *rows)
    folder(tmp_path, "wide_seed7", *rows, config={"condition": "wide", "seed": 11, "lr": 0.1})
    first, second = read_foreign([str(tmp_path)]).runs
    assert (first.name, second.name) == ("base s7", "wide s11")
    assert second.parameters == {"lr": 0.1}
    assert [(p.step, p.tokens, dict(p.metrics)) for p in first.curve] == [
        (10, 640, {"loss": 2.0}),
        (20, None, {"loss": 1.0}),
    ]
    assert first.wall_seconds == 9


def test_a_pattern_finds_folders_and_files(tmp_path: Path) -> None:
    for seed in (1, 2):
        folder(tmp_path, f"a_seed{seed}", {"step": 1, "loss": 1.0})
    folder(tmp_path, "b_seed1", {"step": 1, "loss": 1.0})
    assert [r.name for r in read_foreign([str(tmp_path / "a_*")]).runs] == ["a s1", "a s2"]
    found = read_foreign([str(tmp_path / "**" / "metrics.jsonl")])
    assert [r.name for r in found.runs] == ["a s1", "a s2", "b s1"]


def test_a_file_that_two_patterns_name_is_read_once(tmp_path: Path) -> None:
    folder(tmp_path, "a_seed1", {"step": 1, "loss": 1.0})
    assert len(read_foreign([str(tmp_path), str(tmp_path / "a_*")]).runs) == 1


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("r.csv", "seed,acc\n1,0.5\n", "does not tell its config; name it in a column config, condition"),
        ("r.csv", "config,acc\na,0.5,7\n", "line 2: has other columns than the header"),
        ("r.csv", "config,seed,acc\na,one,0.5\n", "seed must be a whole number (found 'one')"),
        ("r.jsonl", '{"config": "a"\n{"config": "b"}\n', "line 1: not JSON"),
        ("r.jsonl", "[1]\n{}\n", "line 1: must be a JSON object"),
        ("r.jsonl", '{"config": "a", "step": 1.5}\n', "step must be a whole number (found 1.5)"),
        ("r.jsonl", '{"config": "a", "counts": {"x": 3}}\n', 'counts must be like {"runaway": [3, 39]}'),
        ("r.json", '{"a": 1}', "must be a list of objects"),
        ("r.jsonl", "", "no finished run in"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UnfitRunsError) as caught:
        read_foreign([str(tmp_path / name)])
    assert words in str(caught.value)
    assert name in str(caught.value)


def test_a_line_still_being_written_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text('{"config": "a", "seed": 1, "acc": 0.5}\n{"config": "a", "se')
    assert len(read_foreign([str(tmp_path / "r.jsonl")]).runs) == 1


def test_what_is_not_there_or_of_another_kind_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnknownIdError, match="is no round of this home, no file and no folder"):
        read_foreign([str(tmp_path / "nothing")])
    with pytest.raises(UnknownIdError, match="matches no file"):
        read_foreign([str(tmp_path / "*.csv")])
    with pytest.raises(UsageError, match=r"no metrics.jsonl in .* or below"):
        read_foreign([str(tmp_path)])
    (tmp_path / "r.txt").write_text("x")
    with pytest.raises(UsageError, match=r"must be called \*.csv"):
        read_foreign([str(tmp_path / "r.txt")])
    (tmp_path / "r.csv").write_bytes(b"config\n\xff\n")
    with pytest.raises(UsageError, match="is not UTF-8"):
        read_foreign([str(tmp_path / "r.csv")])


def test_runs_of_different_length_are_read_at_the_last_common_step() -> None:
    runs = (curve(1, (100, 200, 300)), curve(2, (100, 200)), curve(3, (100, 200, 250)))
    found = aligned(runs, "loss")
    assert {run.metrics["loss"] for run in found.runs} == {1.0 - 0.01 * 200}
    assert [run.curve[-1].step for run in found.runs] == [200] * 3
    assert found.notes == ("All runs are read at step 200, though a s1, a s3 went on.",)


def test_a_step_may_be_named_and_must_be_common() -> None:
    runs = (curve(1, (100, 200)), curve(2, (100, 200)))
    assert aligned(runs, "loss", step=100).runs[0].metrics == {"loss": 0.0}
    with pytest.raises(UnfitRunsError, match="there is no step 150 at which all 2 runs told loss"):
        aligned(runs, "loss", step=150)
    with pytest.raises(UnfitRunsError, match="there is no step at which all 2 runs"):
        aligned((curve(1, (100,)), curve(2, (200,))), "loss")


def test_a_final_summary_of_a_longer_run_does_not_survive_the_cut() -> None:
    longer = replace(curve(1, (100, 200)), metrics={"loss": -1.0, "bleu": 30.0})
    found = aligned((longer, curve(2, (100,))), "loss")
    assert dict(found.runs[0].metrics) == {"loss": 0.0}


def test_a_best_loss_is_read_off_the_curve_only_where_it_is_asked_for() -> None:
    run = curve(1, (100, 200), slope=-0.01)
    (made,) = with_best([run], "loss_best", "minimize")
    assert made.metrics["loss_best"] == 2.0
    (same,) = with_best([run], "loss", "minimize")
    assert same == run
