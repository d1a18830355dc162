"""What becomes of a draft with the answers of its trainers, and where do their problems go?"""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.rounds.check import check
from scheduler.rounds.draft import Draft
from scheduler.rounds.parse import Parsed
from scheduler.rounds.problems import rendered
from scheduler.rounds.resolve import UnusableAnswerError, request, resolved, trainer_problems
from scheduler.rounds.round import Round, TrainerIdentity, Variant

IDENTITY = {
    "source": "s1",
    "data": "d1",
    "parts": {"git": "g"},
    "versions": {"torch": "2"},
    "is_complete": False,
}


def draft_of(**task: Any) -> Draft:
    spec = {
        "round": "night",
        "stages": {"quick": {"max_steps": 5, "time_budget_sec": 1}},
        "tasks": [
            {
                "name": "t",
                "trainer": "future_seed",
                "args": {"side": 4, "metrics": {"loss": ["a", "b"]}},
                "baseline": {"gate": "none"},
                "variants": {"hot": {"lr": 0.1}},
                "grid_base": {"gate": "scalar"},
                "grid": {"layer": [1, 9]},
            }
            | task
        ],
    }
    draft, problems = check(Parsed(data=spec), "x.toml")
    assert problems == []
    assert draft is not None
    return draft


def answer_of(draft: Draft, *problems: tuple[str | None, str | None, str]) -> dict[str, Any]:
    """What the trainers would say of each task."""
    told = [dict(zip(("config", "field", "message"), problem, strict=True)) for problem in problems]
    tasks = [
        {
            "name": task["name"],
            "problems": told,
            "configs": {name: {**task["args"], **table} for name, table in task["configs"].items()},
            "costliest": "hot",
            "has_steps": True,
            "examples": {stage["name"]: {"examples": 96, "clusters": 48} for stage in task["stages"]},
            "identity": IDENTITY,
        }
        for task in request(draft, "/home/x")["tasks"]
    ]
    return {"tasks": tasks}


def test_the_trainers_are_asked_about_every_config() -> None:
    asked = request(draft_of(), "/home/x")
    assert asked["home"] == "/home/x"
    assert asked["tasks"][0]["configs"] == {
        "baseline": {"gate": "none"},
        "hot": {"lr": 0.1},
        "layer-1": {"gate": "scalar", "layer": 1},
        "layer-9": {"gate": "scalar", "layer": 9},
    }
    (stage,) = asked["tasks"][0]["stages"]
    assert (stage["name"], stage["max_steps"], stage["time_budget_sec"]) == ("quick", 5, 1.0)


def test_a_round_has_the_whole_config_of_every_variant() -> None:
    draft = draft_of()
    (task,) = resolved(draft, answer_of(draft)).tasks
    assert task.variant("hot") == Variant(
        name="hot",
        changes={"lr": 0.1},
        config={"side": 4, "metrics": {"loss": ["a", "b"]}, "lr": 0.1},
    )
    assert task.baseline.config["gate"] == "none"
    assert [variant.name for variant in task.variants] == ["hot", "layer-1", "layer-9"]
    assert (task.costliest, task.has_steps) == ("hot", True)
    assert [(stage.examples, stage.independent_examples) for stage in task.stages] == [(96, 48)]
    assert task.identity == TrainerIdentity(
        source="s1", data="d1", parts={"git": "g"}, versions={"torch": "2"}, is_complete=False
    )


def test_a_resolved_round_survives_json() -> None:
    draft = draft_of()
    made = resolved(draft, answer_of(draft))
    assert Round.from_json(json.loads(json.dumps(made.to_json()))) == made


_arguments = st.dictionaries(
    st.text("abcxyz_.é", min_size=1, max_size=6),
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.lists(st.text(max_size=3), max_size=3),
    max_size=4,
)


