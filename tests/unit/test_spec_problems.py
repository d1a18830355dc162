"""Does every mistake in a spec get its own clear problem, at its place, and no other?"""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest

from scheduler.rounds.check import check
from scheduler.rounds.parse import Parsed, parse
from scheduler.rounds.problems import MAX_PROBLEMS, rendered

GOOD: dict[str, Any] = {
    "round": "night",
    "title": "Does it help?",
    "priority": 0,
    "after": ["evening"],
    "objective": {"metric": "acc", "direction": "maximize", "unit": "pp", "min_effect": 1.0},
    "policy": {"name": "threshold", "d_acc": 0.3},
    "stages": {
        "quick": {"max_steps": 180, "time_budget_sec": 120},
        "medium": {"max_steps": 650, "time_budget_sec": 420},
    },
    "tasks": [
        {
            "name": "sudoku",
            "trainer": "future_seed",
            "seeds": [0, 1],
            "bsz": [64, 32],
            "stages": {"quick": {"max_steps": 150}},
            "args": {"side": 4, "env": {"API_TOKEN": "hunter2"}},
            "baseline": {"gate": "none"},
            "variants": {"hot": {"lr": 0.1}, "v1.5": {"lr": 0.2}},
            "grid_base": {"gate": "scalar"},
            "grid": {"layer_start": [1, 2], "alpha_init": [-2.0, -3.0]},
        },
        {"name": "second", "trainer": "command", "policy": {"min_delta": 0.1}},
    ],
}

GONE = object()


def problems_of(spec: Any, file: str = "night.toml") -> tuple[str, ...]:
    _, problems = check(Parsed(data=spec), file)
    return rendered(problems)


def changed(place: str, value: Any) -> dict[str, Any]:
    """GOOD with another value at `tasks/0/seeds`; GONE takes the key away."""
    spec = copy.deepcopy(GOOD)
    *path, last = [int(part) if part.isdigit() else part for part in place.split("/")]
    table: Any = spec
    for part in path:
        table = table.setdefault(part, {}) if isinstance(table, dict) else table[part]
    if value is GONE:
        del table[last]
    else:
        table[last] = value
    return spec


