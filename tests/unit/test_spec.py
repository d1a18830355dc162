"""What does a sound spec mean? Inheritance, grids, defaults, and the schema that describes it."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.evidence import Objective
from scheduler.rounds.check import check
from scheduler.rounds.draft import Draft, TaskDraft
from scheduler.rounds.grid import grid_name
from scheduler.rounds.parse import Parsed
from scheduler.rounds.round import Budget, PolicyChoice
from scheduler.rounds.spec import json_schema

EXAMPLE = """
round = "sudoku-night"
title = "Does Future-Seed help on 4x4 Sudoku?"
objective = { metric = "acc", direction = "maximize", unit = "pp", min_effect = 1.0 }

[policy]
name = "threshold"
d_acc = 0.3

[stages.quick]
max_steps = 180
time_budget_sec = 120
[stages.medium]
max_steps = 650
time_budget_sec = 420

[[tasks]]
name = "sudoku4_refine"
trainer = "future_seed"
seeds = [0]
bsz = [64, 48, 32]
[tasks.stages.quick]
max_steps = 150
[tasks.args]
task = "sudoku"
side = 4
[tasks.baseline]
gate = "none"
[tasks.variants.scalar_l1_trainable]
gate = "scalar"
layer_start = 1
alpha_lr = 5e-4
[tasks.grid_base]
gate = "scalar"
[tasks.grid]
layer_start = [1, 2]
alpha_init = [-2.0, -3.0]

[[tasks]]
name = "lr"
trainer = "command"
seeds = [0, 1, 2]
objective = { metric = "loss", direction = "minimize", unit = "nat", min_effect = 0.01 }
[tasks.policy]
min_delta = 0.005
[tasks.args]
argv = ["python3", "train.py", "--lr", "{lr}"]
env = { WANDB_MODE = "offline" }
[tasks.baseline]
lr = 0.01
[tasks.variants.hot]
lr = 0.1
"""


SCHEMA = jsonschema.Draft202012Validator(json_schema())


def draft_of(spec: dict[str, Any] | str, file: str = "night.toml") -> Draft:
    data = tomllib.loads(spec) if isinstance(spec, str) else spec
    draft, problems = check(Parsed(data=data), file)
    assert problems == []
    assert draft is not None
    return draft


def task_of(**task: Any) -> TaskDraft:
    """The only task of a small round; `round_*` keys are the round's."""
    of_round = {key.removeprefix("round_"): task.pop(key) for key in list(task) if key.startswith("round_")}
    of_round.setdefault("stages", {"quick": {"time_budget_sec": 1}})
    return draft_of({**of_round, "tasks": [{"name": "t", "trainer": "command", **task}]}).tasks[0]


def test_the_example_says_what_it_should() -> None:
    draft = draft_of(EXAMPLE)
    sudoku, lr = draft.tasks
    assert (draft.id, draft.title, draft.priority) == (
        "sudoku-night",
        "Does Future-Seed help on 4x4 Sudoku?",
        0,
    )
    assert sudoku.bsz == (64, 48, 32)
    assert [stage.name for stage in sudoku.stages] == ["quick", "medium"]
    assert [stage.budget.max_steps for stage in sudoku.stages] == [150, 650]
    assert sudoku.policy == PolicyChoice(name="threshold", options={"min_delta": 0.3})
    assert lr.policy == PolicyChoice(name="threshold", options={"min_delta": 0.005})
    assert lr.objective == Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01)
    assert lr.stages[0].budget == Budget(max_steps=180, time_budget_sec=120.0)


def test_defaults_are_those_of_the_documentation() -> None:
    draft = draft_of(
        {"stages": {"quick": {"time_budget_sec": 1}}, "tasks": [{"name": "t", "trainer": "command"}]},
        "my-night.json",
    )
    (task,) = draft.tasks
    assert (draft.id, draft.title, draft.priority, draft.after) == ("my-night", "my-night", 0, ())
    assert (task.seeds, task.bsz, task.objective) == ((0,), (), Objective())
    assert task.policy == PolicyChoice(name="screen_confirm", options={})
    assert task.stages[0].budget.max_steps is None
    assert (task.args, task.baseline, task.variants) == ({}, {}, {})