@given(
    args=_arguments,
    baseline=_arguments,
    variants=st.dictionaries(
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True), _arguments, max_size=4
    ),
    seeds=st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=3, unique=True),
)
def test_every_resolved_round_survives_json(
    args: dict[str, Any], baseline: dict[str, Any], variants: dict[str, Any], seeds: list[int]
) -> None:
    draft = draft_of(args=args, baseline=baseline, variants=variants, seeds=seeds)
    made = resolved(draft, answer_of(draft))
    assert Round.from_json(orjson.loads(orjson.dumps(made.to_json()))) == made
    assert made.tasks[0].seeds == tuple(seeds)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (
            (None, None, "no trainer 'future_seed': did you mean ..."),
            "tasks[0].trainer: no trainer 'future_seed': did you mean ... [task t]",
        ),
        ((None, None, "side and masked do not fit"), "tasks[0].args: side and masked do not fit [task t]"),
        ((None, "side", "must be 4 or 9"), "tasks[0].args.side: must be 4 or 9 (found 4) [task t]"),
        (
            (None, "metrics.loss.1", "no group"),
            'tasks[0].args.metrics.loss[1]: no group (found "b") [task t]',
        ),
        ((None, "corpus", "corpus is required"), "tasks[0].args.corpus: corpus is required [task t]"),
        (
            ("baseline", "gate", "unknown gate"),
            'tasks[0].baseline.gate: unknown gate (found "none") [task t]',
        ),
        (("hot", "lr", "too hot"), "tasks[0].variants.hot.lr: too hot (found 0.1) [task t]"),
        (("hot", "side", "too small with lr"), "tasks[0].args.side: too small with lr (found 4) [task t]"),
        (("hot", "warmup", "is required"), "tasks[0].variants.hot.warmup: is required [task t]"),
        (("hot", None, "is the same as baseline"), "tasks[0].variants.hot: is the same as baseline [task t]"),
        (("layer-9", "layer", "too deep"), "tasks[0].grid.layer[1]: too deep (found 9) [task t]"),
        (("layer-9", "gate", "unknown"), 'tasks[0].grid_base.gate: unknown (found "scalar") [task t]'),
        (("layer-9", None, "does not fit"), "tasks[0].grid: does not fit (variant layer-9) [task t]"),
    ],
)
def test_a_problem_is_put_where_the_file_has_its_cause(
    problem: tuple[str | None, str | None, str], text: str
) -> None:
    draft = draft_of()
    assert rendered(trainer_problems(draft, answer_of(draft, problem))) == (text,)


def test_what_all_configs_say_themselves_is_not_put_into_args() -> None:
    draft = draft_of(
        grid={"layer": [1]}, grid_base={"lrr": 2}, baseline={"lrr": 1}, variants={"hot": {"lrr": 3}}
    )
    problems = trainer_problems(draft, answer_of(draft, (None, "lrr", "unknown field 'lrr'")))
    assert [text.partition(":")[0] for text in rendered(problems)] == [
        "tasks[0].baseline.lrr",
        "tasks[0].variants.hot.lrr",
        "tasks[0].grid_base.lrr",
    ]


def test_the_same_value_of_an_axis_is_reported_once_for_all_its_combinations() -> None:
    draft = draft_of(grid={"layer": [1, 9], "alpha": [1, 2, 3]})
    told = [(f"layer-9_alpha-{alpha}", "layer", "too deep") for alpha in (1, 2, 3)]
    assert rendered(trainer_problems(draft, answer_of(draft, *told))) == (
        "tasks[0].grid.layer[1]: too deep (found 9) [task t]",
    )


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"tasks": []},
        {"tasks": [{"name": "other"}]},
        {"tasks": [{"name": "t"}]},
        {"tasks": [None]},
    ],
    ids=str,
)
def test_an_answer_to_another_question_is_refused(answer: Any) -> None:
    with pytest.raises(UnusableAnswerError):
        trainer_problems(draft_of(), answer)


def test_an_answer_that_lacks_a_variant_is_refused() -> None:
    draft = draft_of()
    answer = answer_of(draft)
    del answer["tasks"][0]["configs"]["hot"]
    with pytest.raises(UnusableAnswerError, match="hot"):
        resolved(draft, answer)


def test_a_round_that_was_written_before_stages_told_their_examples_is_still_read() -> None:
    draft = draft_of()
    made = resolved(draft, answer_of(draft))
    old = orjson.loads(orjson.dumps(made.to_json()))
    for stage in old["tasks"][0]["stages"]:
        del stage["examples"], stage["clusters"]
    (stage,) = Round.from_json(old).task("t").stages
    assert stage.independent_examples is None
    assert stage.budget == made.task("t").stages[0].budget
