"""Whatever the daemon made beside its records, `schedctl rebuild` makes again, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_home import Home

#: what a round's folder holds that is not made from its records
ORIGINALS = ("records.jsonl", "spec.toml", "round.json", "runs")

CONFIRMED = """
round = "confirmed"
objective = { metric = "acc", unit = "pp", min_effect = 2.0 }
[policy]
name = "screen_confirm"
looks = 1
[stages.quick]
max_steps = 10
time_budget_sec = 60
[stages.medium]
max_steps = 40
time_budget_sec = 120
[[tasks]]
name = "noise"
trainer = "command"
[tasks.args]
argv = ["sh", "-c", "echo acc=0.{gain}{steps}"]
metrics = { acc = 'acc=(?P<value>[0-9.]+)' }
[tasks.baseline]
gain = 4
[tasks.variants.great]
gain = 6
[tasks.variants.terrible]
gain = 1
"""

PARKED = """
round = "parked"
[policy]
name = "threshold"
d_acc = 0.3
[stages.quick]
max_steps = 1
time_budget_sec = 60
[[tasks]]
name = "broken"
trainer = "command"
[tasks.args]
argv = ["sh", "-c", "echo FileNotFoundError; exit {x}"]
metrics = { acc = 'acc=(?P<value>[0-9.]+)' }
[tasks.baseline]
x = 1
[tasks.variants.other]
x = 2
"""


def derived(home: Home) -> dict[Path, bytes]:
    """Every file that can be made again."""
    results = home.paths.results
    of_rounds = (
        path
        for folder in results.iterdir()
        if (folder / "records.jsonl").exists()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in ORIGINALS
    )
    return {path: path.read_bytes() for path in (*of_rounds, home.paths.index)}


@pytest.mark.fault(
    "summaries, pages or the index are lost or damaged",
    moment="after a round has finished, was parked or was cancelled",
    outcome="`schedctl rebuild` makes the same bytes again from the records",
)
def test_rebuild_makes_every_derived_file_again_as_the_daemon_made_it(home: Home) -> None:
    home.start()
    home.drop("confirmed", CONFIRMED)
    home.drop("parked", PARKED)
    home.wait_for("confirmed")
    home.wait_for("parked")
    home.drop("cancelled", home.spec("cancelled", seconds=3600.0))
    home.wait_for("cancelled", "run_started")
    assert home.schedctl("cancel", "cancelled").returncode == 0
    home.wait_for("cancelled")
    assert home.stop() == 0

    outcomes = {name: home.events(name, "round_finished")[0]["outcome"] for name in ("parked", "cancelled")}
    assert outcomes == {"parked": "parked", "cancelled": "cancelled"}
    assert home.events("confirmed", "look_taken")

    made = derived(home)
    names = {path.name for path in made}
    assert names >= {"summary.txt", "summary.md", "report.html", "ended.json", "index.html"}
    assert len(made) > 4 * 3
    for path in made:
        path.unlink()
    rebuilt = home.schedctl("rebuild")
    assert rebuilt.returncode == 0, rebuilt.stderr
    again = derived(home)
    assert again.keys() == made.keys()
    assert [str(path) for path in made if again[path] != made[path]] == []