TASK = "tasks/0"
CASES: list[tuple[str, Any, str, str]] = [
    # unknown keys, at every level
    ("titel", "x", "titel", 'unknown key; did you mean "title"? (found "x")'),
    ("Round", "x", "Round", 'did you mean "round"?'),
    ("zzz", 1, "zzz", "known here: round, title, priority, after"),
    ("objective/metrics", "acc", "objective.metrics", 'did you mean "metric"?'),
    ("objective/min_efect", 1.0, "objective.min_efect", 'did you mean "min_effect"?'),
    ("stages/qiuck", {"time_budget_sec": 1}, "stages.qiuck", 'unknown stage; did you mean "quick"?'),
    (
        "stages/probe",
        {"time_budget_sec": 1},
        "stages.probe",
        "unknown stage; known here: quick, medium, long",
    ),
    ("stages/quick/max_step", 3, "stages.quick.max_step", 'did you mean "max_steps"? (found 3)'),
    ("stages/quick/steps", 3, "stages.quick.steps", 'did you mean "max_steps"?'),
    ("tasks/0/varaints", {}, "tasks[0].varaints", 'did you mean "variants"?'),
    ("tasks/0/seed", 3, "tasks[0].seed", 'did you mean "seeds"? (found 3) [task sudoku]'),
    ("tasks/0/lr", 3, "tasks[0].lr", "unknown key"),
    ("tasks/0/objective", {"metricc": "f1"}, "tasks[0].objective.metricc", 'did you mean "metric"?'),
    (
        "tasks/0/stages/medum",
        {"max_steps": 1},
        "tasks[0].stages.medum",
        'unknown stage; did you mean "medium"?',
    ),
    ("tasks/0/stages/quick/n_evals", 1, "tasks[0].stages.quick.n_evals", 'did you mean "n_eval"?'),
    ("policy/min_detla", 1, "policy.min_detla", "did you mean 'min_delta'?"),
    ("tasks/1/policy/keep", 1, "tasks[1].policy.keep", "unknown option"),
    # ids
    ("round", "a b", "round", 'must be letters, digits, "_" and "-", at most 64'),
    ("round", "", "round", "must be letters"),
    ("round", "-x", "round", "beginning with a letter or a digit"),
    ("round", "x" * 65, "round", "at most 64"),
    ("round", "a.b", "round", "must be letters"),
    ("round", "../x", "round", "must be letters"),
    ("round", "x\n", "round", "must be letters"),
    ("round", "näh", "round", "must be letters"),
    ("round", "cache", "round", "is a reserved name"),
    ("round", "Journal", "round", "is a reserved name"),
    ("round", "probe", "round", "is a reserved name"),
    ("round", 7, "round", "must be a string (found 7)"),
    ("round", None, "round", "must be a string (found null)"),
    ("after", "evening", "after", "must be a list"),
    ("after", ["a b"], "after[0]", "must be letters"),
    ("after", ["x", "x"], "after", "must all differ"),
    ("after", ["evening", "night"], "after[1]", "is this round itself"),
    ("after", [3], "after[0]", "must be a string"),
    ("title", "", "title", "must not be empty"),
    ("title", "a\nb", "title", "must be one line of text"),
    ("title", "x" * 201, "title", "at most 200 characters"),
    ("title", ["x"], "title", "must be a string"),
    ("priority", 1.5, "priority", "must be a whole number"),
    (
        "priority",
        "1",
        "priority",
        'must be a whole number, written without a point or an exponent (found "1")',
    ),
    (
        "priority",
        True,
        "priority",
        "must be a whole number, written without a point or an exponent (found true)",
    ),
    ("priority", 10**6, "priority", "must be at most 1000"),
    # objective
    ("objective", "acc", "objective", "must be a table"),
    ("objective/direction", "max", "objective.direction", "must be 'maximize' or 'minimize'"),
    ("objective/min_effect", 0, "objective.min_effect", "must be greater than 0"),
    ("objective/min_effect", "1", "objective.min_effect", "must be a number"),
    ("objective/min_effect", math.inf, "objective.min_effect", "must be a finite number"),
    ("objective/metric", "", "objective.metric", "must be one word"),
    ("objective/metric", "two words", "objective.metric", "must be one word"),
    ("objective/unit", "x" * 17, "objective.unit", "must be one word"),
    (
        "objective",
        {"unit": "nat", "direction": "minimize"},
        "objective.min_effect",
        'is missing: with unit "nat"',
    ),
    ("tasks/1/objective", {"unit": "F1"}, "tasks[1].objective.min_effect", 'is missing: with unit "F1"'),
    ("objective", {"metric": "val_loss"}, "objective.direction", 'is missing: say whether "val_loss"'),
    # policy
    ("policy", "threshold", "policy", "must be a table"),
    ("policy/name", "treshold", "policy.name", 'unknown policy; did you mean "threshold"?'),
    ("policy/name", "zzz", "policy.name", "unknown policy; known here:"),
    ("policy/name", "evidence", "policy.name", "unknown policy"),
    ("policy/name", 3, "policy.name", "must be a string"),
    ("policy/min_delta", 0.2, "policy.d_acc", "is the old name of min_delta, which is given too"),
    ("policy/d_acc", "high", "policy.d_acc", "must be a finite number"),
    ("tasks/1/policy/min_delta", True, "tasks[1].policy.min_delta", "must be a finite number"),
    ("tasks/0/policy", {"name": "tresh"}, "tasks[0].policy.name", 'did you mean "threshold"?'),
    (
        "tasks/0/objective",
        {"metric": "f1", "unit": "points", "min_effect": 0.1},
        "tasks[0].policy.min_delta",
        'is missing: the round gives it in "pp"',
    ),
    # stages
    ("stages", [], "stages", "must be a table"),
    ("stages/quick", 3, "stages.quick", "must be a table"),
    ("stages/quick/max_steps", 0, "stages.quick.max_steps", "must be at least 1 (found 0)"),
    ("stages/quick/max_steps", 1e3, "stages.quick.max_steps", "must be a whole number"),
    ("stages/quick/time_budget_sec", 0, "stages.quick.time_budget_sec", "must be greater than 0"),
    ("stages/quick/time_budget_sec", -1, "stages.quick.time_budget_sec", "(found -1)"),
    ("stages/quick/time_budget_sec", "2m", "stages.quick.time_budget_sec", 'must be a number (found "2m")'),
    ("stages/quick/time_budget_sec", 1e99, "stages.quick.time_budget_sec", "must be at most"),
    ("stages/quick/time_budget_sec", GONE, "stages.quick.time_budget_sec", "is missing: every stage needs"),
    ("stages/quick/eval_every", 0, "stages.quick.eval_every", "must be at least 1"),
    ("stages/quick/n_eval", -5, "stages.quick.n_eval", "must be at least 1"),
    ("stages/long", {}, "stages.long.time_budget_sec", "is missing"),
    (
        "tasks/0/stages/long",
        {"max_steps": 1},
        "tasks[0].stages.long",
        "is no stage of this round; it has quick, medium",
    ),
    ("stages/confirm", {"max_steps": 9}, "stages.confirm.max_steps", "as in medium (650)"),
    (
        "stages",
        {"medium": {"time_budget_sec": 2}, "quick": {"time_budget_sec": 1}},
        "stages",
        "must be written in order of effort: quick, medium",
    ),
    (
        "stages",
        {"quick": {"time_budget_sec": 1}, "confirm": {"time_budget_sec": 1}},
        "stages.confirm",
        "needs a stage medium",
    ),
    # tasks
    ("tasks", GONE, "tasks", "is missing"),
    ("tasks", [], "tasks", "must have at least one entry"),
    ("tasks", {"name": "x"}, "tasks", "must be a list"),
    ("tasks/1", "second", "tasks[1]", "must be a table"),
    ("tasks/1/name", GONE, "tasks[1].name", "is missing"),
    ("tasks/1/name", "sudoku", "tasks[1].name", "is the name of tasks[0] too"),
    ("tasks/1/name", "a/b", "tasks[1].name", "must be letters"),
    ("tasks/1/name", "ledger", "tasks[1].name", "is a reserved name"),
    ("tasks/1/trainer", GONE, "tasks[1].trainer", "is missing [task second]"),
    ("tasks/1/trainer", "", "tasks[1].trainer", "must be the name of a trainer"),
    ("tasks/1/trainer", "os.path", "tasks[1].trainer", "must be the name of a trainer"),
    ("tasks/1/trainer", "../../evil", "tasks[1].trainer", "must be the name of a trainer"),
    ("tasks/0/seeds", [], "tasks[0].seeds", "must have at least one entry"),
    ("tasks/0/seeds", 0, "tasks[0].seeds", "must be a list (found 0)"),
    ("tasks/0/seeds", [1, 1], "tasks[0].seeds", "must all differ (found [1, 1])"),
    ("tasks/0/seeds", [-1], "tasks[0].seeds[0]", "must be at least 0"),
    ("tasks/0/seeds", [0, 2**31], "tasks[0].seeds[1]", "must be less than 2147483648"),
    ("tasks/0/seeds", [0.0], "tasks[0].seeds[0]", "must be a whole number"),
    ("tasks/0/seeds", ["0"], "tasks[0].seeds[0]", "must be a whole number"),
    ("tasks/0/bsz", 0, "tasks[0].bsz", "must be at least 1 (found 0)"),
    ("tasks/0/bsz", [], "tasks[0].bsz", "must have at least one entry"),
    ("tasks/0/bsz", [32, 64], "tasks[0].bsz", "must fall from the largest to the smallest"),
    ("tasks/0/bsz", [32, 32], "tasks[0].bsz", "must fall"),
    ("tasks/0/bsz", "auto", "tasks[0].bsz", 'must be a whole number or a list of them (found "auto")'),
    ("tasks/0/bsz", 3.5, "tasks[0].bsz", "must be a whole number or a list of them (found 3.5)"),
    ("tasks/0/bsz", True, "tasks[0].bsz", "must be a whole number or a list of them (found true)"),
    ("tasks/0/bsz", [64, "x"], "tasks[0].bsz[1]", "must be a whole number"),
    ("tasks/0/args", [], "tasks[0].args", "must be a table"),
    ("tasks/0/baseline", "none", "tasks[0].baseline", "must be a table"),
    # variants and grids
    ("tasks/0/variants", ["a"], "tasks[0].variants", "must be a table"),
    ("tasks/0/variants/hot", 0.1, "tasks[0].variants.hot", "must be a table (found 0.1)"),
    ("tasks/0/variants/baseline", {}, "tasks[0].variants.baseline", "is the name of the baseline"),
    ("tasks/0/variants/Baseline", {}, "tasks[0].variants.Baseline", "is the name of the baseline"),
    ("tasks/0/variants/a b", {}, 'tasks[0].variants."a b"', 'must be letters, digits, "_", "-" and "."'),
    ("tasks/0/variants/.x", {}, 'tasks[0].variants.".x"', "must be letters"),
    ("tasks/0/grid", {}, "tasks[0].grid", "has no axes"),
    ("tasks/0/grid", [1], "tasks[0].grid", "must be a table"),
    ("tasks/0/grid", GONE, "tasks[0].grid_base", "has no effect without a grid"),
    ("tasks/0/grid/layer_start", 1, "tasks[0].grid.layer_start", "must be a list (found 1)"),
    ("tasks/0/grid/layer_start", [], "tasks[0].grid.layer_start", "must have at least one entry"),
    ("tasks/0/grid/layer_start", [1, [2]], "tasks[0].grid.layer_start[1]", "must be a number, a string or"),
    ("tasks/0/grid/layer_start", [1, None], "tasks[0].grid.layer_start[1]", "must be a number, a string or"),
    ("tasks/0/grid/layer_start", [{}], "tasks[0].grid.layer_start[0]", "(found a table)"),
    (
        "tasks/0/grid/layer_start",
        [1, 2, 1],
        "tasks[0].grid.layer_start[2]",
        "the same name in a variant as entry 0",
    ),
    ("tasks/0/grid/gate", ["a"], "tasks[0].grid.gate", "is in grid_base too"),
    ("tasks/0/grid/layer_start", list(range(6000)), "tasks[0].grid", "makes 12000 variants"),
    ("tasks/0/grid/x", ["y" * 60], "tasks[0].grid", "makes names of 9"),
    ("tasks/0/grid", {"_x": [1]}, "tasks[0].grid", "do not begin with a letter"),
]


