"""Records of an older version are read by this one: what a round decided then, it has decided still."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scheduler.report.load import load_round
from scheduler.report.summary import summary_text
from scheduler.rounds.paths import RoundPaths

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize("version", ["v1"])
def test_a_round_recorded_by_an_older_version_is_summarised_alike(version: str, tmp_path: Path) -> None:
    paths = RoundPaths(tmp_path)
    shutil.copy(DATA / f"records-{version}.jsonl", paths.records)
    current = load_round(paths)
    assert current.finished is not None
    assert {name: fact.verdict for name, fact in current.tasks["sums"].verdicts.items()} == {
        "good": "SUGGESTIVE",
        "bad": "INCONCLUSIVE",
    }
    assert "good                     d_acc=+10.00pp acc=60.00%" in summary_text(current)
