"""In-run stops of a spec are checked when it is dropped, those of Optuna too."""

from __future__ import annotations

import subprocess
import sys

import orjson
import pytest

SPEC = """
[policy]
name = "{policy}"
{options}
[stages.quick]
time_budget_sec = 60
[[tasks]]
name = "sums"
trainer = "command"
[tasks.args]
argv = ["true"]
metrics_file = "metrics.json"
"""


def problems_of(options: str, policy: str = "threshold") -> list[str]:
    """What the intake's child says about a spec with those options of the policy."""
    spec = SPEC.format(policy=policy, options=options).encode()
    checked = subprocess.run(
        [sys.executable, "-P", "-m", "scheduler.rounds", "2"],
        input=orjson.dumps([["night.toml", len(spec)]]) + b"\n" + spec,
        capture_output=True,
        check=True,
    )
    problems: list[str] = orjson.loads(checked.stdout)["problems"]
    return problems


@pytest.mark.parametrize("policy", ["threshold", "screen_confirm"])
def test_every_policy_takes_stops(policy: str) -> None:
    options = """
stops = ["noop", "hopeless", "optuna:PercentilePruner", "optuna:WilcoxonPruner"]
stop_options.hopeless = { sd = 4.0 }
stop_options."optuna:PercentilePruner" = { percentile = 25.0, n_startup_trials = 3 }
"""
    assert problems_of(options, policy) == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ('stops = ["nop"]', "policy.stops: no rule is called 'nop'; did you mean 'noop'?"),
        ("stop_options.noop = { looks = 0 }", "policy.stop_options: noop.looks: must be a whole number"),
        (
            'stops = ["optuna:MedianPrunner"]',
            "has no pruner 'MedianPrunner'; did you mean 'MedianPruner'?",
        ),
        ('stops = ["optuna:PercentilePruner"]', "policy.stops: optuna:PercentilePruner: "),
        (
            'stops = ["optuna:PercentilePruner"]\n'
            'stop_options."optuna:PercentilePruner" = { percentile = 200.0 }',
            "Percentile must be between 0 and 100 inclusive",
        ),
        ('stop = ["noop"]', "policy.stop: unknown option; did you mean 'stops'?"),
    ],
)
def test_a_stop_that_cannot_be_is_refused_with_its_place(options: str, problem: str) -> None:
    (told,) = problems_of(options)
    assert problem in told
    assert told.startswith("policy.stop")