@pytest.mark.parametrize(
    ("place", "value", "path", "words"),
    CASES,
    ids=[f"{place}={'gone' if value is GONE else str(value)[:30]}" for place, value, _, _ in CASES],
)
def test_a_mistake_is_named_at_its_place_and_alone(place: str, value: Any, path: str, words: str) -> None:
    problems = problems_of(changed(place, value))
    assert len(problems) == 1, problems
    assert problems[0].startswith(f"{path}: "), problems
    assert words in problems[0]


def test_the_table_starts_from_a_spec_without_problems() -> None:
    assert problems_of(GOOD) == ()


@pytest.mark.parametrize("file", ["my spec.toml", "cache.toml", "a.b.toml", "-x.json", "x" * 70 + ".toml"])
def test_a_file_name_that_is_no_id_asks_for_one(file: str) -> None:
    problems = problems_of(changed("round", GONE), file)
    assert len(problems) == 1
    assert problems[0].startswith("round: is missing")
    assert 'set round = "..."' in problems[0]


def test_without_stages_every_task_says_what_it_lacks() -> None:
    assert [text.split(": ")[:2] for text in problems_of(changed("stages", GONE))] == [
        ["tasks[0].stages.quick.time_budget_sec", "is missing"],
        ["stages", "is missing"],
    ]


