"""A finished task teaches the next one what to expect, and nothing that selection made up."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from policies._assessment import Ledger, TaskRuns
from policies._delta import SeedCorrelation, SeedPairs
from policies._effect_prior import DEFAULT_PRIOR, Reading
from policies._ledger import Lesson, learnt, lesson_of
from policies._looks import LookPlan
from policies._variance import Spread, spread_of
from policies.evidence import Objective, Observation

PP = Objective()
PLAN = LookPlan(candidates=("a",), looks=2)


def run(config: str, stage: str, slot: int, value: float) -> Observation:
    return Observation(
        stage=stage,
        config=config,
        seed=10 + slot,
        slot=slot,
        status="ok",
        protocol=stage,
        value=value,
        loss=2.0 - value,
        scores_digest=f"{config}{stage}{slot}",
    )


def medium(config: str, *values: float) -> list[Observation]:
    return [run(config, "medium", slot, value) for slot, value in enumerate(values)]


TASK = TaskRuns(
    objective=PP,
    examples=5000,
    baseline=(run("baseline", "quick", 0, 0.50), *medium("baseline", 0.10, 0.52, 0.54, 0.50)),
    variants={
        "a": (run("a", "quick", 0, 0.55), *medium("a", 0.99, 0.53, 0.54)),
        "b": (run("b", "quick", 0, 0.40),),
    },
)


def test_a_run_that_shared_its_device_teaches_nothing() -> None:
    shared = replace(TASK.variants["b"][0], is_contaminated=True)
    lesson = lesson_of(replace(TASK, variants={**TASK.variants, "b": (shared,)}), PLAN)
    assert len(lesson.readings) == 1
    fresh = tuple(replace(run, is_contaminated=run.slot == 1) for run in TASK.baseline)
    assert lesson_of(replace(TASK, baseline=fresh), PLAN).medium.df == 2


def test_a_lesson_is_learnt_from_fresh_seeds_and_every_variant() -> None:
    lesson = lesson_of(TASK, PLAN)
    both = spread_of([{1: 52.0, 2: 54.0, 3: 50.0}, {1: 53.0, 2: 54.0}])
    assert lesson.medium.ss == pytest.approx(both.ss)
    assert lesson.medium.df == both.df == 3
    assert lesson.pairs.pairs == 2
    assert (len(lesson.readings), lesson.confirmed) == (2, 1)
    assert lesson.readings[0].sd < lesson.readings[1].sd


def test_a_task_without_a_confirm_set_teaches_by_its_screening_and_its_baseline() -> None:
    lesson = lesson_of(TASK)
    assert lesson.medium == spread_of([{1: 52.0, 2: 54.0, 3: 50.0}])
    assert (len(lesson.readings), lesson.confirmed) == (2, 0)


@pytest.mark.parametrize(("seeds", "df"), [(2, 0), (3, 2)])
def test_quick_noise_is_learnt_from_three_seeds_on(seeds: int, df: int) -> None:
    quick = [run("baseline", "quick", slot, 0.5 + slot / 100) for slot in range(seeds)]
    lesson = lesson_of(replace(TASK, baseline=(*TASK.baseline[1:], *quick)))
    assert lesson.quick.df == df


def test_a_leak_teaches_no_effect() -> None:
    leaked = tuple(replace(each, value=0.01) if each.slot == 1 else each for each in TASK.variants["a"])
    loss = Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01)
    lesson = lesson_of(replace(TASK, objective=loss, variants={**TASK.variants, "a": leaked}), PLAN)
    assert (len(lesson.readings), lesson.confirmed) == (1, 0)


def test_a_variant_that_was_stopped_teaches_no_effect() -> None:
    copies = tuple(replace(each, config="copy") for each in TASK.baseline)
    assert lesson_of(replace(TASK, variants={"copy": copies})).readings == ()


def lessons(count: int, *, unit: str = "pp", sd: float = 3.0, min_effect: float = 1.0) -> list[Lesson]:
    draw = random.Random(count)
    return [
        Lesson(
            unit=unit,
            min_effect=min_effect,
            quick=Spread(),
            medium=Spread(ss=sum(draw.gauss(0, sd) ** 2 for _ in range(6)), df=6),
            pairs=SeedPairs(products=2.0, variant_ss=4.0, baseline_ss=4.0, pairs=4),
            readings=tuple(Reading(value=draw.gauss(0, 1.0), sd=1.0) for _ in range(8)),
            confirmed=2,
        )
        for _ in range(count)
    ]


def test_an_empty_ledger_is_the_cold_start() -> None:
    ledger = learnt([], PP)
    assert ledger == Ledger(quick=None, medium=None, correlation=SeedCorrelation(), effects=DEFAULT_PRIOR)


def test_a_ledger_tells_noise_luck_and_effects() -> None:
    ledger = learnt(lessons(40), PP)
    assert ledger.medium is not None
    assert ledger.medium.sd == pytest.approx(3.0, rel=0.15)
    assert ledger.quick is not None
    assert ledger.quick.sd == pytest.approx(ledger.medium.sd * 2.2 / 1.7)
    assert ledger.correlation.rho == pytest.approx(0.5)
    assert ledger.correlation.theta == pytest.approx(0.5 * 160 / 180)
    assert ledger.effects.parts[0].weight > 0.7


def test_noise_is_learnt_from_tasks_of_one_unit() -> None:
    assert learnt(lessons(40, unit="nat"), PP).medium is None


def test_noise_is_told_in_the_min_effect_of_the_task() -> None:
    told = learnt(lessons(40, min_effect=0.5), PP).medium
    assert told is not None
    assert told.sd == pytest.approx(1.5, rel=0.15)


def test_the_effects_of_a_young_ledger_are_the_default() -> None:
    assert learnt(lessons(24), PP).effects is DEFAULT_PRIOR
    assert learnt(lessons(25), PP).effects is not DEFAULT_PRIOR


@pytest.mark.parametrize(("stage", "kind"), [("quick", "quick"), ("medium", "medium")])
def test_a_task_of_one_stage_teaches_the_noise_of_that_stage(stage: str, kind: str) -> None:
    runs = tuple(run("baseline", stage, slot, 0.50 + 0.01 * slot) for slot in range(3))
    alone = TaskRuns(objective=PP, baseline=runs, variants={}, quick=stage, medium=stage)
    lesson = lesson_of(alone, only_measures=True)
    assert {"quick": lesson.quick.df, "medium": lesson.medium.df} == {"quick": 0, "medium": 0} | {kind: 2}


def reused_at(stage: str) -> TaskRuns:
    """The task with every run of both variants at that stage taken from an earlier round."""
    variants = {
        name: tuple(replace(each, is_reused=each.stage == stage) for each in runs)
        for name, runs in TASK.variants.items()
    }
    return replace(TASK, variants=variants)


def test_variants_that_were_reused_teach_nothing_again() -> None:
    everything = {
        name: tuple(replace(each, is_reused=True) for each in runs) for name, runs in TASK.variants.items()
    }
    baseline = tuple(replace(each, is_reused=True) for each in TASK.baseline)
    assert lesson_of(replace(TASK, variants=everything, baseline=baseline), PLAN).is_empty
    without = lesson_of(reused_at("medium"), PLAN)
    assert (len(without.readings), without.confirmed, without.pairs.pairs) == (2, 0, 0)


def test_a_new_candidate_teaches_beside_one_that_was_reused() -> None:
    both = replace(TASK, variants={**TASK.variants, "c": tuple(medium("c", 0.6, 0.54, 0.56))})
    old_a = {**both.variants, "a": tuple(replace(each, is_reused=True) for each in both.variants["a"])}
    plan = LookPlan(candidates=("a", "c"), looks=2)
    lesson = lesson_of(replace(both, variants=old_a), plan)
    assert lesson.confirmed == 1
    assert lesson.pairs.pairs == 2


def test_a_reused_run_of_the_baseline_teaches_no_noise_again() -> None:
    fresh_ones = tuple(run("baseline", "medium", slot, 0.50 + 0.01 * slot) for slot in range(4))
    reused = tuple(replace(each, is_reused=each.slot < 2) for each in fresh_ones)
    alone = TaskRuns(objective=PP, baseline=reused, variants={})
    assert lesson_of(alone, only_measures=True).medium == spread_of([{2: 52.0, 3: 53.0}])
