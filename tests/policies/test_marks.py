"""Sets of variants say the same as the variants do, one by one."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies._marks import first, last_before, marks_of, members, union
from policies._memo import Memo, Same
from policies.evidence import Observation

PLACES = st.frozensets(st.integers(0, 200))


def set_of(places: Any) -> int:
    return union(1 << place for place in places)


@given(PLACES)
def test_members_are_in_file_order(places: frozenset[int]) -> None:
    assert list(members(set_of(places))) == sorted(places)
    assert first(set_of(places)) == min(places, default=None)


@given(PLACES, st.integers(0, 210))
def test_the_last_before_a_place_is_the_nearest(places: frozenset[int], end: int) -> None:
    expected = max((place for place in places if place < end), default=None)
    assert last_before(set_of(places), end) == expected


def seen(config: str, stage: str, slot: int) -> Observation:
    return Observation(
        stage=stage, config=config, seed=slot, slot=slot, status="ok", protocol=stage, value=0.5
    )


def test_a_variant_is_in_the_sets_of_what_is_known_of_it() -> None:
    marks = marks_of(
        {"a": (seen("a", "quick", 0), seen("a", "medium", 1)), "b": (), "c": (seen("c", "quick", 0),)},
        {"a": {"quick": "promoted", "medium": "held"}, "c": {"quick": "pruned"}},
        {"c": "LOSER", "a": "WINNER"},
    )
    assert marks.names == ("a", "b", "c")
    assert (marks.has_run("quick", 0), marks.has_run("medium", 1), marks.has_run("medium", 0)) == (5, 1, 0)
    assert (marks.was("promoted", "quick"), marks.was("held", "medium"), marks.decided_after("quick")) == (
        1,
        1,
        5,
    )
    assert (marks.with_verdict, marks.everyone, marks.times("pruned")) == (5, 7, 1)


def test_an_answer_is_worked_out_once_as_long_as_it_is_among_the_last_ones() -> None:
    asked: list[str] = []

    def answer(question: str) -> str:
        return memo.get(question, lambda: asked.append(question) or question.upper())

    memo: Memo[str] = Memo(2)
    assert [answer(each) for each in "abaca"] == list("ABACA")
    assert asked == ["a", "b", "c", "a"]


class Thing:
    """Equal to everything, as a value may be."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("make", [Thing, dict, list, lambda: None])
def test_only_the_very_same_object_is_the_same(make: Any) -> None:
    one = make()
    assert Same(one) == Same(one)
    assert hash(Same(one)) == hash(Same(one))
    assert (Same(one) == Same(make())) is (one is None)


def test_an_object_that_is_gone_is_the_same_as_none_that_took_its_place() -> None:
    before = Same(Thing())
    gc.collect()
    assert all(before != Same(thing) for thing in [Thing() for _ in range(100)])
