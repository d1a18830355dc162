"""A policy that only repeats: every config on so many slots, and no claim."""

from __future__ import annotations

import pytest

from policies import make_policy
from policies.evidence import Hold, Objective, Observation, Promote, Prune, TaskEvidence
from policies.repeat import Policy
from policies.steps import Run, TaskView


def seen(config: str, stage: str, slot: int, **more: object) -> Observation:
    fields = {"status": "ok", "protocol": stage, "value": 0.5, **more}
    return Observation(config=config, stage=stage, slot=slot, seed=slot, **fields)


def view(**changes: object) -> TaskView:
    return TaskView(objective=Objective(), stages=("quick", "medium"), listed_seeds=1, **changes)


def test_a_task_without_variants_runs_its_baseline_on_as_many_slots_as_are_asked_for() -> None:
    policy, done = Policy(seeds=3), []
    while (step := policy.next(view(baseline=tuple(done)))) is not None:
        assert isinstance(step, Run)
        done.append(seen(step.config, step.stage, step.slot))
    assert [(run.stage, run.slot) for run in done] == [(s, n) for s in ("quick", "medium") for n in range(3)]


def test_what_may_still_run_is_certain() -> None:
    runs = list(Policy(seeds=4).possible_runs(view(baseline=(seen("baseline", "quick", 0),))))
    assert len(runs) == 7
    assert {run.chance for run in runs} == {1.0}


def test_variants_run_every_stage_and_nothing_is_claimed() -> None:
    variant = (seen("v", "quick", 0, value=0.9), seen("v", "medium", 0, value=0.9))
    evidence = TaskEvidence(
        objective=Objective(), stages=("quick", "medium"), variant=variant, baseline=(seen("b", "quick", 0),)
    )
    assert isinstance(Policy().after("quick", evidence), Promote)
    assert isinstance(Policy().after("medium", evidence), Hold)
    assert Policy().verdict(evidence).name == "INCONCLUSIVE"


def test_a_broken_variant_is_not_repeated() -> None:
    broken = (seen("v", "quick", 0, status="failed", failure_class="nan", value=None),)
    evidence = TaskEvidence(objective=Objective(), stages=("quick", "medium"), variant=broken, baseline=())
    assert isinstance(Policy().after("quick", evidence), Prune)
    assert Policy().verdict(evidence).name == "LOSER"


def test_every_slot_of_a_task_that_only_measures_teaches() -> None:
    runs = tuple(seen("baseline", "medium", slot, value=0.50 + 0.01 * slot) for slot in range(3))
    lesson = Policy(seeds=3).lesson(view(baseline=runs))
    assert lesson.medium.df == 2


@pytest.mark.parametrize("seeds", [0, -1, 1.5, True, "5", 1001])
def test_a_number_of_seeds_that_cannot_be_is_refused(seeds: object) -> None:
    with pytest.raises(ValueError, match="seeds: must be a whole number from 1 to 1000"):
        make_policy("repeat", {"seeds": seeds})
