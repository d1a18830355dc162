"""Which numbers a program's output and files give."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest

from trainers.command import Progress
from trainers.command._readings import BuiltInLines, MetricsFile, PatternLines, Reading
from trainers.contract import BadArgumentsError

LINES = [
    ("Step 120 | val_loss: 3.4512 | lr 0.001", 120, {"loss": 3.4512, "val_loss": 3.4512}),
    (
        "Step 50: Val Loss: 5.1234, Val Acc: 0.2, Time: 3.2s",
        50,
        {"loss": 5.1234, "acc": 0.2, "val_loss": 5.1234, "val_acc": 0.2},
    ),
    ("Final Val Loss:   3.4512", None, {"loss": 3.4512, "val_loss": 3.4512}),
    ("val_bpb:  0.997900", None, {"val_bpb": 0.9979}),
    ("METRIC loss=0.25", None, {"loss": 0.25}),
    ("METRIC acc=0.5 loss=1e-3 step=7", 7, {"acc": 0.5, "loss": 0.001}),
    ('[tune-metric]: {"loss": 3.5, "step": 40}', 40, {"loss": 3.5}),
    ('2026-01-01 INFO [tune-metric]: {"eval": {"acc": 0.5}}', None, {"eval.acc": 0.5}),
    ("step:1750/1750 val_loss:3.2768 train_time:12345ms", 1750, {"loss": 3.2768, "val_loss": 3.2768}),
    ("iter 2000: train loss 1.7, val loss: 1.8", 2000, {"loss": 1.8, "val_loss": 1.8}),
    ("validation/accuracy = 41.5%", None, {"acc": 0.415, "val_accuracy": 0.415}),
    ("Validation Loss: 2.", None, {"loss": 2.0, "val_loss": 2.0}),
    ("eval_loss=-1.5e+2", None, {"loss": -150.0, "eval_loss": -150.0}),
]

NO_READINGS = [
    "Step 120 | loss: 3.4512 | lr: 0.001",
    "training loss: 2.0",
    "val_loss: n/a",
    "val_loss:",
    "interval: 3",
    "retrieval: 0.5",
    "evaluating 3 batches: 17",
    "[tune-metric]: {broken",
    "METRIC",
    "",
]


@pytest.mark.parametrize(("line", "step", "values"), LINES, ids=[line for line, *_ in LINES])
def test_a_line_in_the_wild_is_read(line: str, step: int | None, values: dict[str, float]) -> None:
    (reading,) = BuiltInLines().line(line)
    assert reading.step == step
    assert reading.values == pytest.approx(values)


@pytest.mark.parametrize("line", NO_READINGS)
def test_what_is_no_validation_metric_is_never_taken_for_one(line: str) -> None:
    assert list(BuiltInLines().line(line)) == []


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-inf"])
def test_a_number_that_is_none_is_read_as_such(text: str) -> None:
    (reading,) = BuiltInLines().line(f"val_loss: {text}")
    assert not math.isfinite(reading.values["loss"])


def test_patterns_take_the_last_match_of_a_line_and_their_step() -> None:
    source = PatternLines({"loss": r"(?:it (?P<step>\d+) )?L=(?P<value>\S+)", "acc": r"A=(?P<value>[\d.]+)"})
    (reading,) = source.line("it 3 L=2.5 it 4 L=1.5 A=0.5")
    assert reading == Reading(values={"loss": 1.5, "acc": 0.5}, step=4)
    assert list(source.line("nothing here")) == []
    assert list(source.line("L=abc")) == []


def test_a_jsonl_file_is_read_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    source = MetricsFile(path, {"loss": "eval.loss"})
    assert list(source.poll()) == []
    with path.open("a") as stream:
        stream.write('{"step": 1, "eval": {"loss": 3.0}}\n{"step": 2, "eval": {"lo')
        stream.flush()
        assert list(source.poll()) == [Reading(values={"loss": 3.0}, step=1)]
        stream.write('ss": 2.0}}\n{"train": 9}\n{"step": 3, "eval": {"loss": "nan"}}')
    assert list(source.poll()) == [Reading(values={"loss": 2.0}, step=2)]
    (last,) = source.finish()
    assert last.step == 3
    assert math.isnan(last.values["loss"])


def test_what_lay_in_the_file_before_is_another_runs(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"loss": 1.0}\n')
    appended = MetricsFile(path, {})
    with path.open("a") as stream:
        stream.write('{"loss": 2.0}\n')
    assert [r.values["loss"] for r in appended.finish()] == [2.0]
    replaced = MetricsFile(path, {})
    path.unlink()
    path.write_text('{"loss": 3.0}\n')
    assert [r.values["loss"] for r in replaced.finish()] == [3.0]
    untouched = MetricsFile(path, {})
    assert list(untouched.finish()) == []


@pytest.mark.parametrize("name", ["metrics.json", "metrics.jsonl"])
def test_an_old_file_is_never_a_result(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text('{"loss": 1.0}\n')
    source = MetricsFile(path, {})
    assert [*source.poll(), *source.finish()] == []


def test_a_json_file_is_read_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text('{"loss": 9.0}')
    os.utime(path, ns=(1, 1))
    source = MetricsFile(path, {"loss": "results.0.loss", "acc": "results.0.acc"})
    path.write_text('{"results": [{"loss": 1.5, "acc": NaN}]}')
    assert list(source.poll()) == []
    (reading,) = source.finish()
    assert reading.values["loss"] == 1.5
    assert math.isnan(reading.values["acc"])


def test_a_file_without_names_is_read_under_the_usual_ones(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    source = MetricsFile(path, {})
    path.write_text('{"val_loss": 1.5, "global_step": 12, "note": "x", "done": true}')
    (reading,) = source.finish()
    assert reading.step == 12
    assert reading.values == {"loss": 1.5, "val_loss": 1.5}


def evaluations(*readings: Reading) -> list[tuple[int, float | None, float | None, dict[str, Any]]]:
    progress = Progress()
    found = [progress.evaluation(reading) for reading in readings]
    found += progress.completed()
    return [(e.step, e.loss, e.acc, dict(e.extra)) for e in found]


def test_a_reading_without_a_step_is_counted_or_stands_at_the_last_one() -> None:
    assert [e[0] for e in evaluations(Reading(values={"loss": 2}), Reading(values={"loss": 1}))] == [1, 2]
    stepped = Reading(values={"loss": 2}, step=40)
    assert [e[0] for e in evaluations(stepped, Reading(values={"loss": 1}))] == [40, 40]


def test_the_last_evaluation_has_the_last_value_of_every_metric() -> None:
    found = evaluations(
        Reading(values={"loss": 3.0}, step=1),
        Reading(values={"acc": 0.5, "bpb": 1.0}, step=1),
        Reading(values={"loss": 2.0}, step=2),
    )
    assert found == [
        (1, 3.0, None, {}),
        (1, None, 0.5, {"bpb": 1.0}),
        (2, 2.0, None, {}),
        (2, 2.0, 0.5, {"bpb": 1.0}),
    ]


def test_one_metric_under_two_names_is_refused() -> None:
    with pytest.raises(BadArgumentsError, match="as val_loss and as eval_loss: say with `metrics`"):
        evaluations(*BuiltInLines().line("val_loss: 1"), *BuiltInLines().line("eval_loss: 2"))
