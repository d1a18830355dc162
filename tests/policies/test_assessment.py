"""From runs to verdicts, as a planner asks: the same runs give the same answers, whenever they are asked."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from policies._assessment import Ledger, TaskRuns, evidence, knowledge, progress, screened
from policies._effect_prior import EffectPrior, Part
from policies._looks import LookPlan, Looks
from policies._screening import ScreenRule, confirm_set, promoted
from policies._variance import NoisePrior
from policies._verdict import judge
from policies.evidence import Objective, Observation, Verdict

PP = Objective()
NAT = Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01)


def run(config: str, stage: str, slot: int, value: float | None, **more: Any) -> Observation:
    fields: dict[str, Any] = {
        "status": "ok",
        "loss": 1.0 - (value or 0.0),
        "scores_digest": f"{config} {stage} {slot} {value}",
        **more,
    }
    return Observation(
        stage=stage, config=config, seed=1000 + slot, slot=slot, protocol=stage, value=value, **fields
    )


def searched(effects: Mapping[str, float], *, slots: int = 5, seed: int = 3, **more: Any) -> TaskRuns:
    """Every run a task could have: true effects in pp, noise of 1 pp, medium 4 pp above quick."""
    draw = random.Random(seed)

    def runs(config: str, effect: float) -> tuple[Observation, ...]:
        medium = [
            run(config, "medium", slot, 0.54 + (effect + draw.gauss(0, 1)) / 100) for slot in range(slots)
        ]
        return (run(config, "quick", 0, 0.5 + (0.7 * effect + draw.gauss(0, 1)) / 100), *medium)

    baseline = runs("baseline", 0.0)
    variants = {name: runs(name, effect) for name, effect in effects.items()}
    return TaskRuns(objective=PP, baseline=baseline, variants=variants, examples=5000, **more)


def first(task: TaskRuns, slots: int) -> TaskRuns:
    """The task as it was before any medium run beyond `slots` for a variant and one more for the baseline."""

    def had(runs: tuple[Observation, ...], count: int) -> tuple[Observation, ...]:
        return tuple(each for each in runs if each.stage == "quick" or each.slot < count)

    return replace(
        task,
        baseline=had(task.baseline, slots + 1),
        variants={name: had(runs, slots) for name, runs in task.variants.items()},
    )


def looks_of(task: TaskRuns, plan: LookPlan, failed: tuple[str, ...] = ()) -> Looks:
    return progress(task, plan, failed).looks


def verdict(task: TaskRuns, name: str, plan: LookPlan | None = None, **more: Any) -> Verdict:
    return judge(evidence(task, name, plan, **more))


GOOD_AND_NOT = searched({"good": 8.0, "none": 0.0, "bad": -8.0})
BOTH = LookPlan(candidates=("good", "none"), looks=3)


def test_a_search_ends_with_the_true_winner() -> None:
    survivors = [each for each in screened(GOOD_AND_NOT) if ScreenRule().why_weak(each) is None]
    assert promoted(survivors, screened=3)[0] == "good"
    frozen = confirm_set(survivors)
    assert frozen[0] == "good"
    plan = LookPlan(candidates=frozen, looks=3)
    assert "good" in looks_of(GOOD_AND_NOT, plan).rejected
    judged = verdict(GOOD_AND_NOT, "good", plan)
    assert judged.name == "WINNER"
    assert judged.shrunk_gain == pytest.approx(8.0, abs=2.0)
    assert verdict(GOOD_AND_NOT, "bad", plan).name in ("LOSER", "INCONCLUSIVE")


def test_a_look_waits_for_every_open_candidate_and_the_baseline() -> None:
    assert looks_of(first(GOOD_AND_NOT, 1), BOTH).taken == 0
    late = first(GOOD_AND_NOT, 2)
    assert looks_of(late, BOTH).taken == 1
    without = replace(late, variants={**late.variants, "none": late.variants["none"][:2]})
    assert looks_of(without, BOTH).taken == 0
    assert looks_of(without, BOTH, failed=("none",)).taken == 1
    poor = replace(late, baseline=late.baseline[:-1])
    assert looks_of(poor, BOTH).taken == 0


@pytest.mark.parametrize("objective", [PP, NAT], ids=["pp", "nat"])
@pytest.mark.parametrize("seed", range(8))
def test_a_look_read_again_with_more_runs_says_the_same(objective: Objective, seed: int) -> None:
    whole = searched({"a": 2.0, "b": 0.0, "c": 3.0}, seed=seed)
    if objective is NAT:
        whole = replace(whole, objective=NAT, examples=None)
    plan = LookPlan(candidates=("a", "b", "c"), looks=3)
    final = looks_of(whole, plan)
    for slots in (2, 3):
        then = looks_of(first(whole, slots), plan)
        assert {k: v for k, v in final.rejected.items() if v.look <= then.taken} == then.rejected
        assert {k: v for k, v in final.futile.items() if v <= then.taken} == then.futile


def test_slot_0_of_either_side_stays_out_of_the_verdict() -> None:
    judged = verdict(GOOD_AND_NOT, "good", BOTH)
    lucky = [
        replace(each, value=0.99) if (each.stage, each.slot) == ("medium", 0) else each
        for each in GOOD_AND_NOT.variants["good"]
    ]
    unlucky = [
        replace(each, value=0.01) if (each.stage, each.slot) == ("medium", 0) else each
        for each in GOOD_AND_NOT.baseline
    ]
    variants = {**GOOD_AND_NOT.variants, "good": tuple(lucky)}
    assert verdict(replace(GOOD_AND_NOT, baseline=tuple(unlucky), variants=variants), "good", BOTH) == judged


def test_runs_of_another_protocol_never_meet() -> None:
    mixed = [replace(each, protocol="other") if each.slot == 2 else each for each in GOOD_AND_NOT.baseline]
    with pytest.raises(ValueError, match="cannot be compared"):
        looks_of(replace(GOOD_AND_NOT, baseline=tuple(mixed)), BOTH)


def changed(task: TaskRuns, name: str, **fields: Any) -> TaskRuns:
    """The task with every medium run of a variant changed."""
    runs = tuple(replace(each, **fields) if each.stage == "medium" else each for each in task.variants[name])
    return replace(task, variants={**task.variants, name: runs})


@pytest.mark.parametrize(
    ("task", "name", "says"),
    [
        pytest.param(replace(GOOD_AND_NOT, examples=100), "SUGGESTIVE", "eval_limited", id="small set"),
        pytest.param(
            replace(GOOD_AND_NOT, examples=500, discordance=0.25),
            "SUGGESTIVE",
            "eval_limited",
            id="discordant",
        ),
        pytest.param(
            changed(GOOD_AND_NOT, "good", status="timed_out", curve=((10, 0.62),)),
            "INCONCLUSIVE",
            "the clock ended a run",
            id="clock",
        ),
        pytest.param(
            replace(changed(GOOD_AND_NOT, "good", value=0.01), objective=NAT),
            "INCONCLUSIVE",
            "leak",
            id="leak",
        ),
        pytest.param(
            changed(GOOD_AND_NOT, "good", value=0.62, scores_digest="one", loss=0.4),
            "SUGGESTIVE",
            "the seed changes nothing",
            id="dead seed",
        ),
    ],
)
def test_a_large_gain_that_cannot_be_trusted_is_no_winner(task: TaskRuns, name: str, says: str) -> None:
    judged = verdict(task, "good", BOTH)
    assert judged.name == name
    assert says in judged.reason


@pytest.mark.parametrize("failure_class", ["oom", "data", "gpu", "lost", "hung", "network"])
def test_a_variant_whose_runs_failed_for_no_fault_of_its_own_is_no_loser(failure_class: str) -> None:
    task = changed(GOOD_AND_NOT, "bad", status="failed", failure_class=failure_class, value=None)
    assert verdict(task, "bad", BOTH).name == "INCONCLUSIVE"
    stopped = next(each.stopped for each in screened(task) if each.name == "bad")
    assert stopped == f"infrastructure: {failure_class}"


def test_a_variant_that_breaks_is_a_loser() -> None:
    task = changed(GOOD_AND_NOT, "bad", status="failed", failure_class="nan", value=None)
    assert verdict(task, "bad").name == "LOSER"


@pytest.mark.parametrize(
    ("rule", "name", "reason"),
    [
        ("noop", "NEUTRAL", "no-op: equals the baseline bit for bit"),
        ("broken", "LOSER", "broken: stopped before its end"),
        ("hopeless", "INCONCLUSIVE", "stopped by hopeless"),
        ("optuna:MedianPruner", "INCONCLUSIVE", "stopped by optuna:MedianPruner"),
    ],
)
def test_a_run_that_was_stopped_is_judged_by_why(rule: str, name: str, reason: str) -> None:
    stopped = run("v", "quick", 0, 0.5, status="pruned", stopped_by=rule)
    task = TaskRuns(objective=PP, baseline=GOOD_AND_NOT.baseline, variants={"v": (stopped,)})
    assert screened(task)[0].stopped is not None
    assert (verdict(task, "v").name, verdict(task, "v").reason) == (name, reason)


def test_a_no_op_is_stopped_and_neutral() -> None:
    copies = tuple(replace(each, config="copy") for each in GOOD_AND_NOT.baseline)
    task = replace(GOOD_AND_NOT, variants={"copy": copies})
    assert screened(task)[0].stopped == "no-op"
    assert verdict(task, "copy") == Verdict(name="NEUTRAL", reason="no-op: equals the baseline bit for bit")


def test_a_variant_that_never_ran_has_no_verdict() -> None:
    task = replace(GOOD_AND_NOT, variants={"later": ()})
    assert screened(task)[0].quick is None
    assert verdict(task, "later").reason == "no run to compare"


def test_in_another_unit_a_guess_rejects_nothing() -> None:
    task = replace(GOOD_AND_NOT, objective=NAT, examples=None)
    only_fresh = replace(task, baseline=tuple(each for each in task.baseline if each.slot != 0))
    assert not knowledge(first(only_fresh, 2), "medium").noise.is_measured
    assert looks_of(first(only_fresh, 2), LookPlan(candidates=("good",), looks=3)).rejected == {}
    assert knowledge(task, "medium").noise.df == 0


def test_the_ledger_is_what_is_known_beforehand() -> None:
    ledger = Ledger(medium=NoisePrior(sd=0.4, df=12.0), effects=EffectPrior(parts=(Part(1.0, 0.0, 0.25),)))
    task = replace(GOOD_AND_NOT, ledger=ledger)
    assert knowledge(task, "medium").noise == NoisePrior(sd=0.4, df=12.0)
    assert knowledge(task, "quick").noise == NoisePrior(sd=2.2, df=4.0)
    quick_only = screened(first(task, 0))[0]
    assert abs(quick_only.posterior(ledger.effects).mean) < 0.1 < quick_only.posterior().mean


def test_many_variants_share_a_second_baseline() -> None:
    effects = {f"v{index}": 0.0 for index in range(16)}
    task = searched(effects, slots=1)
    alone = screened(task)[0].quick
    both = screened(replace(task, baseline=(*task.baseline, run("baseline", "quick", 8, 0.52))))[0].quick
    assert alone is not None
    assert both is not None
    assert (alone.baseline_seeds, both.baseline_seeds) == (1, 2)
    assert both.df == alone.df + 1


def test_stored_runs_of_the_baseline_tell_noise_and_enter_no_mean() -> None:
    stored = {100: 0.40, 101: 0.60, 102: 0.80}
    plain, told = progress(GOOD_AND_NOT, BOTH), progress(replace(GOOD_AND_NOT, stored=stored), BOTH)
    before, after = plain.by_look[0]["good"].estimate, told.by_look[0]["good"].estimate
    assert after.delta == before.delta
    assert after.df == before.df + len(stored)
    assert after.se > before.se


def test_stored_runs_make_a_noise_in_another_unit_a_measured_one() -> None:
    task = TaskRuns(objective=NAT, baseline=(), variants={}, stored={1: 2.50, 2: 2.51, 3: 2.52})
    assert knowledge(task, "medium").noise.is_measured
    assert not knowledge(replace(task, stored={}), "medium").noise.is_measured
