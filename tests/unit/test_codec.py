"""A fact comes back from its record as it was, whatever its numbers, and older daemons read newer records."""

from __future__ import annotations

import dataclasses
import math
import typing
from typing import Any

import pytest

from policies._assessment import Ledger
from policies._delta import SeedCorrelation, SeedPairs
from policies._effect_prior import Reading
from policies._ledger import Lesson
from policies._race_level import Counters
from policies._variance import NoisePrior, Spread
from scheduler.decide import facts
from scheduler.decide.codec import FACT_TYPES, event_name, from_record, to_fields
from scheduler.effects.records import decode, encode
from scheduler.rounds.identity import Device

#: a telling value for a field, by its name; others go by their type
BY_NAME: dict[str, Any] = {
    "devices": (Device(id="cuda:0", name="a card", driver="1", threads=2),),
    "curve": ((10, 0.25), (20, 0.5)),
    "per_seed": ((0, -1.5), (7, 2.0)),
    "evaluations": ((10, 0.5, None, None), (20, 0.25, 0.5, "0123456789abcdef")),
    "problems": ("one", "two"),
    "extra": {"exact": 0.5},
    "max_steps": {"quick": 17},
    "budget": {"max_steps": None, "time_budget_sec": 60.0},
    "spec": {"id": "night", "note": "x" * 10_000},
    "ledger": Ledger(
        medium=NoisePrior(sd=1.5, df=6.0),
        correlation=SeedCorrelation(rho=0.3, theta=0.1),
        counters=Counters(winners=1.0),
        own=Spread(ss=1.0, df=4),
    ),
    "lesson": Lesson(
        unit="pp",
        min_effect=1.0,
        quick=Spread(),
        medium=Spread(ss=2.5, df=3),
        pairs=SeedPairs(products=0.5, variant_ss=1.0, baseline_ss=2.0, pairs=2),
        readings=(Reading(value=0.5, sd=1.25),),
        confirmed=1,
        counters=Counters(winners=2.0, nulls=4.0, medium_runs=12.5),
        protocol="0123456789abcdef",
        candidates=Spread(ss=1.5, df=2),
    ),
    "readings": {"a": {"delta": 0.5, "p": 0.01, "variant_seeds": 2}},
    "candidates": ("a", "b"),
    "chances": {"a": 0.75},
    "interval": (-0.5, 2.5),
    "continue_from": {"run_dir": "sums.quick.good.s0.a1", "step": 120},
    "warnings": ("the seed changes nothing",),
    "expected": (0.25, 0.75),
    "stored": {"p": {"7": 0.5}},
    "contaminated": {"seconds": 2.5, "share": 0.5, "by": [{"pid": 7, "name": "python", "memory_mib": None}]},
    "throttled": {"share": 0.25, "by": {"power brake": 0.25}},
    "xids": (31, 79),
    "attempts": ("night/sums.quick.good.s0.a1",),
}
BY_TYPE: dict[Any, Any] = {str: "text", int: 7, float: 0.5, bool: True}


def sample(fact_type: type[Any], **changes: Any) -> Any:
    """A fact of that kind with every field set."""
    hints = typing.get_type_hints(fact_type)
    values = {}
    for field in dataclasses.fields(fact_type):
        hint = hints[field.name]
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        plain = hint if hint in BY_TYPE else options[0] if options else hint
        if hint is facts.RunFinished:
            values[field.name] = sample(facts.RunFinished)
            continue
        values[field.name] = BY_NAME.get(field.name, BY_TYPE.get(plain, plain))
    return fact_type(**{**values, **changes})


def through_the_disk(fact: Any) -> Any:
    record = {"v": 1, "seq": 1, "ts": "2026-01-01T00:00:00Z", **to_fields(fact)}
    return from_record(decode(encode(record)))


@pytest.mark.parametrize("fact_type", FACT_TYPES.values(), ids=FACT_TYPES.keys())
def test_every_kind_of_fact_comes_back_as_it_was(fact_type: type[Any]) -> None:
    fact = sample(fact_type)
    assert through_the_disk(fact) == fact


def test_no_kind_of_fact_is_forgotten() -> None:
    defined = {
        kind
        for kind in vars(facts).values()
        if dataclasses.is_dataclass(kind)
        and issubclass(kind, facts.RoundFact | facts.DaemonFact | facts.LedgerFact)  # type: ignore[arg-type]
        and not any(
            other is not kind and issubclass(other, kind)
            for other in vars(facts).values()
            if isinstance(other, type)
        )
    }
    assert set(FACT_TYPES.values()) == defined


def test_numbers_that_json_cannot_hold_come_back_as_numbers() -> None:
    changes = {
        "loss": math.nan,
        "value": math.inf,
        "acc": -math.inf,
        "curve": ((1, math.inf),),
        "evaluations": ((1, math.inf, None, "d"),),
        "extra": {"x": -math.inf},
    }
    back = through_the_disk(sample(facts.RunFinished, **changes))
    assert math.isnan(back.loss)
    assert back.evaluations == ((1, math.inf, None, "d"),)
    assert (back.value, back.acc, back.curve, back.extra) == (
        math.inf,
        -math.inf,
        ((1, math.inf),),
        {"x": -math.inf},
    )


def test_a_rounds_spec_is_kept_whole_however_long_its_texts() -> None:
    assert through_the_disk(sample(facts.RoundAccepted)).spec["note"] == "x" * 10_000


def test_an_event_of_a_newer_version_changes_no_state() -> None:
    assert from_record({"event": "moon_landed", "round": "night"}) is None


def test_a_field_of_a_newer_version_is_left_out() -> None:
    fact = sample(facts.TaskFinished)
    assert from_record({**to_fields(fact), "mood": "good"}) == fact


def test_events_are_named_in_snake_case() -> None:
    assert event_name(facts.RunFinished) == "run_finished"