def test_a_grid_becomes_its_cross_product_after_the_variants_that_are_written_out() -> None:
    variants = draft_of(EXAMPLE).tasks[0].variants
    assert list(variants) == [
        "scalar_l1_trainable",
        "layer_start-1_alpha_init--2.0",
        "layer_start-1_alpha_init--3.0",
        "layer_start-2_alpha_init--2.0",
        "layer_start-2_alpha_init--3.0",
    ]
    assert variants["layer_start-2_alpha_init--3.0"] == {
        "gate": "scalar",
        "layer_start": 2,
        "alpha_init": -3.0,
    }


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (1, "x-1"),
        (-2.0, "x--2.0"),
        (5e-4, "x-0.0005"),
        (1e-05, "x-1e-05"),
        (1e20, "x-1e20"),
        (True, "x-true"),
        ("cosine", "x-cosine"),
        ("a/b c", "x-a_b_c"),
        ("", "x-"),
    ],
)
def test_grid_names_can_be_read_and_used_as_ids(value: Any, name: str) -> None:
    assert grid_name({"x": value}) == name
    assert list(task_of(grid={"x": [value]}).variants) == [name]


def test_ten_thousand_variants_are_not_too_many() -> None:
    assert len(task_of(grid={"a": list(range(100)), "b": list(range(100))}).variants) == 10_000


def test_a_number_as_batch_size_is_a_list_of_one() -> None:
    assert task_of(bsz=64).bsz == (64,)


def test_a_task_that_names_another_policy_inherits_no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.rounds.inherit.policy_names", lambda: ("other", "threshold"))
    monkeypatch.setattr("scheduler.rounds.inherit.make_policy", lambda name, options: None)
    round_policy = {"name": "threshold", "d_acc": 0.3}
    inherits = task_of(round_policy=round_policy, policy={"more": 1})
    starts_anew = task_of(round_policy=round_policy, policy={"name": "other", "more": 1})
    assert inherits.policy == PolicyChoice(name="threshold", options={"min_delta": 0.3, "more": 1})
    assert starts_anew.policy == PolicyChoice(name="other", options={"more": 1})


def test_the_old_and_the_new_name_of_an_option_override_each_other_between_levels() -> None:
    task = task_of(round_policy={"min_delta": 0.3}, policy={"d_acc": 0.5})
    assert task.policy.options == {"min_delta": 0.5}


def test_an_objective_is_merged_key_by_key() -> None:
    task = task_of(round_objective={"metric": "f1", "min_effect": 0.5}, objective={"metric": "exact"})
    assert task.objective == Objective(metric="exact", min_effect=0.5)


def test_a_task_in_pp_does_not_inherit_an_effect_in_another_unit() -> None:
    task = task_of(
        round_objective={"metric": "bits", "unit": "bit", "min_effect": 0.01},
        objective={"metric": "acc", "unit": "pp"},
    )
    assert task.objective.min_effect == 1.0


def test_a_task_may_define_all_its_stages_when_the_round_has_none() -> None:
    task = task_of(round_stages={}, stages={"medium": {"time_budget_sec": 2, "n_eval": 8}})
    assert [(stage.name, stage.budget.n_eval) for stage in task.stages] == [("medium", 8)]


def test_a_task_may_give_the_seconds_that_the_round_leaves_out() -> None:
    task = task_of(round_stages={"quick": {"max_steps": 5}}, stages={"quick": {"time_budget_sec": 2}})
    assert task.stages[0].budget == Budget(max_steps=5, time_budget_sec=2.0)


def test_confirm_has_the_budget_of_medium() -> None:
    stages = {
        "quick": {"time_budget_sec": 1},
        "medium": {"max_steps": 9, "time_budget_sec": 2},
        "confirm": {},
    }
    task = task_of(round_stages=stages, stages={"medium": {"max_steps": 7}})
    assert task.stages[2].budget == task.stages[1].budget == Budget(max_steps=7, time_budget_sec=2.0)


def test_a_draft_survives_json() -> None:
    draft = draft_of(EXAMPLE)
    assert Draft.from_json(json.loads(json.dumps(draft.to_json()))) == draft


