"""A spec says `fresh = true` on its way into the queue, and means what it meant otherwise."""

from __future__ import annotations

import json
import tomllib

import pytest

from scheduler.cli.freshened import freshened
from scheduler.rounds.errors import UsageError

TOML = b'# a night\nround = "night"\n\n[[tasks]]\nname = "sums"\n'


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "with a byte order mark"])
def test_a_toml_spec_gains_the_key_before_its_tables(mark: bytes) -> None:
    told = tomllib.loads(freshened(mark + TOML, "night.toml").decode())
    assert told == {"fresh": True, **tomllib.loads(TOML.decode())}


def test_a_json_spec_gains_the_key() -> None:
    told = {"round": "night", "tasks": [{"name": "sums"}]}
    assert json.loads(freshened(json.dumps(told).encode(), "night.JSON")) == {"fresh": True, **told}


@pytest.mark.parametrize(
    ("data", "name"),
    [(b"fresh = true\n", "a.toml"), (b"= broken", "a.toml"), (b"\xff", "a.toml"), (b"[1]", "a.json")],
    ids=["it says so", "no TOML", "no text", "no object"],
)
def test_a_spec_that_says_so_or_cannot_be_read_is_left_as_it_is(data: bytes, name: str) -> None:
    assert freshened(data, name) == data


def test_a_spec_that_says_otherwise_is_not_overruled() -> None:
    with pytest.raises(UsageError, match="a key `fresh` of its own"):
        freshened(b"fresh = false\n", "night.toml")
