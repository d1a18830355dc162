"""Does a record come back from its line as it went in, and never from a line that was touched?"""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.effects.record_lines import MAX_TEXT_LENGTH, decode, encode

HEAD = {"v": 1, "seq": 1, "ts": "2026-01-01T00:00:00.000Z", "event": "run_finished"}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(texts, children, max_size=4),
    max_leaves=12,
)
fields = st.dictionaries(texts.filter(lambda key: key not in {*HEAD, "crc"}), json_values, max_size=6)


@given(fields)
def test_a_record_comes_back_as_it_went_in(extra: dict[str, Any]) -> None:
    record = {**HEAD, **extra}
    read = decode(encode(record))
    crc = read.pop("crc")
    assert read == record
    assert list(read) == list(record)
    assert len(crc) == 8


@given(fields)
def test_a_record_is_one_line_of_json(extra: dict[str, Any]) -> None:
    line = encode({**HEAD, **extra})
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert list(json.loads(line))[-1] == "crc"


@given(fields)
def test_encoding_a_decoded_record_gives_the_same_line(extra: dict[str, Any]) -> None:
    line = encode({**HEAD, **extra})
    assert encode(decode(line)) == line


@given(st.binary(max_size=200))
def test_bytes_that_no_writer_made_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode(data)


def test_every_changed_byte_is_noticed() -> None:
    line = encode({**HEAD, "status": "ok", "acc": 0.6416})
    for position in range(len(line) - 1):
        for byte in range(256):
            if byte != line[position]:
                with pytest.raises(ValueError):
                    decode(line[:position] + bytes([byte]) + line[position + 1 :])


def test_every_cut_is_noticed() -> None:
    line = encode({**HEAD, "status": "ok"})
    for length in range(len(line) - 1):
        with pytest.raises(ValueError):
            decode(line[:length])


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        ({"a": {"b": [1.5, math.nan]}}, {"a": {"b": [1.5, "nan"]}}),
        (((10, math.inf), (20, 0.5)), [[10, "inf"], [20, 0.5]]),
        (-0.0, -0.0),
        (1e308, 1e308),
        ("caf\u00e9 \U0001f682", "caf\u00e9 \U0001f682"),
        ("not-utf8-\udcff.toml", "not-utf8-\\udcff.toml"),
        ({"\udcff": 1}, {"\\udcff": 1}),
        ((), []),
        ({}, {}),
    ],
)
def test_values_are_stored_as_json_can_hold_them(value: object, stored: object) -> None:
    read = decode(encode({**HEAD, "value": value}))["value"]
    assert repr(read) == repr(stored)


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), 2**64, {"a": {3: 4}}])
def test_what_json_has_no_word_for_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        encode({**HEAD, "value": value})


def test_a_record_without_an_event_is_refused() -> None:
    with pytest.raises(ValueError, match="event"):
        encode({"v": 1, "seq": 1, "ts": "x"})


@pytest.mark.parametrize("missing", ["v", "seq", "ts"])
def test_a_line_that_is_whole_but_no_record_is_refused(missing: str) -> None:
    line = encode({key: value for key, value in HEAD.items() if key != missing})
    with pytest.raises(ValueError, match="missing"):
        decode(line)


def test_a_long_text_keeps_its_head_and_tail_and_says_what_is_left_out() -> None:
    text = "first line\n" + "x" * 10_000 + "\nlast line"
    cut = decode(encode({**HEAD, "error": text}))["error"]
    assert len(cut) <= MAX_TEXT_LENGTH
    assert cut.startswith("first line\n")
    assert cut.endswith("\nlast line")
    left_out = int(cut.split("[... ")[1].split(" characters")[0])
    marker = f"\n[... {left_out} characters left out ...]\n"
    assert len(cut) - len(marker) + left_out == len(text)


def test_a_text_of_the_greatest_length_is_kept_whole() -> None:
    text = "x" * MAX_TEXT_LENGTH
    assert decode(encode({**HEAD, "error": text}))["error"] == text


def test_long_texts_in_a_list_are_cut_one_by_one() -> None:
    read = decode(encode({**HEAD, "problems": ("x" * 5000, "short")}))["problems"]
    assert [len(problem) <= MAX_TEXT_LENGTH for problem in read] == [True, True]
    assert read[1] == "short"


def test_a_long_text_inside_a_spec_is_kept_whole() -> None:
    spec = {"tasks": [{"args": {"argv": ["python3", "-c", "x" * 9000]}}]}
    assert decode(encode({**HEAD, "spec": spec}))["spec"] == spec