def test_with_a_mistake_elsewhere_the_trainers_can_still_be_asked() -> None:
    spec = tomllib.loads(EXAMPLE)
    spec["titel"] = "x"
    spec["tasks"][0]["seeds"] = []
    spec["tasks"][0]["variants"]["a b"] = {}
    spec["tasks"][1]["args"] = 3
    draft, problems = check(Parsed(data=spec), "x.toml")
    assert len(problems) == 4
    assert draft is not None
    assert [(task.name, len(task.variants)) for task in draft.tasks] == [("sudoku4_refine", 5)]


_numbers = st.one_of(st.integers(-1000, 1000), st.floats(-1e6, 1e6), st.booleans())
_names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: (
        name not in ("baseline", "cache", "active", "control", "done", "index", "journal", "daemon")
        and name not in ("ledger", "probe", "rejected", "status", "launcher")
    )
)
_arguments = st.dictionaries(_names, _numbers | st.text("abc/ é", max_size=5), max_size=4)
_tasks = st.fixed_dictionaries(
    {"name": _names, "trainer": _names, "args": _arguments, "variants": st.dictionaries(_names, _arguments)},
    optional={
        "seeds": st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=4, unique=True),
        "bsz": st.integers(1, 512)
        | st.lists(st.integers(1, 512), min_size=1, unique=True).map(
            lambda sizes: sorted(sizes, reverse=True)
        ),
        "baseline": _arguments,
        "objective": st.just({"metric": "x", "unit": "u", "min_effect": 0.5}),
    },
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    tasks=st.lists(_tasks, min_size=1, max_size=3, unique_by=lambda task: task["name"]),
    seconds=st.floats(0.1, 1e6),
)
def test_every_sound_spec_is_a_draft_that_survives_json(tasks: list[dict[str, Any]], seconds: float) -> None:
    spec = {"stages": {"quick": {"time_budget_sec": seconds}}, "tasks": copy.deepcopy(tasks)}
    draft = draft_of(spec)
    assert [task.name for task in draft.tasks] == [task["name"] for task in tasks]
    assert Draft.from_json(json.loads(json.dumps(draft.to_json()))) == draft
    SCHEMA.validate(spec)


def test_the_schema_accepts_the_example_and_says_what_the_keys_mean() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(tomllib.loads(EXAMPLE), schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["properties"]["after"]["description"] == "Ids of rounds that must be finished first."
    assert '"default": null' not in json.dumps(schema)


@pytest.mark.parametrize(
    "broken",
    [
        {"titel": "x"},
        {"tasks": []},
        {"tasks": [{"name": "t"}]},
        {"stages": {"qiuck": {}}},
        {"stages": {"quick": {"max_steps": 1.5}}},
        {"objective": {"direction": "up"}},
        {"round": "a b"},
        {"title": None},
    ],
    ids=str,
)
def test_the_schema_refuses_what_is_broken(broken: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(EXAMPLE) | broken, json_schema())


def test_the_documented_example_is_sound_and_every_key_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "round-spec.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert [task.name for task in draft_of(example).tasks] == ["sudoku4_infill"]
    assert len(draft_of(example).tasks[0].variants) == 5
    definitions = json_schema()["$defs"].values()
    keys = {key for table in (json_schema(), *definitions) for key in table["properties"]}
    assert [key for key in sorted(keys) if f"`{key}" not in text and f"stages.{key}]" not in text] == []


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "queue" / "examples").glob("*.toml")))
def test_every_example_that_ships_is_sound(path: Path) -> None:
    data = tomllib.loads(path.read_text())
    assert draft_of(data, path.name).tasks
    SCHEMA.validate(data)


def test_the_nights_of_a_race_differ_in_their_variants_alone() -> None:
    """Whatever else differed would begin another task, with a baseline of its own."""
    folder = Path(__file__).parents[2] / "queue" / "examples"
    nights = [tomllib.loads((folder / f"race_night_{number}.toml").read_text()) for number in (1, 2, 3)]
    variants = [json.dumps(task.pop("variants")) for night in nights for task in night["tasks"]]
    names = [(night.pop("round"), night.pop("title")) for night in nights]
    assert nights[0] == nights[1] == nights[2]
    assert len(set(variants)) == len(set(names)) == 3


def test_only_the_shape_of_a_file_needs_pydantic() -> None:
    code = (
        "import sys, scheduler.effects.intake, scheduler.rounds.settings;"
        "print([name for name in ('pydantic', 'torch', 'scipy', 'optuna', 'typer', 'rich', 'trainers')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
