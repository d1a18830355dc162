"""Does litmus confirm only what was declared and shown, and name what is missing otherwise?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from policies.evidence import Objective
from scheduler.judging import judged, make_options
from scheduler.judging.evidence import Count, JudgedRun, Point, Sample, UnfitRunsError
from scheduler.judging.litmus import LitmusJudged

#: the lifts of three seeds on a set of 128 questions, as its users published them
ARC = {601: 2 / 128, 602: 3 / 128, 603: 8 / 128}
BARE = Objective(metric="arc", unit="", min_effect=0.01)


def run(config: str, seed: int | None, **metrics: float) -> JudgedRun:
    return JudgedRun(config=config, seed=seed, metrics=metrics)


def lifted(lifts: Mapping[int, float], *, objective: Objective = BARE) -> Sample:
    return Sample(
        source="files",
        objective=objective,
        baseline=tuple(run("baseline", seed, arc=0.25) for seed in lifts),
        experiments={"v": tuple(run("v", seed, arc=0.25 + lift) for seed, lift in lifts.items())},
    )


def changed(sample: Sample, **fields: object) -> Sample:
    """The same with `fields` set in every run."""
    return replace(
        sample,
        baseline=tuple(replace(each, **fields) for each in sample.baseline),
        experiments={
            name: tuple(replace(each, **fields) for each in runs) for name, runs in sample.experiments.items()
        },
    )


def answer(of: Sample, **options: object) -> LitmusJudged:
    found = judged("litmus", of, options)
    assert isinstance(found, LitmusJudged)
    return found


def unmet(found: LitmusJudged) -> dict[str, str]:
    return {gate.name: gate.remedy for gate in found.experiments[0].unmet}


def test_the_published_lifts_have_their_mean_and_population_sd() -> None:
    found = answer(lifted(ARC))
    check = found.experiments[0].checks[0]
    assert check.arms.delta == pytest.approx(0.0339, abs=5e-5)
    assert check.population_sd == pytest.approx(0.0205, abs=5e-5)
    assert "+0.01562, +0.02344, +0.0625" in found.markdown()


@pytest.mark.parametrize(
    ("options", "word", "code"),
    [
        ({"min_lift": 0.03}, "CONFIRMED", 0),
        ({"min_lift": 0.04}, "FAILED", 1),
        ({"min_lift": 0.03, "min_seeds": 4}, "INCONCLUSIVE", 4),
        ({"min_lift": 0.04, "min_seeds": 4}, "INCONCLUSIVE", 4),
        ({}, "CONFIRMED", 0),
        ({"min_lift": 0.03, "alpha": 0.2}, "CONFIRMED", 0),
        ({"min_lift": 0.03, "alpha": 0.05}, "INCONCLUSIVE", 4),
        ({"min_lift": 0.04, "alpha": 0.05}, "FAILED", 1),
    ],
)
def test_the_verdict_and_its_exit_code_follow_the_declared_thresholds(
    options: dict[str, object], word: str, code: int
) -> None:
    found = answer(lifted(ARC), **options)
    assert [label.word for label in found.labels()] == [word]
    assert found.exit_code == code
    assert f"## v: {word}" in found.markdown()


def test_the_default_lift_is_the_rounds_min_effect() -> None:
    assert answer(lifted(ARC)).experiments[0].checks[0].min_lift == 0.01
    demanding = replace(BARE, min_effect=0.04)
    assert answer(lifted(ARC, objective=demanding)).exit_code == 1


def test_a_lift_on_the_threshold_is_reached() -> None:
    sample = lifted({1: 0.1, 2: 0.1, 3: 0.1})
    assert sample.experiments["v"][0].metrics["arc"] - 0.25 < 0.1
    assert answer(sample, min_lift=0.1).exit_code == 0
    assert answer(sample, min_lift=0.1001).exit_code == 1


def test_every_declared_metric_must_be_lifted() -> None:
    both = changed(lifted(ARC))
    both = replace(
        both,
        baseline=tuple(replace(each, metrics={**each.metrics, "ppl": 10.0}) for each in both.baseline),
        experiments={
            "v": tuple(replace(each, metrics={**each.metrics, "ppl": 9.0}) for each in both.experiments["v"])
        },
    )
    assert answer(both, lifts={"ppl": 0.5}, lower_is_better=["ppl"]).exit_code == 0
    assert answer(both, lifts={"ppl": 1.5}, lower_is_better=["ppl"]).exit_code == 1
    assert answer(both, lifts={"ppl": 0.5}).exit_code == 1


def test_a_missing_partner_is_asked_for_before_a_new_pair() -> None:
    sample = lifted(ARC)
    found = answer(replace(sample, baseline=sample.baseline[:2]))
    assert unmet(found) == {"seeds": "run the baseline at seed 603"}
    more = answer(replace(sample, baseline=sample.baseline[:2]), min_seeds=4)
    assert unmet(more)["seeds"] == "run the baseline at seed 603; run 1 more seed of the baseline and of v"


def test_seeds_that_nobody_knows_count_as_runs_of_each_arm() -> None:
    found = answer(changed(lifted(ARC), seed=None))
    assert found.exit_code == 0
    assert not found.experiments[0].checks[0].arms.is_paired


def test_a_missing_metric_is_a_gap_and_not_a_failure() -> None:
    found = answer(lifted(ARC), required_metrics=["reward"])
    assert found.exit_code == 4
    assert unmet(found) == {"required metrics": "report reward in every run"}
    absent = answer(lifted(ARC), metric="reward", min_lift=0.1)
    assert absent.exit_code == 4
    assert list(unmet(absent)) == ["required metrics"]


def test_too_few_or_uncounted_episodes_are_a_gap() -> None:
    uncounted = answer(lifted(ARC), min_episodes=128)
    assert uncounted.exit_code == 4
    assert "evaluate baseline s601" in unmet(uncounted)["episodes of each run"]
    counted = changed(lifted(ARC), counts={"arc": Count(successes=32, n=128)})
    assert answer(counted, min_episodes=128).exit_code == 0
    assert answer(counted, min_episodes=129).exit_code == 4


def test_runs_that_are_too_short_or_of_different_length_are_a_gap() -> None:
    ten = (Point(step=10, metrics={"arc": 0.3}),)
    sample = changed(lifted(ARC), curve=ten)
    assert answer(sample, min_steps=10).exit_code == 0
    assert unmet(answer(sample, min_steps=20))["steps of each run"].endswith("to step 20")
    shorter = replace(
        sample,
        baseline=tuple(replace(each, curve=(replace(ten[0], step=5),)) for each in sample.baseline),
    )
    assert unmet(answer(shorter)) == {"matched protocol": "compare runs of the same length"}


def test_an_unknown_protocol_is_taken_as_equal_and_said_unless_it_is_needed() -> None:
    assert "unknown, taken as equal" in answer(lifted(ARC)).markdown()
    strict = answer(lifted(ARC), needs_protocol=True)
    assert strict.exit_code == 4
    assert "matched protocol" in unmet(strict)
    assert answer(changed(lifted(ARC), protocol="p1"), needs_protocol=True).exit_code == 0


def test_the_p_gate_says_how_many_seeds_would_do() -> None:
    found = answer(lifted(ARC), min_lift=0.03, alpha=0.05)
    remedy = unmet(found)["p of arc"]
    assert "pairs of seeds would show this lift" in remedy
    assert "3 pairs cannot give a p below 0.125" in remedy
    assert remedy in found.labels()[0].line


def test_a_lift_of_another_metric_must_be_declared() -> None:
    with pytest.raises(UnfitRunsError, match="set min_lift"):
        answer(lifted(ARC), metric="reward")


def test_any_confirmed_experiment_makes_the_exit_code_of_all() -> None:
    sample = lifted(ARC)
    worse = tuple(run("w", seed, arc=0.2) for seed in ARC)
    both = replace(sample, experiments={"w": worse, **sample.experiments})
    assert [label.word for label in answer(both).labels()] == ["FAILED", "CONFIRMED"]
    assert answer(both).exit_code == 0
    few = replace(sample, experiments={"w": worse, "v": sample.experiments["v"][:1]})
    assert answer(few).exit_code == 4


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("min_lift", "much", "min_lift"),
        ("min_seeds", 0, "min_seeds"),
        ("alpha", 1, "alpha"),
        ("lifts", {"ppl": "x"}, "lifts.ppl"),
        ("lifts", 3, "lifts"),
        ("needs_protocol", 1, "needs_protocol"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(option: str, value: object, named: str) -> None:
    with pytest.raises(ValueError, match=f"{named}: must be"):
        make_options("litmus", {option: value})
