"""A policy that promotes who keeps the gates, stage by stage, until the budget is spent."""

from __future__ import annotations

from typing import Any

import pytest

from policies import make_policy
from policies._gates import least_cases, parse_gate, read_gate
from policies.evidence import BASELINE, Hold, Objective, Observation, Promote, Prune, TaskEvidence
from policies.iterations import Policy
from policies.steps import Decide, Judge, Run, TaskView

STAGES = ("quick", "medium", "long")
GATES = ("runaway_rate < 5 %",)
CASES = {"quick": 24, "medium": 100, "long": 500}


def seen(config: str, stage: str, slot: int, runaway: int = 0, **more: Any) -> Observation:
    cases = CASES[stage]
    metrics = {
        "runaway_rate": runaway / cases,
        "runaway_rate_successes": float(runaway),
        "runaway_rate_n": float(cases),
    }
    fields: dict[str, Any] = {"status": "ok", "protocol": stage, "value": 0.9, "metrics": metrics, **more}
    return Observation(config=config, stage=stage, slot=slot, seed=slot, **fields)


def evidence(*runs: Observation, stages: tuple[str, ...] = STAGES) -> TaskEvidence:
    return TaskEvidence(objective=Objective(), stages=stages, variant=runs, baseline=())


def played(policy: Policy, runaway: dict[str, dict[str, int]], seconds: float = 36.0) -> list[str]:
    """The steps of a round whose runs have so many runaways, by config and stage."""
    variants = [name for name in runaway if name != BASELINE]
    runs: dict[str, list[Observation]] = {name: [] for name in runaway}
    decisions: dict[str, dict[str, Any]] = {name: {} for name in variants}
    verdicts: dict[str, Any] = {}
    told = []
    while True:
        view = TaskView(
            objective=Objective(),
            stages=STAGES,
            listed_seeds=1,
            baseline=tuple(runs[BASELINE]),
            variants={name: tuple(runs[name]) for name in variants},
            decisions=decisions,
            verdicts=verdicts,
        )
        step = policy.next(view)
        if step is None:
            return told
        match step:
            case Run(stage=stage, config=config, slot=slot):
                told.append(f"run {config} {stage} {slot}")
                found = runaway[config].get(stage, 0)
                runs[config].append(seen(config, stage, slot, found, wall_seconds=seconds))
            case Decide(config=config, stage=stage, decision=decision):
                word = {Promote: "promoted", Prune: "pruned", Hold: "held"}[type(decision)]
                told.append(f"{word} {config} {stage}: {decision.reason}")
                decisions[config][stage] = word
            case Judge(config=config, verdict=verdict):
                told.append(f"{verdict.name} {config}: {verdict.reason}")
                verdicts[config] = verdict.name
            case _:
                pytest.fail(f"unexpected {step}")


def test_iterations_run_in_order_and_only_who_keeps_the_gates_goes_on() -> None:
    steps = played(Policy(gates=GATES), {BASELINE: {"quick": 18}, "shorter": {"quick": 12}, "stops": {}})
    assert [step for step in steps if step.startswith("run")] == [
        "run baseline quick 0",
        "run shorter quick 0",
        "run stops quick 0",
        "run stops medium 1",
        "run stops long 3",
    ]
    assert "pruned shorter quick: FAIL: runaway_rate 50.0 %, 12 of 24 (< 5 %)" in steps
    assert steps[-1].startswith("SUGGESTIVE stops: PASS: runaway_rate 0.0 %, 0 of 500")


def test_the_baseline_is_an_iteration_and_is_scaled_only_when_it_keeps_the_gates() -> None:
    steps = played(Policy(gates=GATES), {BASELINE: {"medium": 30}, "stops": {}})
    assert "run baseline medium 1" in steps
    assert "run baseline long 3" not in steps
    assert "run stops long 3" in steps


def test_no_two_stages_share_a_seed_and_scale_comes_in_shards() -> None:
    policy = Policy(gates=GATES, shards=3)
    slots = [slot for stage in (*STAGES, "confirm") for slot in policy.slots(stage, 1)]
    assert len(slots) == len(set(slots)) == 6


