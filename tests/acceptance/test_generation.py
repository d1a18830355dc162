"""The example of tuning a model's sampling, at a small size: gates, stages, documents and a regrade."""

from __future__ import annotations

import json
import re
from pathlib import Path

from real_home import Home, wait_until

EXAMPLE = Path(__file__).parents[2] / "queue" / "examples" / "generation_tuning.toml"


def reduced(text: str) -> str:
    """The example with a base model of a few steps, two iterations, two stages, and few samples.

    Such a model never ends by itself: only the iteration with stop sequences keeps its gate.
    """
    text = re.sub(r"gates = \[.*\]", 'gates = ["limit_rate < 100 %"]', text)
    text = re.sub(r"\[tasks\.variants\.(cooler|narrower|penalty)\]\n(?:\w.*\n)*", "", text)
    text = re.sub(r"\[judge\.targets\.learnings\.(cooler|narrower|penalty)\]\n\w.*\n", "", text)
    text = re.sub(r"\[stages\.long\].*?\n\n", "\n", text, flags=re.DOTALL)
    text = re.sub(r"stop = .*", 'stop = [" ", "a", "e", "i", "o"]', text)
    text = text.replace("max_new_tokens = 64", "max_new_tokens = 8\nbase_steps = 3")
    return text.replace("n_eval = 30", "n_eval = 5").replace("n_eval = 100", "n_eval = 8")


def test_iterations_run_are_reported_and_can_be_graded_again(home: Home) -> None:
    home.start()
    home.drop_file("generation_tuning.toml", reduced(EXAMPLE.read_text()).encode())
    home.wait_for("generation_tuning")
    runs = home.events("generation_tuning", "run_finished")
    assert [(run["config"], run["stage"], run["n_eval"]) for run in runs] == [
        ("baseline", "quick", 5),
        ("stops", "quick", 5),
        ("stops", "medium", 8),
    ]
    judged = home.paths.round("generation_tuning").judged / "tales"
    page = judged / "targets.html"
    # a report of a round under way knows of one stage; the page comes after the other documents
    wait_until(lambda: page.exists() and "At other stages" in page.read_text(), "the last report")
    told = json.loads((judged / "targets.json").read_text())
    assert [(each["config"], each["verdict"]) for each in told["iterations"]] == [
        ("baseline", "FAIL"),
        ("stops", "PASS"),
    ]
    assert told["learnings"][0]["reality"].startswith("limit_rate")
    assert [(each["stage"], each["config"]) for each in told["other_stages"]] == [("medium", "stops")]
    assert [row["runs"] for row in told["ledger"]["rows"]] == [1, 2]
    assert "Flagged samples of stops" in page.read_text()
    regraded = home.schedctl("regrade", "generation_tuning", "--json")
    assert regraded.returncode == 0, regraded.stderr
    for iteration in json.loads(regraded.stdout)["iterations"]:
        known = [
            metric for metric in iteration["metrics"].values() if metric["recorded"] and metric["regraded"]
        ]
        assert len(known) > 10
        assert all(metric["recorded"] == metric["regraded"] for metric in known)
