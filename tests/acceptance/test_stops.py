"""A real daemon stops runs that are not worth finishing, and stays light while Optuna is asked."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from real_home import Home, wait_until

TRAINER = """
from __future__ import annotations
import time
from collections.abc import Iterator
import numpy as np
from trainers.contract import Context, Evaluation, Fingerprint, TrainerConfig


class Config(TrainerConfig):
    #: what the scores rise to, 0..1
    top: float = 0.6
    #: times the loss
    scale: float = 1.0
    #: changes nothing
    label: str = ""
    #: its first seed waits in its midst until it is told to stop, however busy the machine is
    waits: bool = False


def fingerprint(config: Config) -> Fingerprint:
    return Fingerprint(digest="ramp")


def prepare(config: Config, context: Context) -> Config:
    return config


def train(config: Config, context: Context) -> Iterator[Evaluation]:
    random = np.random.default_rng(context.seed)
    ease = random.random(64)
    for step in range(1, context.max_steps + 1):
        time.sleep(0.02)
        while config.waits and context.seed == 0 and step == 45 and not context.is_stopping():
            time.sleep(0.02)
        if step % 10 == 0:
            scores = (config.top * step / context.max_steps * ease).astype(np.float32)
            acc = float(scores.mean())
            yield Evaluation(step=step, loss=config.scale * (2.0 - acc), acc=acc, scores=scores)
"""

SPEC = """
round = "night"
[policy]
name = "threshold"
{policy}
[stages.quick]
max_steps = 60
time_budget_sec = 120
[[tasks]]
name = "ramp"
trainer = "ramp"
seeds = {seeds}
"""

VARIANTS = {
    "copy": 'label = "another"\nwaits = true',
    "wild": "scale = 4.0\nwaits = true",
    "poor": "top = 0.2\nwaits = true",
    "fine": "top = 0.7",
}


def drop(home: Home, policy: str, *variants: str, seeds: str = "[0, 1]") -> None:
    (home.paths.root / "trainers").mkdir(exist_ok=True)
    (home.paths.root / "trainers" / "ramp.py").write_text(TRAINER)
    tables = "".join(f"[tasks.variants.{name}]\n{VARIANTS[name]}\n" for name in variants)
    home.drop("night", SPEC.format(policy=policy, seeds=seeds) + tables)


def ends(home: Home) -> dict[tuple[str, int], tuple[str, str | None, int]]:
    """How each run ended: status, rule, steps."""
    return {
        (end["config"], end["seed"]): (end["status"], end["stopped_by"], end["steps"])
        for end in home.events("night", "run_finished")
    }


def verdicts(home: Home) -> dict[str, tuple[str, str]]:
    found = home.events("night", "verdict_reached")
    return {verdict["config"]: (verdict["verdict"], verdict["reason"]) for verdict in found}


def test_a_no_op_and_a_broken_run_are_stopped_at_their_first_look(home: Home) -> None:
    home.start()
    drop(home, "", "copy", "wild", "fine")
    home.wait_for("night")
    found = ends(home)
    for config, rule in (("copy", "noop"), ("wild", "broken")):
        status, stopped_by, steps = found[config, 0]
        assert (status, stopped_by) == ("pruned", rule)
        assert steps < 60
        assert (config, 1) not in found, "a further seed would only repeat it"
    assert found["fine", 0] == ("ok", None, 60)
    assert {
        (stop["config"], stop["rule"], stop["step"]) for stop in home.events("night", "stop_decided")
    } == {
        ("copy", "noop", 10),
        ("wild", "broken", 10),
    }
    told = verdicts(home)
    assert told["copy"][0] == "NEUTRAL"
    assert "no-op" in told["copy"][1]
    assert told["wild"][0] == "LOSER"
    assert "STOP task=ramp stage=quick cfg=copy seed=0 rule=noop (" in home.log()
    summary = home.paths.round("night").summary_text
    wait_until(lambda: summary.exists() and "stops: 1 by broken, 1 by noop" in summary.read_text())


@pytest.mark.parametrize(
    ("pruner", "options"),
    [("MedianPruner", "n_startup_trials = 1"), ("WilcoxonPruner", "p_threshold = 0.05")],
)
def test_a_pruner_of_optuna_stops_a_run_and_the_daemon_never_loads_it(
    home: Home, pruner: str, options: str
) -> None:
    daemon = psutil.Process(home.start().pid)
    drop(
        home,
        f'stops = ["optuna:{pruner}"]\nstop_options."optuna:{pruner}" = {{ {options} }}',
        "fine",
        "poor",
        seeds="[0]",
    )
    home.wait_for("night", "verdict_reached", 2)
    # a child that has just ended has no command line
    told = [(child, child.as_dict(["cmdline"], ad_value=[])["cmdline"]) for child in daemon.children()]
    adviser = next(child for child, command in told if "scheduler.effects.adviser" in command)
    assert adviser.nice() == 10
    # Optuna is Python alone, but it loads numpy, which is not; so does a verdict, over more than one seed
    assert not any("/numpy/" in path for path in _mapped(daemon.pid))
    assert any("/numpy/" in path for path in _mapped(adviser.pid))
    assert daemon.memory_info().rss < 120 * 2**20
    home.wait_for("night")
    assert ends(home)["poor", 0][:2] == ("pruned", f"optuna:{pruner}")
    assert ends(home)["fine", 0][0] == "ok"
    assert verdicts(home)["poor"][0] == "INCONCLUSIVE"
    kept = home.paths.round("night").run(home.events("night", "run_finished")[0]["run_dir"]).scores_at(10)
    assert kept.exists() == (pruner == "WilcoxonPruner")
    assert home.stop() == 0
    assert not adviser.is_running()


def _mapped(pid: int) -> list[str]:
    """Files that the process has mapped."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return [line.split()[-1] for line in lines if "/" in line]