def test_a_round_that_is_named_by_its_file_cannot_wait_for_itself() -> None:
    spec = changed("round", GONE)
    assert problems_of(spec, "evening.toml") == ('after[0]: is this round itself (found "evening")',)


def test_all_problems_come_at_once_in_every_part() -> None:
    spec = changed("tasks/0/grid/layer_start", [])
    spec |= {"titel": "x", "priority": "high"}
    spec["stages"]["quick"]["max_steps"] = 0
    spec["stages"]["qiuck"] = {}
    spec["policy"]["keep"] = 1
    spec["tasks"][1] |= {"seeds": [1, 1], "name": "sudoku", "variants": {"a b": {}}}
    spec["tasks"].append({"objective": {"unit": "nat"}})
    paths = {text.partition(": ")[0] for text in problems_of(spec)}
    assert paths == {
        "titel",
        "priority",
        "stages.quick.max_steps",
        "stages.qiuck",
        "policy.keep",
        "tasks[0].grid.layer_start",
        "tasks[1].seeds",
        "tasks[1].name",
        'tasks[1].variants."a b"',
        "tasks[2].name",
        "tasks[2].trainer",
        "tasks[2].objective.min_effect",
        "tasks[2].policy.min_delta",
    }


def test_a_task_that_has_a_mistake_keeps_the_numbers_of_the_others() -> None:
    spec = copy.deepcopy(GOOD)
    spec["tasks"] = ["no table", {"name": "b", "trainer": "command", "seeds": [1, 1]}]
    assert [text.partition(": ")[0] for text in problems_of(spec)] == ["tasks[0]", "tasks[1].seeds"]


