"""The campaign that ships runs through a real daemon, at a reduced size, and its report says what it may."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from real_home import Home, wait_until

from scheduler.cli import main

EXAMPLE = Path(__file__).parents[2] / "queue/examples/campaign.toml"
TINY = "d_model = 8\nn_layer = 1\nn_head = 1\nbase_steps = 2\nsamples = 2\nmax_tokens = 4\neval_samples = 1"


def reduced() -> str:
    """One condition beside the baseline, one seed, one stage of three steps."""
    text = EXAMPLE.read_text()
    text = re.sub(r"\[stages\.(quick|medium)\]\n(?:\w.*\n)+", "", text)
    text = re.sub(r"\[tasks\.variants\.(maxrl|maxrl_gtpo|maxrl_gtpo_hicra)\]\n(?:\w.*\n)+", "", text)
    text = text.replace("max_steps = 70", "max_steps = 3\nn_eval = 4")
    text = text.replace("seeds = [0, 1, 2]", "seeds = [1]")
    return text.replace("[tasks.baseline]", f"[tasks.args]\n{TINY}\n[tasks.baseline]")


def test_the_campaign_that_ships_ends_in_its_documents(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.start()
    home.drop("campaign.toml", reduced())
    home.wait_for("campaign")
    runs = home.events("campaign", "run_finished")
    assert [(run["config"], run["seed"]) for run in runs] == [("baseline", 1), ("maxrl_gtpo_sepa", 1)]
    root = home.paths.round("campaign").root
    for run in runs:
        lines = (root / "runs" / run["run_dir"] / "metrics.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        assert [row["step"] for row in rows] == [1, 2, 3]
        assert all("sepa_gate_open" in row["extra"] for row in rows)
    folder = root / "judged" / "addition"
    wait_until((folder / "campaign.html").exists, f"the documents of the campaign\n{home.output()}")
    told = json.loads((folder / "campaign.json").read_text())
    assert told["whole_seeds"] == [1]
    assert set(told["significance"]["recommendations"].values()) == {"insufficient_statistical_evidence"}
    assert told["order"]["declared"] == ["baseline", "maxrl_gtpo_sepa"]
    assert "<svg" in (folder / "campaign.html").read_text()
    folders = [str(path.parent) for path in root.glob("runs/*/metrics.jsonl")]
    how = ("--as", "campaign", "--baseline", "baseline", "--metric", "correct_rate")
    assert main(["--home", str(home.paths.root), "compare", *folders, *how]) == 0
    assert "insufficient" in capsys.readouterr().out
