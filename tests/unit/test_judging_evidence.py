"""Does a sample hold only what may be compared, each run once?"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from policies.evidence import Objective, UnmatchedError
from scheduler.judging.evidence import (
    Count,
    JudgedRun,
    Point,
    Sample,
    UnfitRunsError,
    at_step,
    common_steps,
    counts_in,
    finite_metrics,
    paired,
    sample_of,
)

ACC = Objective(metric="acc")


def run(config: str, seed: int | None = 1, acc: float = 0.5, **more: Any) -> JudgedRun:
    return JudgedRun(config=config, seed=seed, metrics={"acc": acc}, **more)


def sample(*runs: JudgedRun, **more: Any) -> Sample:
    options = {"source": "night/sums", "objective": ACC, "baseline": "baseline", **more}
    return sample_of(runs, **options)


def test_runs_are_parted_into_baseline_and_experiments_in_their_order() -> None:
    made = sample(run("b", 2), run("baseline", 1), run("a", 1), run("b", 1))
    assert [r.name for r in made.baseline] == ["baseline s1"]
    assert {config: [r.seed for r in runs] for config, runs in made.experiments.items()} == {
        "b": [2, 1],
        "a": [1],
    }
    assert [r.name for r in made.runs] == ["baseline s1", "b s2", "b s1", "a s1"]


def test_runs_of_two_protocols_are_never_compared() -> None:
    with pytest.raises(UnmatchedError, match="protocols p, q cannot be compared"):
        sample(run("baseline", protocol="p"), run("a", protocol="q"))


def test_stages_are_not_mixed_and_one_may_be_named() -> None:
    runs = (run("baseline", stage="quick"), run("a", stage="quick"), run("a", stage="medium"))
    with pytest.raises(UnfitRunsError, match="runs of several stages \\(quick, medium\\)"):
        sample(*runs)
    assert len(sample(*runs, stage="quick").runs) == 2


def test_a_medium_run_without_a_medium_baseline_is_refused() -> None:
    runs = (run("baseline", stage="quick"), run("a", stage="medium"))
    with pytest.raises(UnfitRunsError, match="no run of the baseline 'baseline'; configs here: a"):
        sample(*runs, stage="medium")


def test_a_repeated_seed_counts_once() -> None:
    made = sample(run("baseline"), run("a", 1, 0.6), run("a", 1, 0.6))
    assert len(made.experiments["a"]) == 1
    assert made.notes == ("a s1 repeats an identical run and counts once.",)


def test_two_different_runs_of_one_seed_are_refused_with_their_places() -> None:
    with pytest.raises(UnfitRunsError, match=r"two different runs of a s1 \(one\.csv and two\.csv\)"):
        sample(run("baseline"), run("a", 1, 0.6, origin="one.csv"), run("a", 1, 0.7, origin="two.csv"))


def test_runs_without_a_seed_are_kept_apart_and_told() -> None:
    made = sample(run("baseline"), run("a", None, 0.6), run("a", None, 0.6))
    assert len(made.experiments["a"]) == 2
    assert made.notes == ("2 runs have no known seed and are taken as different seeds.",)
    assert paired(made, "a") == ()


def test_runs_on_another_prompt_set_are_pilots() -> None:
    runs = [run("baseline", s, prompt_set="v2") for s in (1, 2)]
    made = sample(*runs, run("a", 1, prompt_set="v2"), run("a", 2, prompt_set="v1"))
    assert [r.name for r in made.pilots] == ["a s2"]
    assert [r.seed for r in made.experiments["a"]] == [1]
    assert made.remarks == ("Pilots on another prompt set, not pooled: a s2 on v1.",)


def test_as_many_runs_on_each_prompt_set_need_a_name() -> None:
    runs = (run("baseline", 1, prompt_set="v1"), run("baseline", 2, prompt_set="v2"))
    with pytest.raises(UnfitRunsError, match="as many runs on each prompt set \\(v1, v2\\)"):
        sample(*runs)
    assert len(sample(*runs, prompt_set="v1").pilots) == 1


def test_pairs_are_of_one_seed_and_have_both_values() -> None:
    made = sample(
        run("baseline", 1),
        run("baseline", 2),
        run("a", 2, 0.7),
        run("a", 3),
        replace(run("a", 1), metrics={}),
    )
    assert [(p.seed, p.baseline.seed, p.experiment.metrics["acc"]) for p in paired(made, "a")] == [
        (2, 2, 0.7)
    ]


def test_a_run_that_diverged_is_told_and_not_dropped_in_silence() -> None:
    made = sample(run("baseline"), run("a", 1), replace(run("a", 2), metrics={"other": 1.0}))
    assert made.values(made.experiments["a"]) == (0.5,)
    assert made.notes == ("No finite acc for a s2; they count for nothing.",)


def test_a_metric_that_no_run_has_is_told_with_those_there_are() -> None:
    made = sample(run("baseline"), run("a"), objective=Objective(metric="accuracy"))
    assert made.notes == ("No run has the metric accuracy; metrics here: acc.",)


def test_steps_are_common_where_every_run_told_the_metric() -> None:
    curves = ((1, 2, 3), (2, 3, 4), (2, 3))
    runs = [
        run("a", seed, curve=tuple(Point(step=s, metrics={"loss": float(s)}) for s in steps))
        for seed, steps in enumerate(curves)
    ]
    assert common_steps(runs, "loss") == (2, 3)
    assert common_steps(runs, "acc") == ()
    assert at_step(runs[1], 3).metrics == {"loss": 3.0}
    with pytest.raises(KeyError):
        at_step(runs[1], 1)


def test_flags_texts_and_what_is_not_finite_are_no_metrics() -> None:
    assert finite_metrics({"a": 1, "b": True, "c": "2", "d": math.nan, "e": math.inf, "f": None}) == {
        "a": 1.0
    }


def test_counts_are_read_from_successes_and_n() -> None:
    assert counts_in({"runaway_successes": 3.0, "runaway_n": 39.0, "other_successes": 2.0}) == {
        "runaway": Count(successes=3, n=39)
    }
    with pytest.raises(UnfitRunsError, match="4 successes of 3 is no count"):
        Count(successes=4, n=3)
