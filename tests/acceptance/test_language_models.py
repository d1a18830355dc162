"""The rounds on language models that ship run through a real daemon, at a reduced size, to their ends."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from real_home import Home, wait_until

ROOT = Path(__file__).parents[2]
TINY = """[tasks.args]
characters = 70_000
held_out = 0.2
n_vocab = 300
context = 32
prompt_tokens = 8
d_model = 16
n_layer = 1
n_head = 2
n_eval = 8
"""


def example(name: str) -> str:
    return (ROOT / "queue" / "examples" / f"{name}.toml").read_text()


def tiny(name: str) -> str:
    """The round with a model of a few thousand parameters and few steps."""
    text = re.sub(r"max_steps = \d+", "max_steps = 20", example(name))
    text = re.sub(r"eval_every = \d+", "eval_every = 1", text).replace("prompt_every = 700", "")
    text = text.replace("[tasks.args]\n", "").replace("bsz = 8\n", f"bsz = 2\n{TINY}")
    # a table of the task may not come between its keys and its stages
    return re.sub(rf"({re.escape(TINY)})(policy = .*\n)", r"\2\1", text).replace("1_000_000", "1_000")


def told(home: Home, name: str, task: str, document: str) -> tuple[Path, dict[str, Any]]:
    """Where the documents of a finished round lie, and what one of them says."""
    home.wait_for(name)
    # the daemon's own may still be those of a moment ago
    made = home.schedctl("report", name)
    folder = home.paths.round(name).root / "judged" / task
    assert made.returncode == 0, made.stderr
    assert str(folder / document) in made.stdout
    return folder, json.loads((folder / document).read_text())


def test_the_band_that_ships_keeps_its_pilot_apart_and_shows_what_the_models_wrote(home: Home) -> None:
    home.start()
    home.drop("repeatability_band.toml", tiny("repeatability_band"))
    folder, band = told(home, "repeatability_band", "tales", "band.json")
    assert band["status"] == "complete"
    (config,) = band["configs"]
    assert [run["seed"] for run in config["runs"]] == [7, 11, 13]
    assert {run["prompt_set"] for run in config["runs"]} == {"v1"}
    assert {each["figure"] for each in config["prompt_suite"]} >= {"intelligible", "trigram_repetition"}
    html = (folder / "band.html").read_text()
    for heading in ("Runs", "Training", "Eval", "Insights"):
        assert f">{heading}</h2>" in html
    assert "s13, step 20, T 0.8: Once upon a time" in html
    _, pilot = told(home, "repeatability_band", "pilot", "band.json")
    assert [run["seed"] for run in pilot["configs"][0]["runs"]] == [3]
    assert pilot["status"] in ("smoke", "incomplete")


def test_variance_first_that_ships_runs_its_seeds_and_writes_its_verdicts(home: Home) -> None:
    home.start()
    home.drop("variance_first.toml", tiny("variance_first"))
    folder, answer = told(home, "variance_first", "tales", "variance_first.json")
    assert answer["baseline"]["seeds"] == [42, 137, 256, 512, 1024]
    for each in answer["experiments"]:
        assert len(each["seeds"]) in (3, 5)
        assert each["next_seeds"] == []
        written = (folder / f"experiment_{each['config']}_300-steps.md").read_text()
        assert f"## Verdict: {each['verdict']}" in written
    assert {path.name for path in folder.glob("*.html")} == {"variance_first.html"}
    verdicts = {each["config"]: each["verdict"] for each in home.events("variance_first", "verdict_reached")}
    assert verdicts.keys() == {"muon", "adamw_4e-3", "null"}


BROKEN = """
round = "broken"
objective = { metric = "loss", direction = "minimize", unit = "nat", min_effect = 0.01 }
[policy]
name = "repeat"
[stages.quick]
time_budget_sec = 60
[[tasks]]
name = "broken"
trainer = "command"
seeds = [7]
policy = { seeds = 1 }
[tasks.args]
argv = ["python3", "train_llm.py", "--train_tokens", "10240", "--seed", "{seed}",
  "--output_dir", "{run_dir}", "--fail_at", "10"]
inputs = ["train_llm.py"]
metrics_file = "metrics.jsonl"
checkpoints = ["checkpoint-*"]
"""


def test_a_script_gets_its_band_and_its_checkpoints_go_after_the_report(home: Home) -> None:
    shutil.copy(ROOT / "tests/data/train_llm.py", home.paths.root)
    text = re.sub(r"train_tokens = .*", "train_tokens = 10_240", example("command_band"))
    home.start()
    home.drop("broken.toml", BROKEN)
    home.drop("command_band.toml", text)
    _, band = told(home, "command_band", "band", "band.json")
    assert band["status"] == "smoke"
    assert len(band["configs"][0]["runs"]) == 3
    _, pilot = told(home, "command_band", "pilot", "band.json")
    assert pilot["status"] == "smoke"
    runs = home.paths.round("command_band").runs
    wait_until(home.paths.round("command_band").report.exists, "the page of the round")
    home.schedctl("tidy")
    wait_until(lambda: not list(runs.glob("*/checkpoint")), f"the checkpoints to go\n{home.output()}")
    assert list(runs.glob("band.*/command/metrics.jsonl"))
    home.wait_for("broken")
    assert {end["status"] for end in home.events("broken", "run_finished")} == {"failed"}
    for left in home.paths.round("broken").runs.glob("*/command"):
        assert {path.name for path in left.glob("checkpoint-*")} == {"checkpoint-5", "checkpoint-10"}


def test_a_script_is_judged_against_the_noise_of_its_own_baseline(home: Home) -> None:
    shutil.copy(ROOT / "tests/data/train_llm.py", home.paths.root)
    home.start()
    text = re.sub(r"train_tokens = .*", "train_tokens = 10_240", example("command_variance_first"))
    home.drop("command_variance_first.toml", text)
    folder, answer = told(home, "command_variance_first", "train_llm", "variance_first.json")
    assert {each["config"]: each["verdict"] for each in answer["experiments"]}.keys() == {"less", "much_less"}
    assert (folder / "experiment_much_less_1M.md").exists()


@pytest.mark.parametrize("name", ["repeatability_band", "variance_first"])
def test_the_rounds_are_explained_at_full_size(home: Home, name: str) -> None:
    explained = home.schedctl("explain", str(ROOT / "queue" / "examples" / f"{name}.toml"))
    assert explained.returncode == 0, explained.stderr
    assert "tales" in explained.stdout
