"""A policy that runs conditions seed by seed: whenever it is cut short, what is there are whole pairs."""

from __future__ import annotations

from collections import Counter

import pytest

from policies import make_policy
from policies.campaign import Policy
from policies.evidence import Hold, Objective, Observation, Promote
from policies.steps import Decide, Judge, Run, TaskView

STAGES = ("quick", "medium", "long")


def followed(policy: Policy, *, variants=("a", "b"), listed=3, broken=(), stages=STAGES):
    """Every run in its order, and every verdict, of a task whose `broken` (stage, config) runs fail."""
    done: dict[str, list[Observation]] = {config: [] for config in ("baseline", *variants)}
    decisions: dict[str, dict[str, str]] = {config: {} for config in variants}
    verdicts: dict[str, str] = {}
    runs: list[tuple[str, str, int]] = []
    while True:
        view = TaskView(
            objective=Objective(),
            stages=stages,
            listed_seeds=listed,
            baseline=tuple(done["baseline"]),
            variants={config: tuple(done[config]) for config in variants},
            decisions=decisions,
            verdicts=verdicts,
        )
        ahead = [(run.stage, run.config, run.slot) for run in policy.possible_runs(view)]
        match policy.next(view):
            case Run(stage=stage, config=config, slot=slot):
                assert ahead[0] == (stage, config, slot)
                runs.append((stage, config, slot))
                failed = (stage, config) in broken
                done[config].append(
                    Observation(
                        stage=stage,
                        config=config,
                        slot=slot,
                        seed=slot,
                        status="failed" if failed else "ok",
                        protocol=stage,
                        value=None if failed else 0.5,
                        failure_class="nan" if failed else None,
                    )
                )
            case Decide(config=config, stage=stage, decision=decision):
                decisions[config][stage] = (
                    "promoted"
                    if isinstance(decision, Promote)
                    else "held"
                    if isinstance(decision, Hold)
                    else "pruned"
                )
            case Judge(config=config, verdict=verdict):
                verdicts[config] = verdict.name
            case None:
                assert not ahead
                return runs, verdicts


def test_the_first_stages_try_every_config_once_and_the_last_goes_seed_by_seed() -> None:
    runs, verdicts = followed(Policy())
    configs = ("baseline", "a", "b")
    assert runs == [
        *[("quick", config, 0) for config in configs],
        *[("medium", config, 0) for config in configs],
        *[("long", config, slot) for slot in range(3) for config in configs],
    ]
    assert verdicts == {"a": "INCONCLUSIVE", "b": "INCONCLUSIVE"}


def test_wherever_the_last_stage_is_cut_short_all_but_one_seed_are_complete() -> None:
    runs = [run for run in followed(Policy(more_seeds=2))[0] if run[0] == "long"]
    assert len(runs) == 15
    for cut in range(len(runs) + 1):
        per_seed = Counter(slot for _, _, slot in runs[:cut])
        assert sum(number not in (0, 3) for number in per_seed.values()) <= 1


def test_a_config_that_breaks_runs_no_further_seed_and_the_others_go_on() -> None:
    runs, verdicts = followed(Policy(), broken={("quick", "a"), ("long", "b")})
    assert [run for run in runs if run[1] == "a"] == [("quick", "a", 0)]
    assert [run for run in runs if run[1] == "b"] == [("quick", "b", 0), ("medium", "b", 0), ("long", "b", 0)]
    assert len([run for run in runs if run[1] == "baseline"]) == 5
    assert verdicts == {"a": "LOSER", "b": "LOSER"}


def test_when_every_condition_is_broken_nothing_more_runs() -> None:
    runs, verdicts = followed(Policy(), broken={("quick", "a"), ("quick", "b")})
    assert {run[0] for run in runs} == {"quick"}
    assert set(verdicts.values()) == {"LOSER"}


def test_a_task_without_variants_runs_its_baseline_on_all_seeds() -> None:
    assert followed(Policy(), variants=(), stages=("long",))[0] == [("long", "baseline", n) for n in range(3)]


@pytest.mark.parametrize("seeds", [-1, 1.5, True, "5", 101])
def test_a_number_of_further_seeds_that_cannot_be_is_refused(seeds: object) -> None:
    with pytest.raises(ValueError, match="more_seeds: must be a whole number from 0 to 100"):
        make_policy("campaign", {"more_seeds": seeds})
