"""Can a spec ask for ways of judging, and is a wrong one named at its place?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scheduler.judging import option_names, way_names
from scheduler.rounds.check import check
from scheduler.rounds.draft import Draft
from scheduler.rounds.parse import parse
from scheduler.rounds.problems import rendered
from scheduler.rounds.round import Round

SPEC = """
round = "night"
[stages.quick]
time_budget_sec = 60
[[tasks]]
name = "sums"
trainer = "command"
"""


def checked(judge: str) -> tuple[Draft | None, tuple[str, ...]]:
    draft, problems = check(parse((SPEC + judge).encode(), ".toml"), "night.toml")
    return draft, rendered(problems)


def test_every_way_is_known() -> None:
    assert way_names() == ("band", "campaign", "litmus", "significance", "targets", "variance_first")


def test_ways_are_asked_for_by_tables_with_their_options() -> None:
    draft, problems = checked("[judge.band]\nseeds = [1, 2]\n[judge.variance_first]\n")
    assert problems == ()
    assert draft is not None
    assert draft.judge == {"band": {"seeds": [1, 2]}, "variance_first": {}}
    assert Draft.from_json(draft.to_json()) == draft


@pytest.mark.parametrize(
    ("judge", "problem"),
    [
        ("[judge.bnad]\n", 'judge.bnad: unknown way of judging; did you mean "band"?'),
        ("[judge]\nband = 1\n", "judge.band: must be a table (found 1)"),
        ("[judge.band]\ntale = 0.2\n", "judge.band.tale: unknown option; did you mean 'tail'?"),
        (
            "[judge.band]\ntail = 2\n",
            "judge.band.tail: must be a number more than 0 and less than 1 (found 2)",
        ),
        (
            "[judge.variance_first]\nbudget = 1\n",
            'judge.variance_first.budget: must be a short word such as "1M" (found 1)',
        ),
    ],
)
def test_a_wrong_way_or_option_is_named_at_its_place(judge: str, problem: str) -> None:
    assert checked(judge)[1] == (problem,)


def test_every_problem_of_the_options_is_told_at_once() -> None:
    assert len(checked("[judge.band]\ntail = 2\nseeds = 3\n[judge.x]\n")[1]) == 3


def test_a_round_keeps_what_was_asked_for_and_old_rounds_ask_for_nothing() -> None:
    data: dict[str, Any] = {"id": "night", "title": "t", "priority": 0, "after": [], "tasks": []}
    assert Round.from_json(data).judge == {}
    asked = Round.from_json({**data, "judge": {"band": {"tail": 0.2}}})
    assert Round.from_json(asked.to_json()) == asked


def test_every_way_and_option_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "judging.md").read_text()
    missing = [
        f"{way}.{option}"
        for way in way_names()
        for option in option_names(way)
        if f"`{option}`"
        not in text.partition(f"\n## {way.replace('_', ' ').capitalize()}\n")[2].partition("\n## ")[0]
    ]
    assert missing == []
