"""The noise of a task is measured on demand by a real daemon, kept, shown, and used by the next round."""

from __future__ import annotations

import pytest
from real_home import Home

TRAIN = """
import random, sys
score, seed = float(sys.argv[1]), int(sys.argv[2])
print(f"Step 1 | val_acc: {score + random.Random(seed).gauss(0.0, 0.005):.4f}", flush=True)
"""

SPEC = """
round = "night"
[stages.quick]
time_budget_sec = 60
[stages.medium]
time_budget_sec = 61
n_eval = 5000
[[tasks]]
name = "sums"
trainer = "command"
[tasks.args]
{inputs}
argv = ["python3", "train.py", "{{score}}", "{{seed}}"]
metrics = {{ acc = 'val_acc: (?P<value>[0-9.]+)' }}
[tasks.baseline]
score = 0.5
[tasks.variants.good]
score = 0.6
[[tasks]]
name = "other"
trainer = "command"
[tasks.args]
argv = ["true", "{{x}}"]
metrics = {{ acc = 'val_acc: (?P<value>[0-9.]+)' }}
[tasks.baseline]
x = 1
[tasks.variants.good]
x = 2
"""


@pytest.fixture
def spec(home: Home) -> str:
    """A spec beside the home; its first task has noise, its second cannot be identified."""
    (home.paths.root / "train.py").write_text(TRAIN)
    path = home.paths.root / "night.toml"
    path.write_text(SPEC.format(inputs='inputs = ["train.py"]'))
    return str(path)


def test_noise_is_measured_once_shown_and_reused(home: Home, spec: str) -> None:
    asked = home.schedctl("noise", spec, "sums", "--seeds", "4")
    assert asked.returncode == 0, asked.stderr
    assert "4 runs of the baseline at medium" in asked.stdout
    assert "the daemon is down" in asked.stdout
    assert "waits in the queue" in home.schedctl("noise", spec, "sums", "--show").stdout
    home.start()
    shown = home.schedctl("noise", spec, "sums", "--seeds", "4", "--wait")
    assert shown.returncode == 0, shown.stderr
    assert "4 runs of the baseline, acc" in shown.stdout
    assert "a delta where nothing differs, 95 times in 100: within" in shown.stdout
    assert len(list(home.paths.results.glob("noise-sums-medium-*/records.jsonl"))) == 1
    again = home.schedctl("noise", spec, "sums", "--seeds", "4")
    assert again.stdout.startswith("sums at medium: 4 runs")
    assert "sums  medium  4" in home.schedctl("noise", "--show").stdout
    assert "by 4 runs of this baseline" in home.schedctl("explain", spec).stdout

    only_sums = (home.paths.root / "night.toml").read_text().partition('[[tasks]]\nname = "other"')[0]
    home.drop("night", only_sums)
    home.wait_for("night")
    started = [(r["stage"], r["config"]) for r in home.events("night", "run_started")]
    assert ("medium", "baseline") not in started
    assert ("medium", "good") in started
    # more seeds only run what is not stored yet
    assert home.schedctl("noise", spec, "sums", "--seeds", "6", "--wait").returncode == 0
    [second] = home.paths.results.glob("noise-sums-medium-*-2")
    assert len(home.events(second.name, "run_started")) <= 2
    assert "known of" not in home.schedctl("noise", "night", "sums", "--show").stdout


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 2, "name a spec file or a round"),
        (("{spec}",), 3, "which task? it has sums, other"),
        (("{spec}", "sum"), 3, "has no task 'sum'"),
        (("{spec}", "sums", "--stage", "long"), 3, "has no stage 'long'; it has quick, medium"),
        (("{spec}", "other"), 2, "Name a command's files in `inputs`"),
        (("nowhere", "sums"), 3, "nowhere"),
        (("{spec}", "sums", "--seeds", "1"), 2, "seeds"),
    ],
)
def test_what_cannot_be_measured_is_explained(
    home: Home, spec: str, arguments: tuple[str, ...], status: int, message: str
) -> None:
    asked = home.schedctl("noise", *(each.format(spec=spec) for each in arguments))
    assert (asked.returncode, message in asked.stderr) == (status, True), asked.stderr
    assert list(home.paths.queue.glob("*.json")) == []


def test_showing_what_nobody_measured_says_how_to(home: Home, spec: str) -> None:
    assert "no baseline is stored yet" in home.schedctl("noise", "--show").stdout
    assert "without --show it is measured" in home.schedctl("noise", spec, "sums", "--show").stdout
