"""A real daemon runs the round on real text at a small size, where the file of one task is missing."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from real_home import Home
from text_fixtures import FOLDER, TASKS

EXAMPLE = Path(__file__).parents[2] / "queue" / "examples" / "real_text.toml"

#: what the fixtures are too small for, or what would have to be downloaded
LEFT_OUT = ("eval_data", "weights", "tokenizer", "n_train", "n_eval", "precision")


def reduced(task: dict[str, Any], data: Path) -> dict[str, Any]:
    """The first variant of a task of the example, alone, on one seed, from scratch and on a local file."""
    args = {name: value for name, value in task["args"].items() if name not in LEFT_OUT}
    _, small = TASKS[args["task"]]
    args |= {"prompt_tokens_min": 1, **small, "data": str(data), "n_layer": 2, "lr": 8e-3}
    variant = next(iter(task["variants"].values()))
    return {**task, "seeds": [0], "args": args, "baseline": {**variant, "layer_start": 1}, "variants": {}}


@pytest.mark.fault(
    "the file of a task's data is missing",
    moment="when the round is queued",
    outcome="the task is parked as `data`, with the file's name and what to do; the others go on",
)
def test_a_missing_file_is_told_by_name_and_what_to_do_and_the_other_tasks_go_on(home: Home) -> None:
    pytest.importorskip("torch")
    whole = tomllib.loads(EXAMPLE.read_text())
    tasks = {task["name"]: task for task in whole["tasks"]}
    data = home.paths.root / "data"
    data.mkdir()
    shutil.copy(FOLDER / "arc.jsonl", data)
    whole["stages"] = {"quick": {"max_steps": 3, "time_budget_sec": 60, "eval_every": 3}}
    whole["tasks"] = [
        reduced(tasks["hotpot"], Path("data/hotpot.jsonl")),
        reduced(tasks["arc_options_first"], Path("data/arc.jsonl")),
    ]
    home.start()
    home.drop("real_text", tomlkit.dumps(whole))
    home.wait_for("real_text")
    ends = home.events("real_text", "run_finished")
    assert [(end["task"], end["config"], end["status"]) for end in ends] == [
        ("hotpot", "baseline", "failed"),
        ("arc_options_first", "baseline", "ok"),
    ]
    assert ends[0]["failure_class"] == "data"
    assert "there is no file data/hotpot.jsonl" in ends[0]["error"]
    assert "submit the round under another id" in ends[0]["error"]
    assert ends[1]["n_eval"] == 4
