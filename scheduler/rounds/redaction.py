"""What of a spec is shown nowhere? Values of environment variables whose names say that they are secret.

A marker stands in their place in all that is kept, hashed or shown. Equal markers are equal values: a run
with another value is another run. The values themselves lie in one file of the round, for its runs alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

#: key of the tables that hold environment variables
_ENVIRONMENT = "env"
_MARK = "redacted:"
_MARKER = re.compile(rf"{_MARK}[0-9a-f]{{16}}")
_SECRET_NAME = re.compile("TOKEN|KEY|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
#: it holds true or false
_NO_SECRETS = frozenset({"TOKENIZERS_PARALLELISM"})


def looks_secret(name: str) -> bool:
    """Whether the name of an environment variable says that its value is nobody's business."""
    return _SECRET_NAME.search(name) is not None and name not in _NO_SECRETS


def is_marker(value: object) -> bool:
    """Whether `value` stands for a secret."""
    return isinstance(value, str) and _MARKER.fullmatch(value) is not None


def holds_markers(value: Any) -> bool:
    """Whether anything in `value`, plain data, stands for a secret."""
    if isinstance(value, Mapping):
        return any(map(holds_markers, value.values()))
    return any(map(holds_markers, value)) if isinstance(value, list | tuple) else is_marker(value)


def redacted(value: Any, secrets: dict[str, str]) -> Any:
    """`value`, plain data, with markers for its secrets, which are put into `secrets` by their markers."""
    if isinstance(value, Mapping):
        return {
            key: _redacted_environment(item, secrets)
            if key == _ENVIRONMENT and isinstance(item, Mapping)
            else redacted(item, secrets)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted(item, secrets) for item in value]
    return value


def restored(value: Any, secrets: Mapping[str, str]) -> Any:
    """What `redacted` was given, as far as `secrets` has it."""
    if isinstance(value, Mapping):
        return {key: restored(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [restored(item, secrets) for item in value]
    return secrets.get(value, value) if isinstance(value, str) else value


def without(text: str, secrets: Mapping[str, str]) -> str:
    """`text` with the marker wherever one of the values stands in it."""
    # the longest first: one may be a part of another
    for marker, value in sorted(secrets.items(), key=lambda item: -len(item[1])):
        text = text.replace(value, marker)
    return text


def secret_names(args: Mapping[str, Any]) -> tuple[str, ...]:
    """The variables in redacted arguments for which markers stand."""
    table = args.get(_ENVIRONMENT)
    items: Iterable[tuple[str, Any]] = table.items() if isinstance(table, Mapping) else ()
    return tuple(name for name, value in items if is_marker(value))


def _redacted_environment(table: Mapping[str, Any], secrets: dict[str, str]) -> dict[str, Any]:
    return {name: _marked(value, secrets) if looks_secret(name) else value for name, value in table.items()}


def _marked(value: Any, secrets: dict[str, str]) -> Any:
    """The marker of a value; a trainer may have made text of a number."""
    is_plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    if not is_plain or value == "" or is_marker(value):
        return value
    marker = _MARK + hashlib.sha256(f"roundhouse {value}".encode()).hexdigest()[:16]
    secrets[marker] = str(value)
    return marker