def test_nothing_starts_once_the_budget_is_spent_and_the_reason_is_told() -> None:
    # 36 s at 100 an hour are 1.00 a run
    policy = Policy(gates=GATES, budget=2.5, cost_per_hour=100.0)
    steps = played(policy, {BASELINE: {}, "first": {}, "second": {}})
    assert len([step for step in steps if step.startswith("run")]) == 3
    assert "held second quick: the budget of 2.5 is spent: 3 so far" in steps
    assert any(step.startswith("INCONCLUSIVE second: no run") for step in steps)


def test_a_run_that_is_reused_costs_nothing() -> None:
    policy = Policy(gates=GATES, budget=1.0, cost_per_hour=3600.0)
    runs = (seen(BASELINE, "quick", 0, wall_seconds=50.0, is_reused=True),)
    view = TaskView(
        objective=Objective(), stages=STAGES, listed_seeds=1, baseline=runs, variants={"first": ()}
    )
    assert policy.next(view) == Run(stage="quick", config="first", slot=0)


def test_a_proof_may_be_demanded_before_the_last_stage() -> None:
    unproven = evidence(seen("v", "medium", 1, runaway=3))
    assert isinstance(Policy(gates=GATES).after("medium", unproven), Promote)
    refused = Policy(gates=GATES, proof=True).after("medium", unproven)
    assert isinstance(refused, Prune)
    assert "long takes a proof" in refused.reason
    assert isinstance(
        Policy(gates=GATES, proof=True).after("quick", evidence(seen("v", "quick", 0))), Promote
    )


def test_a_broken_iteration_loses_and_a_lost_one_is_left_open() -> None:
    broken = evidence(seen("v", "quick", 0, status="failed", failure_class="nan", value=None))
    assert isinstance(Policy(gates=GATES).after("quick", broken), Prune)
    assert Policy(gates=GATES).verdict(broken).name == "LOSER"
    lost = evidence(seen("v", "quick", 0, status="lost", value=None))
    assert isinstance(Policy(gates=GATES).after("quick", lost), Hold)
    assert Policy(gates=GATES).verdict(lost).name == "INCONCLUSIVE"


def test_a_metric_that_nobody_measured_keeps_no_gate() -> None:
    decision = Policy(gates=("quality >= 0.8",)).after("quick", evidence(seen("v", "quick", 0)))
    assert isinstance(decision, Prune)
    assert decision.reason == "FAIL: quality was not measured"


def test_counts_are_pooled_over_shards_and_a_mean_proves_nothing() -> None:
    gate = parse_gate("runaway_rate < 5 %")
    shards = [seen("v", "long", slot, runaway).metrics for slot, runaway in ((2, 10), (3, 20))]
    reading = read_gate(gate, shards)
    assert (reading.count, reading.word) == ((30, 1000), "PASS")
    assert read_gate(parse_gate("tokens <= 40"), [{"tokens": 30.0}, {"tokens": 32.0}]).word == "PASS_UNPROVEN"


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, "gates"),
        ({"gates": ["runaway_rate"]}, "gates"),
        ({"gates": GATES, "shards": 0}, "shards"),
        ({"gates": GATES, "proof": "yes"}, "proof"),
        ({"gates": GATES, "budget": 5.0}, "cost_per_hour"),
        ({"gates": GATES, "budget": -1, "cost_per_hour": 1.0}, "budget"),
        ({"gates": GATES, "level": 95}, "level"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(options: dict[str, Any], names: str) -> None:
    with pytest.raises(ValueError, match=names):
        make_policy("iterations", options)


def test_a_run_with_metrics_can_still_be_told_apart_by_its_hash() -> None:
    run, again = seen("v", "quick", 0, 3), seen("v", "quick", 0, 3)
    assert {run} == {again}


@pytest.mark.parametrize(
    ("gate", "least"),
    [
        ("r < 5 %", 73),
        ("r <= 1 %", 381),
        ("r >= 70 %", 9),
        ("r > 0.9", 35),
        ("r < 0 %", None),
        ("tokens < 400", None),
    ],
)
def test_what_a_proof_takes_is_told_beforehand(gate: str, least: int | None) -> None:
    found = least_cases(parse_gate(gate))
    assert found == least
    if found is not None:
        good = found if ">" in gate else 0
        runs = [{"r": good / found, "r_successes": float(good), "r_n": float(found)}]
        assert read_gate(parse_gate(gate), runs).word == "PASS"
        assert str(found) in " ".join(Policy(gates=(gate,)).claims())
