"""Do bytes become plain data or a problem, whatever they are?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.rounds.check import check
from scheduler.rounds.parse import MAX_BYTES, MAX_DEPTH, parse
from scheduler.rounds.problems import rendered


def problems_of(data: bytes, suffix: str) -> tuple[str, ...]:
    return rendered(parse(data, suffix).problems)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


UNREADABLE = [
    (".toml", b"", "the file is empty"),
    (".toml", b" \n\t\n", "the file is empty"),
    (".json", b"", "the file is empty"),
    (".toml", b"\0\0\0", "line 1: the file holds a NUL byte"),
    (".toml", b"a = 1\nb = '\0'\n", "line 2: the file holds a NUL byte"),
    (".toml", b"a = 1\nb = '\xff'\n", "line 2: not UTF-8 (byte 0xff at offset 11)"),
    (".json", '{"a": "é"}'.encode("utf-16"), "not UTF-8"),
    (".json", '{"a": "é"}'.encode("latin-1"), "line 1: not UTF-8 (byte 0xe9"),
    (".toml", b"a = 1" + b" " * MAX_BYTES, "at most 262144 are read"),
    (".toml", b"a == 1", "line 1, column 4: not TOML: Invalid value in `a = ...`"),
    (".toml", b"x = 1\n\na = 1 b = 2", "line 3, column 7: not TOML"),
    (".toml", b"a = 1\na = 2", "not TOML: Cannot overwrite a value"),
    (".toml", b"[stages.quick]\n[stages.quick]", "not TOML: Cannot declare ('stages', 'quick') twice"),
    (".toml", b"a = {b = 1, b = 2}", "not TOML: Duplicate inline table key 'b'"),
    (".toml", b'a = "x', "not TOML"),
    (".toml", b"[[tasks]\nname = 1", "line 1, column"),
    (".toml", b"a = [", "not TOML: Invalid value at the end of the file"),
    (".toml", b"a = 01", "not TOML"),
    (".toml", b"a = 2024-13-45", "not TOML"),
    (".toml", b"a = " + b"9" * 5000, "not TOML: Exceeds the limit"),
    (".toml", b"a = " + b"[" * 50_000, "nested more than 16 levels deep"),
    (".toml", b"a" + b".a" * 500 + b" = 1", "nested more than 16 levels deep"),
    (".toml", json.dumps({"tasks": []}).encode(), "line 1, column 1: not TOML"),
    (".json", b"[" * 100_000, "nested more than 16 levels deep"),
    (".json", b'{"a":' * 50_000, "nested more than 16 levels deep"),
    (".json", b"round = 1", "line 1, column 1: not JSON"),
    (".json", b'{"a": 1,}', "not JSON"),
    (".json", b'{"a": 1}\n{"b": 2}', "line 2, column 1: not JSON: Extra data"),
    (".json", b"[]", "the file must hold one JSON object (found [])"),
    (".json", b'"x"', 'the file must hold one JSON object (found "x")'),
    (".json", b"null", "the file must hold one JSON object (found null)"),
    (".json", b"NaN", "the file must hold one JSON object"),
    (".json", b'{"a": ' + b"9" * 5000 + b"}", "not JSON: Exceeds the limit"),
]


@pytest.mark.parametrize(("suffix", "data", "words"), UNREADABLE, ids=[str(c[1][:25]) for c in UNREADABLE])
def test_what_cannot_be_read_is_one_problem_with_its_line(suffix: str, data: bytes, words: str) -> None:
    parsed = parse(data, suffix)
    (problem,) = rendered(parsed.problems)
    assert parsed.data is None
    assert words in problem


BAD_VALUES = [
    (".toml", b"a = nan", "a: must be a finite number (found NaN)"),
    (".toml", b"a = -inf", "a: must be a finite number (found -Infinity)"),
    (".json", b'{"a": [1, NaN]}', "a[1]: must be a finite number (found NaN)"),
    (".json", b'{"a": 1e999}', "a: must be a finite number (found Infinity)"),
    (".json", b'{"a": 9223372036854775808}', "a: must fit into 64 bits (found 9223372036854775808)"),
    (".toml", b"a = " + b"9" * 4000, "a: must fit into 64 bits (found a very large number)"),
    (
        ".toml",
        b"a = 2024-01-01",
        'a: dates and times have no meaning here; write it as a string (found "2024-',
    ),
    (".toml", b"a = {b = 07:32:00}", "a.b: dates and times have no meaning here"),
    (".json", b'{"a": "\\ud800"}', "a: holds a NUL or half a character"),
    (".json", b'{"a": "\\u0000"}', "a: holds a NUL or half a character"),
    (".json", b'{"": 1}', '"": the key is empty or holds characters that are no text'),
    (".toml", b'a."" = 1', 'a."": the key is empty'),
    (".json", b'{"a": 1, "a": 1}', "a: the key is given twice"),
    (
        ".json",
        b'{"tasks": [{"args": {"lr": 1, "x": 2, "lr": 3}}]}',
        "tasks[0].args.lr: the key is given twice",
    ),
]


@pytest.mark.parametrize(("suffix", "data", "words"), BAD_VALUES, ids=[str(c[1][:25]) for c in BAD_VALUES])
def test_a_value_that_no_record_can_hold_is_named_at_its_place(suffix: str, data: bytes, words: str) -> None:
    (problem,) = problems_of(data, suffix)
    assert problem.startswith(words)


def test_all_bad_values_are_named_at_once() -> None:
    data = b'{"a": NaN, "b": [1, Infinity], "c": 1, "c": 2, "d": {"e": 99999999999999999999}}'
    assert [text.partition(":")[0] for text in problems_of(data, ".json")] == ["c", "a", "b[1]", "d.e"]


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_a_byte_order_mark_and_windows_line_ends_are_read(suffix: str) -> None:
    text = 'round = "a"\r\n[policy]\r\n' if suffix == ".toml" else '{"round": "a",\r\n "policy": {}}'
    assert parse(b"\xef\xbb\xbf" + text.encode(), suffix).data == {"round": "a", "policy": {}}


def test_the_deepest_allowed_nesting_is_read_and_one_more_is_not() -> None:
    assert parse(json.dumps(nested(MAX_DEPTH)).encode(), ".json").problems == ()
    (problem,) = problems_of(json.dumps(nested(MAX_DEPTH + 1)).encode(), ".json")
    assert problem == "a" + ".a" * 15 + ": nested more than 16 levels deep"


def test_the_value_on_a_broken_line_is_not_shown() -> None:
    (problem,) = problems_of(b'API_TOKEN = "hunter2" x', ".toml")
    assert "hunter2" not in problem
    assert "in `API_TOKEN = ...`" in problem


def test_a_duplicate_among_many_keys_is_found_quickly() -> None:
    data = ("{" + ",".join(f'"k{i}": 1' for i in range(20_000)) + ', "k7": 2}').encode()
    assert problems_of(data, ".json") == ("k7: the key is given twice",)


_plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
_spec_keys = st.sampled_from(
    (
        *("round", "title", "after", "objective", "policy", "stages", "tasks", "name", "trainer", "seeds"),
        *("bsz", "quick", "medium", "confirm", "args", "baseline", "variants", "grid", "grid_base"),
        *("max_steps", "time_budget_sec"),
    )
)
_spec_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_spec_keys, inner, max_size=6),
    max_leaves=30,
)


@given(data=st.binary(max_size=300), suffix=st.sampled_from([".toml", ".json"]))
def test_random_bytes_never_raise(data: bytes, suffix: str) -> None:
    draft, problems = check(parse(data, suffix), "x.toml")
    assert problems
    assert draft is None or not draft.tasks


@given(value=_plain)
def test_any_json_that_records_can_hold_is_read_as_it_is(value: Any) -> None:
    parsed = parse(json.dumps({"a": value}).encode(), ".json")
    if parsed.problems == ():
        assert parsed.data == {"a": value}
    else:
        assert any(
            word in text for text in rendered(parsed.problems) for word in ("key", "NUL", "deep", "finite")
        )


@given(value=st.dictionaries(_spec_keys, _spec_like, max_size=8))
def test_anything_that_looks_like_a_spec_is_checked_without_raising(value: dict[str, Any]) -> None:
    draft, problems = check(parse(json.dumps(value).encode(), ".json"), "x.json")
    assert problems or draft is not None
    assert all(text.isprintable() for text in rendered(problems))
    if draft is not None:
        json.dumps(draft.to_json(), allow_nan=False)


@given(text=st.text(max_size=60), place=st.integers(0, 400), suffix=st.sampled_from([".toml", ".json"]))
def test_a_damaged_spec_is_checked_without_raising(text: str, place: int, suffix: str) -> None:
    sound = {
        "round": "a",
        "stages": {"quick": {"time_budget_sec": 1}},
        "tasks": [{"name": "t", "trainer": "x"}],
    }
    toml = 'round = "a"\n[stages.quick]\ntime_budget_sec = 1\n[[tasks]]\nname = "t"\ntrainer = "x"\n'
    whole = json.dumps(sound) if suffix == ".json" else toml
    damaged = whole[:place] + text + whole[place + len(text) // 2 :]
    _, problems = check(parse(damaged.encode("utf-8", "surrogatepass"), suffix), "x" + suffix)
    assert all(text.isprintable() for text in rendered(problems))
