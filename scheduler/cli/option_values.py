"""What does `--set key=value` say? A value as TOML would read it, or else the text as it is."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from typing import Any

from scheduler.rounds.errors import UsageError

_KEY = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_][\w/-]*)*")


def read_settings(settings: Iterable[str]) -> dict[str, Any]:
    """The options in `settings`; a key with dots is a table, one given several times a list.

    Raises UsageError for a setting without a key or a value.
    """
    options: dict[str, Any] = {}
    for setting in settings:
        key, sign, text = setting.partition("=")
        key = key.strip()
        if not sign or not _KEY.fullmatch(key):
            raise UsageError(f"--set takes key=value, such as alpha=0.1 (found {setting!r})")
        *tables, name = key.split(".")
        place = options
        for table in tables:
            place = place.setdefault(table, {})
            if not isinstance(place, dict):
                raise UsageError(f"--set {key}: {table} was set to a value before")
        value = _value(text.strip())
        place[name] = _together(place[name], value) if name in place else value
    return options


def _together(before: Any, value: Any) -> list[Any]:
    return [
        *(before if isinstance(before, list) else [before]),
        *(value if isinstance(value, list) else [value]),
    ]


def _value(text: str) -> Any:
    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return read["value"] if read.keys() == {"value"} else text
