"""What foreign records teach, and that no run teaches twice."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from policies._delta import SeedPairs
from policies._effect_prior import Reading
from policies._ledger import Lesson, learnt
from policies._variance import MIN_TASKS_TO_FIT, Spread
from policies.evidence import Objective
from scheduler.audit.lessons import lessons_of
from scheduler.audit.reading import read_records
from scheduler.audit.repeats import count_once
from scheduler.decide.importing import imported
from scheduler.effects.foreign_lessons import foreign_lessons

SAMPLES = Path(__file__).parents[1] / "data"


def lessons(*files: tuple[str, list[dict[str, Any]]]) -> list[tuple[str, Lesson]]:
    read = [
        read_records(name, b"".join(json.dumps(row).encode() + b"\n" for row in rows)) for name, rows in files
    ]
    return lessons_of(count_once(read)[0])


def row(stage: str, config: str, seed: int | None, acc: float | None, **more: Any) -> dict[str, Any]:
    """A run whose loss is its own, unless it is given."""
    fields = {
        "task": "toy",
        "stage": stage,
        "config": config,
        "status": "ok",
        "best_val_tok_acc": acc,
        "best_val_loss": 1.0 + zlib.crc32(repr((stage, config, seed, acc)).encode()) / 2**32,
        "run_dir": f"runs/20260101-120000/{stage}/{config}/{seed}",
        **more,
    }
    return fields if seed is None else {**fields, "seed": seed}


def three_seeds(stage: str = "quick") -> list[dict[str, Any]]:
    return [row(stage, "baseline", seed, acc) for seed, acc in enumerate((0.50, 0.52, 0.54))]


def test_spreads_are_within_a_config_over_seeds() -> None:
    variant = [row("quick", "gate", seed, acc) for seed, acc in ((0, 0.80), (1, 0.84))]
    [(_, lesson)] = lessons(("r", [*three_seeds(), *variant]))
    assert lesson.quick.df == 3
    assert lesson.quick.ss == pytest.approx(8.0 + 8.0)
    assert (lesson.unit, lesson.min_effect, lesson.confirmed) == ("pp", 1.0, 0)


def test_two_seeds_tell_noise_at_medium_but_not_at_quick() -> None:
    for stage, dfs in (("quick", (0, 0)), ("medium", (0, 1))):
        [(_, lesson)] = lessons(("r", [*three_seeds(stage)[:2], row("quick", "gate", 0, 0.5)]))
        assert (lesson.quick.df, lesson.medium.df) == dfs


def test_runs_that_name_no_seed_spread_by_anything() -> None:
    rows = [row("quick", "baseline", None, acc, run_dir=f"{acc}") for acc in (0.5, 0.6, 0.7)]
    assert lessons(("r", rows)) == []


def test_a_seed_that_repeats_another_bit_by_bit_is_no_seed() -> None:
    again = {**three_seeds()[0], "seed": 9, "run_dir": "runs/20260101-130000/again"}
    assert lessons(("r", [*three_seeds(), again])) == lessons(("r", three_seeds()))


def test_a_task_that_was_run_again_teaches_once() -> None:
    again = [{**each, "task": "toy_recheck", "run_dir": f"{each['run_dir']}/b"} for each in three_seeds()]
    assert [lesson for _, lesson in lessons(("r", [*three_seeds(), *again]))] == [
        lesson for _, lesson in lessons(("r", three_seeds()))
    ]


def test_effects_come_from_matched_runs_only() -> None:
    rows = [
        row("quick", "baseline", 0, 0.50),
        row("quick", "gate", 0, 0.55),
        row("med", "gate", 0, 0.90),
        row("med", "other", 0, 0.90),
    ]
    [(_, unmatched)] = lessons(("r", rows))
    [(_, quick_alone)] = lessons(("r", rows[:2]))
    assert unmatched.readings == quick_alone.readings
    [reading] = unmatched.readings
    assert reading.value == pytest.approx(5.0 / 0.7)
    [(_, matched)] = lessons(("r", [*rows, row("med", "baseline", 0, 0.88)]))
    assert len(matched.readings) == 2
    assert matched.readings[0].sd < reading.sd


def test_no_ops_and_constant_metrics_tell_no_effect() -> None:
    baseline = row("quick", "baseline", 0, 0.5)
    no_op = {**row("quick", "gate", 0, 0.5), "best_val_loss": baseline["best_val_loss"]}
    assert lessons(("r", [baseline, no_op])) == []
    constant = [row("quick", config, 0, 0.96875) for config in ("baseline", "a", "b")]
    assert lessons(("r", constant)) == []


def test_another_batch_size_is_another_task() -> None:
    rows = [row("quick", "baseline", 0, 0.5, bsz=8), row("quick", "gate", 0, 0.6, bsz=4)]
    assert lessons(("r", rows)) == []


def test_losses_teach_noise_in_their_own_unit_and_no_effects() -> None:
    rows = [
        row("quick", config, seed, None, best_val_loss=loss)
        for config, seed, loss in (
            ("baseline", 0, 2.0),
            ("baseline", 1, 2.2),
            ("baseline", 2, 2.4),
            ("gate", 0, 1.0),
        )
    ]
    [(_, lesson)] = lessons(("r", rows))
    assert (lesson.unit, lesson.readings) == ("nat", ())
    assert lesson.quick.ss == pytest.approx(0.08)


def test_seeds_of_one_signature_are_pooled_over_rounds() -> None:
    file = read_records("later", (SAMPLES / "foreign-later.jsonl").read_bytes())
    [(name, lesson)] = lessons_of(count_once([file])[0])
    assert name.startswith("toy_probe@")
    # quick: baseline and gate_l1 at three seeds each; medium: both at two
    assert (lesson.quick.df, lesson.medium.df) == (4, 2)
    assert lesson.pairs.pairs == 5
    assert len(lesson.readings) == 2


def test_the_same_runs_have_the_same_name_from_a_copy_a_part_and_a_grown_file() -> None:
    whole = [*three_seeds(), row("quick", "gate", 0, 0.6)]
    [(name, lesson)] = lessons(("r", whole))
    assert lessons(("renamed", whole)) == [(name, lesson)]
    assert lessons(("partial", whole), ("r", whole[:3])) == [(name, lesson)]
    [(part_name, part)] = lessons(("r", whole[:3]))
    assert part_name == name
    assert part != lesson


SMALL = Lesson(
    unit="pp",
    min_effect=1.0,
    quick=Spread(ss=8.0, df=2),
    medium=Spread(),
    pairs=SeedPairs(),
    readings=(),
    confirmed=0,
)
GROWN = replace(SMALL, quick=Spread(ss=18.0, df=4))
NAME, OTHER = "toy@0123456789ab", "toy@ba9876543210"


@pytest.mark.parametrize(
    ("known", "foreign", "learnt_names"),
    [
        ({}, {NAME: SMALL}, [NAME]),
        ({NAME: SMALL}, {NAME: SMALL}, []),
        ({NAME: SMALL}, {NAME: GROWN}, [NAME]),
        ({NAME: GROWN}, {NAME: SMALL}, []),
        ({OTHER: SMALL}, {NAME: SMALL}, []),
        ({}, {NAME: SMALL, OTHER: SMALL}, [NAME]),
        ({OTHER: SMALL}, {NAME: GROWN}, [NAME]),
    ],
)
def test_what_is_known_is_not_learnt_again(
    known: dict[str, Lesson], foreign: dict[str, Lesson], learnt_names: list[str]
) -> None:
    facts, answer = imported(known, foreign)
    assert [fact.source for fact in facts] == learnt_names
    assert all(fact.is_foreign for fact in facts)
    new, old = len(learnt_names), len(foreign) - len(learnt_names)
    assert answer == f"foreign lessons: {new} learnt, {old} known already"


def test_foreign_lessons_fit_the_noise_of_our_tasks() -> None:
    tasks = [
        [
            row("quick", "baseline", seed, 0.5 + seed * step / 1000, run_dir=f"{step}/{seed}")
            for seed in range(4)
        ]
        for step in range(1, MIN_TASKS_TO_FIT + 1)
    ]
    found = lessons(*((f"r{index}", rows) for index, rows in enumerate(tasks)))
    assert len(found) == MIN_TASKS_TO_FIT
    noise = learnt([lesson for _, lesson in found], Objective()).quick
    assert noise is not None
    assert 0.1 < noise.sd < 1.3


def test_a_lesson_survives_the_way_to_the_daemon() -> None:
    lesson = replace(GROWN, readings=(Reading(value=1.5, sd=2.0),))
    assert foreign_lessons(json.loads(json.dumps({NAME: asdict(lesson)}))) == {NAME: lesson}


def damaged(**changes: Any) -> dict[str, Any]:
    return {NAME: {**asdict(SMALL), **changes}}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "no lessons"),
        ({}, "no lessons"),
        ([1], "no lessons"),
        ({"night/toy": asdict(SMALL)}, "cannot be the name"),
        ({NAME: "x"}, "cannot be read"),
        ({NAME: {}}, "cannot be read"),
        (damaged(quick={"ss": 1.0, "df": 1, "more": 2}), "cannot be read"),
        (damaged(unit="x y"), "the unit"),
        (damaged(quick={"ss": "8", "df": 2}), "sums of squares"),
        (damaged(quick={"ss": -1.0, "df": 2}), "sums of squares"),
        (damaged(quick={"ss": 1.0, "df": 2.5}), "whole numbers"),
        (damaged(quick={"ss": float("inf"), "df": 2}), "sums of squares"),
        (damaged(min_effect=0), "min_effect"),
        (damaged(readings=[{"value": 1.0, "sd": 0.0, "slope": 1.0}]), "no sd above 0"),
        (damaged(confirmed=60), "confirm nothing"),
        (damaged(quick={"ss": 0.0, "df": 0}), "teaches nothing"),
    ],
)
def test_what_is_no_sound_lesson_is_refused(data: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        foreign_lessons(data)
