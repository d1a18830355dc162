"""A layered mapping is a dict that a change leaves as it was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.decide.layered import LEAST_RECENT, Layered

CHANGES = st.lists(st.tuples(st.integers(0, 60), st.integers()), max_size=200)


@given(CHANGES)
def test_it_reads_like_a_dict_that_was_changed_alike(changes: list[tuple[int, int]]) -> None:
    layered: Layered[int, int] = Layered()
    expected: dict[int, int] = {}
    for key, value in changes:
        layered, expected = layered.after(key, value), {**expected, key: value}
    assert list(layered.items()) == list(expected.items())
    assert len(layered) == len(expected)
    assert layered == expected
    assert [layered.get(key) for key in range(62)] == [expected.get(key) for key in range(62)]
    assert [key in layered for key in range(62)] == [key in expected for key in range(62)]


@given(CHANGES)
def test_what_it_was_before_stays(changes: list[tuple[int, int]]) -> None:
    versions: list[Layered[int, int]] = [Layered()]
    copies: list[dict[int, int]] = [{}]
    for key, value in changes:
        versions.append(versions[-1].after(key, value))
        copies.append(dict(versions[-1]))
    assert [dict(version) for version in versions] == copies


def test_two_of_one_origin_go_their_own_ways() -> None:
    origin = Layered({"a": 1})
    one, other = origin.after("a", 2), origin.after("b", 3)
    assert (dict(origin), dict(one), dict(other)) == ({"a": 1}, {"a": 2}, {"a": 1, "b": 3})


def test_a_change_shares_nearly_all_with_what_was() -> None:
    layered: Layered[int, int] = Layered(dict.fromkeys(range(10_000), 0))
    bases = set()
    for key in range(LEAST_RECENT):
        layered = layered.after(key, 1)
        bases.add(id(layered._base))
    assert len(bases) == 1
