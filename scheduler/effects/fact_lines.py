"""How does a line of records become a fact without a detour? Straight into the fact's own type.

Only for the kinds of which a home has many. Whatever is unusual about a line, be it a number that JSON cannot
hold, is left to the codec, and both read the same.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

import msgspec

from scheduler.decide import facts
from scheduler.decide.codec import event_name, from_record
from scheduler.effects.record_lines import VERSION, check, decode

#: most of the records of any home are one of these
_MANY = (
    facts.RunIntended,
    facts.RunStarted,
    facts.RunFinished,
    facts.StopDecided,
    facts.VariantPruned,
    facts.VariantPromoted,
    facts.VariantHeld,
    facts.VerdictReached,
)
#: a line of this version begins so, as it is written
_HEAD = re.compile(rb'\{"v":%d,"seq":(\d+),"ts":"([^"\\]+)","event":"(\w+)"' % VERSION)


class NotAFactError(Exception):
    """A record is whole, and yet this version cannot make a fact of it."""


class Recorded(NamedTuple):
    """A fact and what its record says of itself."""

    v: int
    seq: int
    ts: str
    #: None for an event that changes no state
    fact: facts.Fact | None


def read_fact(line: bytes) -> Recorded:
    """The fact in a line of records.

    Raises ValueError unless the line is whole and unchanged, and NotAFactError for one that makes no sense.
    """
    head = _HEAD.match(line)
    if head is None:
        return _read_slowly(line)
    seq, ts, event = head.groups()
    decoder = _decoders().get(event)
    if decoder is None:
        return _read_slowly(line)
    check(line)
    try:
        return Recorded(VERSION, int(seq), ts.decode(), decoder.decode(line))
    except msgspec.DecodeError:
        return _read_slowly(line)


def _read_slowly(line: bytes) -> Recorded:
    record = decode(line)
    try:
        fact = from_record(record) if record["v"] <= VERSION else None
    except (ValueError, KeyError, TypeError) as error:
        raise NotAFactError(f"{record['event']}: {error}") from error
    return Recorded(record["v"], record["seq"], record["ts"], fact)


@cache
def _decoders() -> dict[bytes, msgspec.json.Decoder[Any]]:
    return {event_name(kind).encode(): msgspec.json.Decoder(kind) for kind in _MANY}
