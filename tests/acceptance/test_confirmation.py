"""A real round under the default policy: candidates are frozen in a record, and fresh seeds judge them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from real_home import Home, wait_until

#: prints an accuracy of 1000 examples, with a luck of its own for every seed, config and budget
PROGRAM = """
import random, sys, time
gain, seed, steps, pause = float(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
luck = random.Random(f"{gain} {seed} {steps}").gauss(0.0, 0.01)
time.sleep(pause)
print(f"Step {steps} | val_acc: {0.5 + gain + 0.0001 * steps + luck:.4f}", flush=True)
"""

SPEC = """
round = "{name}"
objective = {{ metric = "acc", unit = "pp", min_effect = 2.0 }}
[stages.quick]
max_steps = 100
time_budget_sec = 60
[stages.medium]
max_steps = 400
time_budget_sec = 120
[[tasks]]
name = "sums"
trainer = "command"
[tasks.args]
inputs = ["noisy.py"]
argv = ["python3", "noisy.py", "{{gain}}", "{{seed}}", "{{steps}}", "{pause}"]
metrics = {{ acc = 'val_acc: (?P<value>[0-9.]+)' }}
[tasks.baseline]
gain = 0.0
[tasks.variants.great]
gain = 0.15
[tasks.variants.nothing]
gain = 0.0001
[tasks.variants.terrible]
gain = -0.3
"""


@pytest.fixture
def noisy(home: Home) -> Home:
    (home.paths.root / "noisy.py").write_text(PROGRAM)
    return home


def spec(name: str, pause: float = 0.0) -> str:
    return SPEC.format(name=name, pause=pause)


def verdicts(home: Home, name: str) -> dict[str, dict[str, Any]]:
    return {record["config"]: record for record in home.events(name, "verdict_reached")}


def is_fresh(record: dict[str, Any]) -> bool:
    return bool(record["stage"] == "medium" and record["slot"] > 0)


def test_a_winner_is_confirmed_on_seeds_that_ran_after_the_set_was_frozen(noisy: Home) -> None:
    noisy.start()
    noisy.drop("night", spec("night"))
    noisy.wait_for("night")
    judged = verdicts(noisy, "night")
    assert {config: record["verdict"] for config, record in judged.items()} == {
        "great": "WINNER",
        "nothing": "INCONCLUSIVE",
        "terrible": "INCONCLUSIVE",
    }
    great = judged["great"]
    assert great["raw_gain"] == pytest.approx(15.0, abs=4.0)
    assert great["interval"][0] <= great["shrunk_gain"] <= great["interval"][1]
    records = noisy.records("night")
    (frozen,) = [record for record in records if record["event"] == "confirm_set_frozen"]
    assert frozen["candidates"] == ["great"]
    fresh = [r for r in records if r["event"] in ("run_intended", "run_finished") and is_fresh(r)]
    assert fresh
    assert min(record["seq"] for record in fresh) > frozen["seq"]
    assert {record["config"] for record in fresh} == {"baseline", "great"}
    assert '"source":"night/sums"' in noisy.paths.ledger.read_text()
    log = noisy.log()
    assert "CONFIRM task=sums candidates=great looks=3 alpha=0.1 round=night" in log
    assert re.search(r"LOOK task=sums look=1 great d_acc=\+1\d\.\d\dpp adjusted_p=", log)
    assert re.search(r"VERDICT task=sums cfg=great WINNER .* raw=\+1\d\.\d\dpp shrunk=\+1\d\.\d\dpp", log)


def test_kill_9_while_a_candidate_is_confirmed_changes_no_verdict(noisy: Home) -> None:
    noisy.start()
    noisy.drop("whole", spec("whole"))
    noisy.wait_for("whole")
    noisy.stop()
    noisy.start()
    noisy.drop("night", spec("night", pause=1.0))
    started = wait_until(
        lambda: [r for r in noisy.events("night", "run_intended") if is_fresh(r)], "a fresh seed"
    )
    noisy.kill()
    noisy.start()
    noisy.wait_for("night")
    ends = [record for record in noisy.events("night", "run_finished") if is_fresh(record)]
    again = [record for record in ends if record["config"] == started[-1]["config"]]
    assert {record["status"] for record in again} <= {"ok", "lost"}
    for config, record in verdicts(noisy, "whole").items():
        assert verdicts(noisy, "night")[config]["verdict"] == record["verdict"]


def test_a_screened_round_is_explained_before_it_runs(noisy: Home, tmp_path: Path) -> None:
    file = tmp_path / "night.toml"
    file.write_text(spec("night"))
    told: subprocess.CompletedProcess[str] = noisy.schedctl("explain", str(file))
    assert told.returncode == 0, told.stderr
    assert "(candidate 1)" in told.stdout
    assert re.search(r"to run: \d+ to \d+ runs", told.stdout)
