"""Any pruner of Optuna advises on a run, and our rules prune in any study of Optuna."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import orjson
import pytest

from policies import policy_names
from policies._advice import Answer, Question, RunSeen, TrialOutcome
from policies._optuna import Adviser, make_pruner, pruner_names, pruner_problem
from policies._stop_rules import PER_EXAMPLE_PRUNERS, Advised
from policies.evidence import Direction
from policies.pruners import BrokenPruner, HopelessPruner, NoopPruner, tell_look

#: options without which a pruner cannot be made
NEEDED: dict[str, dict[str, Any]] = {
    "PatientPruner": {"wrapped_pruner": "MedianPruner", "patience": 1},
    "PercentilePruner": {"percentile": 25.0},
    "ThresholdPruner": {"lower": 0.1},
}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def seen(
    name: str,
    values: Sequence[float],
    outcome: TrialOutcome = "complete",
    steps: Sequence[int] = (10, 20, 30, 40),
) -> RunSeen:
    points = tuple(zip(steps, values, strict=False))
    value = values[-1] if outcome == "complete" else None
    return RunSeen(attempt_id=name, outcome=outcome, value=value, points=points, run_dir=name)


def question(*runs: RunSeen, direction: Direction = "maximize", **rules: dict[str, Any]) -> Question:
    return Question(
        study="night/sums.quick.p",
        direction=direction,
        rules=tuple(Advised(pruner=name, options=options) for name, options in rules.items()),
        round="night",
        runs=runs,
    )


def no_scores(run_dir: str, step: int) -> None:
    return None


def is_over(asked: Question, adviser: Adviser | None = None) -> bool:
    (answer,) = (adviser or Adviser(no_scores)).answers(asked)
    assert answer.error is None
    return answer.reason is not None


GOOD = [seen(f"run{number}", (0.3, 0.5, 0.6, 0.7 + number / 100)) for number in range(3)]
MEDIAN = {"n_startup_trials": 2}


# pruners of Optuna


def test_a_run_below_the_median_of_the_others_is_stopped_and_one_above_it_goes_on() -> None:
    assert is_over(question(*GOOD, seen("now", (0.2,), "running"), MedianPruner=MEDIAN))
    assert not is_over(question(*GOOD, seen("now", (0.4,), "running"), MedianPruner=MEDIAN))


def test_a_lower_value_is_better_where_the_round_minimizes() -> None:
    asked = {"direction": "minimize", "MedianPruner": MEDIAN}
    assert is_over(question(*GOOD, seen("now", (0.4,), "running"), **asked))
    assert not is_over(question(*GOOD, seen("now", (0.2,), "running"), **asked))


def test_the_reason_names_the_step_and_what_it_was_compared_with() -> None:
    asked = question(*GOOD, seen("now", (0.2,), "running"), MedianPruner=MEDIAN)
    assert Adviser(no_scores).answers(asked) == (
        Answer(rule="optuna:MedianPruner", reason="at step 10, beside 3 finished runs"),
    )


def test_failed_and_stopped_runs_are_no_finished_ones() -> None:
    others = [seen("a", (0.9,), "failed"), seen("b", (0.9,), "pruned"), GOOD[0]]
    assert not is_over(question(*others, seen("now", (0.2,), "running"), MedianPruner=MEDIAN))


def test_an_adviser_that_is_asked_at_every_evaluation_answers_as_one_that_is_asked_once() -> None:
    patient = {"wrapped_pruner": {"name": "MedianPruner", **MEDIAN}, "patience": 1}
    halving = {"min_resource": 10, "reduction_factor": 2}
    values = (0.2, 0.3, 0.25, 0.2)
    for rules in ({"PatientPruner": patient}, {"SuccessiveHalvingPruner": halving}, {"MedianPruner": MEDIAN}):
        asked_often = Adviser(no_scores)
        runs: list[RunSeen] = []
        for run in [*GOOD, seen("now", values, "running")]:
            for count in range(1, 5):
                now = seen(run.attempt_id, [value for _, value in run.points][:count], "running")
                asked = question(*runs, now, **rules)
                assert is_over(asked, asked_often) == is_over(asked), (rules, run.attempt_id, count)
            runs.append(run)


def test_runs_that_are_not_those_of_before_are_replayed_anew() -> None:
    adviser = Adviser(no_scores)
    now = seen("now", (0.2,), "running")
    assert is_over(question(*GOOD, now, MedianPruner=MEDIAN), adviser)
    worse = [seen(f"other{number}", (0.1, 0.1, 0.1, 0.1)) for number in range(3)]
    assert not is_over(question(*worse, now, MedianPruner=MEDIAN), adviser)


@pytest.mark.parametrize("name", pruner_names())
def test_every_pruner_of_the_installed_optuna_can_be_named(name: str) -> None:
    rule = Advised(pruner=name, options=NEEDED.get(name, {}))
    assert pruner_problem(rule) is None
    assert isinstance(make_pruner(rule), optuna.pruners.BasePruner)
    asked = question(*GOOD, seen("now", (0.2, 0.2), "running"), **{name: NEEDED.get(name, {})})
    (answer,) = Adviser(lambda run_dir, step: np.ones(4, np.float32)).answers(asked)
    assert answer.error is None


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (Advised(pruner="MedianPrunner"), "has no pruner 'MedianPrunner'; did you mean 'MedianPruner'?"),
        (Advised(pruner="BasePruner"), "has no pruner 'BasePruner'"),
        (Advised(pruner="Zebra"), "known: HyperbandPruner, MedianPruner"),
        (Advised(pruner="MedianPruner", options={"warmup": 3}), "unexpected keyword argument 'warmup'"),
        (Advised(pruner="PercentilePruner"), "percentile"),
        (Advised(pruner="PatientPruner", options={"wrapped_pruner": 3, "patience": 1}), "name a pruner"),
        (
            Advised(pruner="PatientPruner", options={"wrapped_pruner": "WilcoxonPruner", "patience": 1}),
            "compares examples, and cannot be wrapped",
        ),
    ],
)
def test_what_optuna_has_not_or_does_not_take_is_told(rule: Advised, problem: str) -> None:
    assert problem in (pruner_problem(rule) or "")


def test_a_pruner_that_fails_says_why_and_stops_nothing() -> None:
    asked = question(seen("now", (0.2,), "running"), MedianPrunner={}, NopPruner={})
    wrong, fine = Adviser(no_scores).answers(asked)
    assert wrong.reason is None
    assert "ValueError: Optuna" in (wrong.error or "")
    assert fine == Answer(rule="optuna:NopPruner")


def test_a_question_travels_as_json() -> None:
    asked = question(*GOOD, seen("now", (0.2,), "running"), MedianPruner=MEDIAN)
    assert Question.from_json(orjson.loads(orjson.dumps(asked))) == asked
    assert (asked.attempt_id, asked.step) == ("now", 10)


# by example


class Shelf:
    """Scores by run and step."""

    def __init__(self, **scores: float) -> None:
        random = np.random.default_rng(0)
        hard = random.random(200) * 0.2
        self.scores = {
            name: (mean + hard + random.normal(0, 0.02, 200)).astype(np.float32)
            for name, mean in scores.items()
        }
        self.asked: list[tuple[str, int]] = []

    def read(self, run_dir: str, step: int) -> Any:
        self.asked.append((run_dir, step))
        return self.scores.get(run_dir)


WILCOXON = {"p_threshold": 0.05}


def test_the_wilcoxon_pruner_compares_the_examples_of_the_same_step_with_the_best_run() -> None:
    shelf = Shelf(run0=0.9, run2=0.5, now=0.45)
    asked = question(*GOOD, seen("now", (0.4, 0.45), "running"), WilcoxonPruner=WILCOXON)
    assert is_over(asked, Adviser(shelf.read))
    assert shelf.asked == [("now", 20), ("run2", 20)]


@pytest.mark.parametrize("now", [0.55, 0.5])
def test_a_run_that_is_not_worse_by_example_goes_on(now: float) -> None:
    shelf = Shelf(run2=0.5, now=now)
    asked = question(*GOOD, seen("now", (0.4, 0.45), "running"), WilcoxonPruner={"p_threshold": 0.01})
    assert not is_over(asked, Adviser(shelf.read))


def test_a_higher_score_of_an_example_is_better_even_where_the_objective_is_a_loss() -> None:
    runs = [seen("best", (0.9, 0.5)), seen("other", (0.9, 0.8))]
    for now, over in ((0.3, True), (0.7, False)):
        shelf = Shelf(best=0.5, other=0.1, now=now)
        asked = question(*runs, seen("now", (0.9,), "running"), direction="minimize", WilcoxonPruner=WILCOXON)
        assert is_over(asked, Adviser(shelf.read)) is over


def test_without_scores_of_both_runs_nothing_is_said() -> None:
    asked = question(*GOOD, seen("now", (0.4,), "running"), WilcoxonPruner=WILCOXON)
    assert not is_over(asked, Adviser(Shelf(now=0.1).read))
    assert not is_over(question(seen("now", (0.4,), "running"), WilcoxonPruner={}), Adviser(Shelf().read))
    short = Shelf(run2=0.5, now=0.1)
    short.scores["now"] = short.scores["now"][:10]
    assert not is_over(asked, Adviser(short.read))


def test_the_pruners_that_compare_examples_are_pruners_of_optuna() -> None:
    assert set(pruner_names()) >= PER_EXAMPLE_PRUNERS


# our rules in a study


def study_of(pruner: optuna.pruners.BasePruner, *curves: Sequence[float], **options: Any) -> optuna.Study:
    """A study in which trial i reports the values of the i-th curve at steps 10, 20, ..."""
    study = optuna.create_study(
        study_name="ours", pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0), **options
    )

    def objective(trial: optuna.Trial) -> float:
        values = curves[trial.number]
        for index, value in enumerate(values, start=1):
            trial.report(value, 10 * index)
            if trial.should_prune():
                raise optuna.TrialPruned
        return values[-1]

    study.optimize(objective, n_trials=len(curves), catch=(ValueError,))
    return study


def ends(study: optuna.Study) -> list[tuple[str, int]]:
    """State and last step of each trial."""
    return [(trial.state.name, trial.last_step or 0) for trial in study.trials]


BASE = (0.9, 0.7, 0.6, 0.5)


def test_a_trial_that_equals_the_baseline_is_pruned_at_its_first_look() -> None:
    study = study_of(NoopPruner(), BASE, BASE, (0.9, 0.7, 0.6, 0.4), (math.nextafter(0.9, 1), 0.7, 0.6, 0.5))
    assert ends(study) == [("COMPLETE", 40), ("PRUNED", 10), ("PRUNED", 10), ("COMPLETE", 40)]
    late = study_of(NoopPruner(looks=3), BASE, BASE, (0.9, 0.7, 0.5, 0.4))
    assert ends(late) == [("COMPLETE", 40), ("PRUNED", 30), ("COMPLETE", 40)]


def test_scores_that_are_told_decide_over_equal_values() -> None:
    def objective(trial: optuna.Trial) -> float:
        scores = [(1.0, 0.0), (1.0, 0.0), (0.0, 1.0)][trial.number]
        tell_look(trial, 10, 0.5, loss=1.25, scores=scores)
        if trial.should_prune():
            raise optuna.TrialPruned
        return 0.5

    study = optuna.create_study(direction="maximize", pruner=NoopPruner())
    study.optimize(objective, n_trials=3)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "COMPLETE"]


def test_a_trial_with_a_loss_three_times_the_baselines_is_pruned_and_the_baseline_never() -> None:
    study = study_of(BrokenPruner(), BASE, (2.6, 2.6, 2.6, 2.6), (2.8, 0.7, 0.6, 0.5))
    assert ends(study) == [("COMPLETE", 40), ("PRUNED", 20), ("PRUNED", 10)]


def test_a_value_that_is_no_number_is_pruned_without_a_baseline() -> None:
    study = study_of(BrokenPruner(baseline=7), BASE, (0.9, math.nan, 0.6, 0.5))
    assert ends(study) == [("COMPLETE", 40), ("PRUNED", 20)]


def test_a_trial_that_guesses_is_pruned_where_the_baseline_does_not() -> None:
    pruner = BrokenPruner(chance=0.25, n_eval=1000)
    study = study_of(pruner, (0.3, 0.5, 0.6), (0.25, 0.26, 0.25), (0.26, 0.4, 0.6), direction="maximize")
    assert ends(study) == [("COMPLETE", 30), ("PRUNED", 20), ("COMPLETE", 30)]


def test_another_trial_can_be_the_baseline() -> None:
    study = study_of(BrokenPruner(baseline=1), (9.0, 9.0), BASE, (9.0, 9.0))
    assert ends(study) == [("COMPLETE", 20), ("COMPLETE", 40), ("PRUNED", 10)]


def test_a_hopeless_trial_is_pruned_from_half_of_its_steps_and_the_audit_tells_what_that_costs() -> None:
    lost, crossing, near = (0.95, 0.9, 0.9, 0.9), (0.95, 0.9, 0.9, 0.4), (0.95, 0.75, 0.6, 0.5)
    strict = HopelessPruner(max_steps=40, delta_se=0.05, audit_share=0.0)
    study = study_of(strict, BASE, lost, crossing, near)
    assert ends(study) == [("COMPLETE", 40), ("PRUNED", 20), ("PRUNED", 20), ("COMPLETE", 40)]
    assert strict.audit(study) == (0, 0)
    lenient = HopelessPruner(max_steps=40, delta_se=0.05, audit_share=1.0)
    study = study_of(lenient, BASE, lost, crossing, near)
    assert ends(study) == [("COMPLETE", 40)] * 4
    assert lenient.audit(study) == (2, 1)


def test_the_study_of_the_documentation_can_be_made() -> None:
    text = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
    block = re.search(r"^```python pruners\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    made: dict[str, Any] = {}
    exec(block[1], made)
    assert isinstance(made["study"].pruner, BrokenPruner)


def test_the_pruners_are_no_policy() -> None:
    assert "pruners" not in policy_names()
