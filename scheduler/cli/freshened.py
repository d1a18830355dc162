"""How does a spec come to say `fresh = true` without a change to its file? On its way into the queue."""

from __future__ import annotations

import json
import tomllib

from scheduler.rounds.errors import UsageError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def freshened(data: bytes, name: str) -> bytes:
    """The spec with `fresh = true`. One that cannot be read is left as it is: its check says what is wrong.

    Raises UsageError for one that says `fresh = false`.
    """
    is_toml = name.lower().endswith(".toml")
    try:
        text = data.removeprefix(_BYTE_ORDER_MARK).decode()
        told = tomllib.loads(text) if is_toml else json.loads(text)
    except (ValueError, RecursionError):
        return data
    if not isinstance(told, dict) or told.get("fresh") is True:
        return data
    if "fresh" in told:
        raise UsageError("the spec has a key `fresh` of its own; take it out, or leave --fresh out")
    if is_toml:
        # a key of the whole file has to come before its first table
        return f"fresh = true\n{text}".encode()
    return json.dumps({"fresh": True, **told}, indent=2).encode() + b"\n"