def test_a_problem_of_the_round_is_told_once_whatever_the_number_of_tasks() -> None:
    spec = changed("policy/keep", 1)
    spec["tasks"] = [{"name": f"t{i}", "trainer": "command"} for i in range(5)]
    assert len(problems_of(spec)) == 1


def test_more_problems_than_anyone_reads_are_counted() -> None:
    spec = {**GOOD, **{f"zzz{i}": 1 for i in range(MAX_PROBLEMS + 20)}}
    problems = problems_of(spec)
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1] == "... and 20 more problems"


def test_a_value_that_may_be_secret_is_not_shown() -> None:
    spec = changed("tasks/0/args/env/API_TOKEN", math.nan)
    text = json.dumps(spec).encode()
    (problem,) = rendered(check(parse(text, ".json"), "night.json")[1])
    assert problem.startswith("tasks[0].args.env.API_TOKEN: must be a finite number (found a value that is")


def test_what_is_shown_cannot_steer_a_terminal_and_is_short() -> None:
    spec = {**GOOD, "x\x1b[2J\u202e" + "y" * 500: "\x1b]0;owned\x07" + "z" * 500}
    (problem,) = problems_of(spec)
    assert problem.isprintable()
    assert len(problem) < 400


def test_two_tasks_cannot_hold_more_variants_together_than_a_round_may() -> None:
    spec = changed("tasks/1/grid", {"x": list(range(9_995))})
    (problem,) = problems_of(spec)
    assert problem.startswith(
        "tasks[1].grid: makes 9995 variants; of the 10000 that a round may have, 9994 are left"
    )


def test_a_grid_may_not_make_a_variant_that_is_written_out() -> None:
    spec = changed("tasks/0/variants/layer_start-1_alpha_init--3.0", {})
    (problem,) = problems_of(spec)
    assert problem.startswith("tasks[0].grid: makes a variant of the same name as one that is written out")
    assert '(found "layer_start-1_alpha_init--3.0")' in problem


def test_two_combinations_of_a_grid_may_not_have_the_same_name() -> None:
    spec = changed("tasks/0/grid", {"a": ["b_c-1", "b"], "c": [1], "c-1_c": [1]})
    spec["tasks"][0]["grid"] = {"a": ["x", "x_b-1"], "b": [1, "1_b-1"]}
    (problem,) = problems_of(spec)
    assert problem.startswith("tasks[0].grid: makes two variants of the same name")


def test_a_very_long_axis_is_counted_and_not_made() -> None:
    (problem,) = problems_of(changed("tasks/0/grid", {"x": list(range(100_000))}))
    assert problem.startswith("tasks[0].grid: makes 100000 variants")
