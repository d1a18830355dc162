"""A fact is the same whether it is read straight from its line or by way of its record."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.decide import facts
from scheduler.decide.codec import from_record, to_fields
from scheduler.effects.fact_lines import NotAFactError, read_fact
from scheduler.effects.record_lines import decode, encode

NUMBERS = st.one_of(st.none(), st.integers(-(2**40), 2**40), st.floats())
READINGS = st.one_of(st.none(), st.floats())
TEXTS = st.text(max_size=20)
ENDS = st.builds(
    facts.RunFinished,
    round=TEXTS,
    task=TEXTS,
    stage=st.sampled_from(["quick", "medium"]),
    config=TEXTS,
    seed=st.integers(0, 2**31),
    attempt=st.integers(1, 9),
    slot=st.integers(0, 9),
    device=st.just("cpu"),
    bsz=st.one_of(st.none(), st.integers(1, 512)),
    budget=st.dictionaries(TEXTS, NUMBERS, max_size=3),
    protocol=TEXTS,
    content_key=TEXTS,
    run_dir=TEXTS,
    status=st.sampled_from(["ok", "pruned", "failed", "timed_out", "cancelled", "lost"]),
    value=READINGS,
    acc=READINGS,
    loss=READINGS,
    extra=st.dictionaries(TEXTS, st.floats(), max_size=3),
    curve=st.lists(st.tuples(st.integers(0, 10**6), st.floats()), max_size=4).map(tuple),
    evaluations=st.lists(
        st.tuples(st.integers(0, 10**6), READINGS, READINGS, st.one_of(st.none(), TEXTS)), max_size=4
    ).map(tuple),
    error=st.one_of(st.none(), st.text(max_size=50)),
    train_seconds=st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
)


def line_of(fields: dict[str, Any]) -> bytes:
    return encode({"v": 1, "seq": 7, "ts": "2026-11-20T13:05:01.250Z", **fields})


def same(one: Any, other: Any) -> bool:
    """Equal, and NaN equals NaN at any depth."""
    return repr(one) == repr(other)


@given(ENDS)
def test_the_end_of_a_run_is_read_alike_whatever_its_numbers(end: facts.RunFinished) -> None:
    line = line_of(to_fields(end))
    assert same(read_fact(line).fact, from_record(decode(line)))


def test_a_line_tells_its_number_and_its_time() -> None:
    told = read_fact(line_of({"event": "task_finished", "round": "night", "task": "sums"}))
    assert told == (1, 7, "2026-11-20T13:05:01.250Z", facts.TaskFinished(round="night", task="sums"))


STARTED: dict[str, Any] = {
    "event": "run_started",
    "round": "night",
    "task": "sums",
    "stage": "quick",
    "config": "good",
    "seed": 0,
    "attempt": 1,
    "device": "cpu",
    "pid": 7,
    "start_time": 0.5,
    "boot_id": "b",
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mood": "good"},
        {"start_time": 5},
        {"start_time": "inf"},
        {"is_prepared_ahead": True},
        {"pid": 7.0},
    ],
    ids=[
        "older",
        "newer",
        "a whole number",
        "not finite",
        "with its default set",
        "a number of another type",
    ],
)
def test_lines_of_other_versions_and_unusual_numbers_are_read_alike(changes: dict[str, Any]) -> None:
    line = line_of({**STARTED, **changes})
    assert read_fact(line).fact == from_record(decode(line))


def test_what_is_missing_is_missed_alike() -> None:
    line = line_of({name: value for name, value in STARTED.items() if name != "pid"})
    with pytest.raises(TypeError, match="pid"):
        from_record(decode(line))
    with pytest.raises(NotAFactError, match=r"run_started: .*pid"):
        read_fact(line)


def test_a_line_of_a_newer_version_tells_it_and_no_more() -> None:
    told = read_fact(encode({"v": 2, "seq": 7, "ts": "x", "event": "run_started", "pid": {}}))
    assert (told.v, told.fact) == (2, None)


def test_a_changed_byte_is_noticed() -> None:
    line = line_of(STARTED)
    for offset in range(len(line) - 1):
        changed = line[:offset] + bytes([line[offset] ^ 1]) + line[offset + 1 :]
        with pytest.raises(ValueError, match=r".*"):
            read_fact(changed)


def test_an_event_of_a_newer_version_is_no_fact() -> None:
    assert read_fact(line_of({"event": "moon_landed"})).fact is None


def test_numbers_that_json_cannot_hold_are_numbers_again() -> None:
    fields = {**STARTED, "event": "variant_pruned", "protocol": None, "reason": "r", "d_acc": "-inf"}
    fact = read_fact(line_of({**fields, "per_seed": [[0, "nan"]]})).fact
    assert isinstance(fact, facts.VariantPruned)
    assert fact.d_acc == -math.inf
    assert math.isnan(fact.per_seed[0][1])
