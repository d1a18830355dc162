"""A real child answers about runs, and neither its death nor its errors reach the daemon."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from real_home import wait_until

from policies._advice import Question, RunSeen, TrialOutcome
from policies._stop_rules import Advised
from scheduler.decide.inputs import StopAdvised
from scheduler.effects.advice import MOST_FAILURES, Advice
from scheduler.rounds.paths import HomePaths


def adviser_children() -> list[psutil.Process]:
    """Children of ours that answer questions."""
    return [c for c in psutil.Process().children() if "scheduler.effects.adviser" in c.cmdline()]


class Desk:
    """Advice for a home, and what was heard of it."""

    def __init__(self, home: Path, **options: Any) -> None:
        self.paths = HomePaths(home)
        self.heard: queue.SimpleQueue[StopAdvised] = queue.SimpleQueue()
        self.lines: list[str] = []
        self.advice = Advice(
            self.paths,
            environment={"PATH": os.environ["PATH"]},
            post=self.heard.put,
            report=self.lines.append,
            **options,
        )

    def child(self) -> psutil.Process:
        (child,) = adviser_children()
        return child


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.advice.close()


def run(name: str, *values: float, outcome: TrialOutcome = "complete") -> RunSeen:
    points = tuple((10 * index, value) for index, value in enumerate(values, start=1))
    return RunSeen(attempt_id=name, outcome=outcome, value=values[-1], points=points, run_dir=name)


def question(name: str, *values: float, best: float = 0.6, **rules: dict[str, Any]) -> Question:
    return Question(
        study="night/sums.quick.p",
        direction="maximize",
        rules=tuple(Advised(pruner=pruner, options=options) for pruner, options in rules.items()),
        round="night",
        runs=(run("a", 0.5, 0.6), run("b", 0.5, best), run(name, *values, outcome="running")),
    )


MEDIAN: dict[str, Any] = {"MedianPruner": {"n_startup_trials": 1}}


def test_a_pruner_is_asked_in_a_niced_child_and_what_it_says_is_posted(desk: Desk) -> None:
    desk.advice.ask(question("now", 0.1, **MEDIAN))
    assert desk.heard.get(timeout=60) == StopAdvised(
        attempt_id="now", rule="optuna:MedianPruner", reason="at step 10, beside 2 finished runs", step=10
    )
    child = desk.child()
    assert child.nice() == 10
    desk.advice.ask(question("fine", 0.9, **MEDIAN))
    desk.advice.ask(question("other", 0.1, 0.1, **MEDIAN))
    assert desk.heard.get(timeout=60).attempt_id == "other"
    assert desk.child().pid == child.pid
    assert desk.lines == []


def test_scores_by_example_are_read_by_the_child(desk: Desk) -> None:
    random = np.random.default_rng(0)
    for name, mean in (("a", 0.2), ("b", 0.9), ("now", 0.5)):
        path = desk.paths.round("night").run(name).scores_at(10)
        path.parent.mkdir(parents=True)
        np.save(path, (mean + random.normal(0, 0.01, 50)).astype(np.float32))
    desk.advice.ask(question("now", 0.5, best=0.9, WilcoxonPruner={}))
    assert desk.heard.get(timeout=60).rule == "optuna:WilcoxonPruner"
    assert desk.lines == []


def test_a_rule_that_fails_is_reported_once(desk: Desk) -> None:
    for step in (1, 2):
        desk.advice.ask(question(f"now{step}", 0.1, PercentilePruner={}, **MEDIAN))
        assert desk.heard.get(timeout=60).rule == "optuna:MedianPruner"
    (line,) = desk.lines
    assert line.startswith("ADVICE rule=optuna:PercentilePruner failed: TypeError: ")


def test_a_child_that_dies_is_replaced_at_the_next_question(desk: Desk) -> None:
    desk.advice.ask(question("now", 0.1, **MEDIAN))
    desk.heard.get(timeout=60)
    first = desk.child()
    first.kill()
    wait_until(lambda: not first.is_running() or first.status() == psutil.STATUS_ZOMBIE)
    desk.advice.ask(question("lost", 0.1, **MEDIAN))
    wait_until(lambda: desk.lines)
    desk.advice.ask(question("again", 0.1, **MEDIAN))
    assert desk.heard.get(timeout=60).attempt_id == "again"
    assert desk.lines == ["ADVICE the adviser on in-run stops gave no answer"]


def test_nobody_is_asked_any_more_when_no_answer_ever_comes(tmp_path: Path) -> None:
    desk = Desk(tmp_path, answer_seconds=0.0)
    for number in range(MOST_FAILURES + 2):
        desk.advice.ask(question(f"now{number}", 0.1, **MEDIAN))
    wait_until(lambda: len(desk.lines) == MOST_FAILURES)
    assert desk.lines[-1].endswith("; nobody is asked until the daemon starts again")
    desk.advice.ask(question("late", 0.1, **MEDIAN))
    desk.advice.close()
    assert desk.heard.empty()
    assert len(desk.lines) == MOST_FAILURES


def test_closing_ends_the_child_whatever_it_does(desk: Desk) -> None:
    desk.advice.ask(question("now", 0.1, **MEDIAN))
    child = wait_until(lambda: next(iter(adviser_children()), None))
    desk.advice.close()
    assert not child.is_running()
    desk.advice.ask(question("late", 0.1, **MEDIAN))
    assert desk.heard.empty() or desk.heard.get().attempt_id == "now"
