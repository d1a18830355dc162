"""How is a fact written as the fields of a record, and read back?

A record is `{"v", "seq", "ts", "event", ...fields, "crc"}` with `event` the fact's class name in snake case.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

from policies._ledger import ledger_from, lesson_from
from scheduler.decide import facts
from scheduler.rounds.identity import Device


def event_name(fact_type: type[Any]) -> str:
    """`RunFinished` -> `run_finished`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", fact_type.__name__).lower()


#: every kind of fact by the name it has in a record
FACT_TYPES: dict[str, type[Any]] = {
    event_name(fact_type): fact_type
    for fact_type in (
        facts.RoundAccepted,
        facts.TaskProbed,
        facts.TaskBegun,
        facts.TaskRebatched,
        facts.TaskParked,
        facts.TaskRetried,
        facts.RunIntended,
        facts.RunStarted,
        facts.RunFinished,
        facts.StopDecided,
        facts.VariantPruned,
        facts.VariantPromoted,
        facts.VariantHeld,
        facts.ConfirmSetFrozen,
        facts.LookTaken,
        facts.VerdictReached,
        facts.TaskFinished,
        facts.RoundCancelled,
        facts.RoundFinished,
        facts.DaemonStarted,
        facts.DaemonStopped,
        facts.SpecRejected,
        facts.QueuePaused,
        facts.QueueResumed,
        facts.DrainStarted,
        facts.GpuDirtied,
        facts.GpuCleared,
        facts.RunFilesDropped,
        facts.XidReported,
        facts.LessonLearnt,
        facts.LessonForgotten,
        facts.BaselineKept,
        facts.BaselineAgreed,
        facts.BaselineDrifted,
        facts.ResultsForgotten,
    )
}


def to_fields(fact: facts.Fact) -> dict[str, Any]:
    """The fields of the fact's record, `event` first; without v, seq, ts and crc."""
    return {"event": event_name(type(fact)), **dataclasses.asdict(fact)}


def from_record(record: Mapping[str, Any]) -> facts.Fact | None:
    """The fact in a record; None for events that change no state (`repaired`, or ones of a newer version).

    Fields this version does not know are left out, so that an older daemon reads newer records.
    """
    fact_type = FACT_TYPES.get(record["event"])
    if fact_type is None:
        return None
    fact: facts.Fact = fact_type(**_known_fields(fact_type, record))
    return fact


def _known_fields(fact_type: type[Any], record: Mapping[str, Any]) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(fact_type)]
    return {name: _restored(name, record[name]) for name in names if name in record}


def _run_from(data: Mapping[str, Any]) -> facts.RunFinished:
    return facts.RunFinished(**_known_fields(facts.RunFinished, data))


#: numbers that JSON cannot hold, as records spell them
NON_FINITE = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}
_NUMBER_FIELDS = {"value", "acc", "loss", "best_val_loss", "best_val_tok_acc", "d_acc", "sd"}
_READ_AS: dict[str, Callable[[Any], Any]] = {
    "ledger": ledger_from,
    "lesson": lesson_from,
    "run": _run_from,
}


def _restored(name: str, value: Any) -> Any:
    """A field as its dataclass holds it: lists are tuples, non-finite numbers are numbers."""
    if name in _NUMBER_FIELDS and isinstance(value, str):
        return NON_FINITE[value]
    if name in _READ_AS:
        return _READ_AS[name](value)
    if name == "devices":
        return tuple(Device(**device) for device in value)
    if name == "extra":
        return {key: NON_FINITE.get(number, number) for key, number in value.items()}
    if name in ("curve", "per_seed"):
        return tuple((step, NON_FINITE.get(number, number)) for step, number in value)
    if name == "evaluations":
        return tuple(tuple(NON_FINITE.get(reading, reading) for reading in each) for each in value)
    return tuple(value) if isinstance(value, list) else value
