"""A task that comes back night after night: its baseline runs once, and each night knows the ones before."""

from __future__ import annotations

from typing import Any

import pytest
from real_home import Home

#: prints an accuracy of 1000 examples, with a luck of its own for every seed, config and budget
PROGRAM = """
import random, sys
gain, seed, steps = float(sys.argv[1]), sys.argv[2], int(sys.argv[3])
luck = random.Random(f"{gain} {seed} {steps}").gauss(0.0, 0.01)
print(f"Step {steps} | val_acc: {0.5 + gain + 0.0001 * steps + luck:.4f}", flush=True)
"""

SPEC = """
round = "{name}"
objective = {{ metric = "acc", unit = "pp", min_effect = 2.0 }}
[policy]
name = "race"
[stages.quick]
max_steps = 100
time_budget_sec = 60
[stages.medium]
max_steps = 300
time_budget_sec = 120
[[tasks]]
name = "sums"
trainer = "command"
[tasks.args]
inputs = ["noisy.py"]
argv = ["python3", "noisy.py", "{{gain}}", "{{seed}}", "{{steps}}"]
metrics = {{ acc = 'val_acc: (?P<value>[0-9.]+)' }}
[tasks.baseline]
gain = 0.0
[tasks.variants.great]
gain = {great}
[tasks.variants.nothing]
gain = {nothing}
"""

NIGHTS = {
    "first": {"great": 0.15, "nothing": 0.0001},
    "second": {"great": 0.17, "nothing": 0.0002},
    "third": {"great": 0.19, "nothing": 0.0003},
}


@pytest.fixture
def nights(home: Home) -> Home:
    """A home that has searched one task three times, its daemon killed after each."""
    (home.paths.root / "noisy.py").write_text(PROGRAM)
    for name, gains in NIGHTS.items():
        home.start()
        home.drop(name, SPEC.format(name=name, **gains))
        home.wait_for(name)
        home.kill()
    return home


def baselines(records: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(r["stage"], r["slot"]) for r in records if r["config"] == "baseline"]


def test_later_nights_run_no_baseline_and_know_what_was_found(nights: Home) -> None:
    expected = [("quick", 0), ("quick", 8), ("quick", 9), *(("medium", slot) for slot in (1, 2, 3, 4))]
    counted = 0.0
    for number, name in enumerate(NIGHTS):
        ended = nights.events(name, "run_finished")
        assert baselines(ended) == expected
        reused = [r for r in ended if r["config"] == "baseline" and r["cached_from"]]
        assert len(reused) == (0 if number == 0 else len(expected))
        verdicts = {r["config"]: r["verdict"] for r in nights.events(name, "verdict_reached")}
        assert verdicts["great"] == "WINNER"
        assert verdicts["nothing"] not in ("WINNER", "SUGGESTIVE")
        (begun,) = nights.events(name, "task_begun")
        counters = begun["ledger"]["counters"]
        assert counters["winners"] == number
        assert counters["medium_runs"] >= counted + (0 if number == 0 else 1)
        counted = counters["medium_runs"]
        assert (begun["ledger"]["own"]["df"] > 0) == (number > 0 and _has_repeats(nights, number))
    assert "CACHE task=sums stage=medium cfg=baseline seed=" in nights.log()
    shown = nights.schedctl("ledger", "show").stdout
    assert "races: 3 winners" in shown
    assert shown.count("; level then 0.") == 3
    assert "(3 made by first, not run again)" in nights.schedctl("show", "third").stdout


def _has_repeats(nights: Home, number: int) -> bool:
    """Whether a candidate of an earlier night had two seeds or more, which alone tell how noisy they are."""
    for name in list(NIGHTS)[:number]:
        looks = nights.events(name, "look_taken")
        seeds = [r["variant_seeds"] for look in looks for r in look["readings"].values()]
        if max(seeds, default=0) > 1:
            return True
    return False
