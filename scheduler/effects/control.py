"""How does schedctl ask the daemon for something, even while it is down? By a file in `queue/control/`."""

from __future__ import annotations

import re
import secrets
import time
from pathlib import Path
from typing import Any, get_args, get_type_hints

import orjson

from scheduler.decide.inputs import RequestMade
from scheduler.effects.files import fsync_folder, open_regular, publish
from scheduler.effects.foreign_lessons import foreign_lessons
from scheduler.effects.spool import reject
from scheduler.rounds.paths import HomePaths

_VERBS: tuple[str, ...] = get_args(get_type_hints(RequestMade)["verb"])
#: verbs that mean nothing without a round
_VERBS_OF_A_ROUND = ("cancel", "retry")
_ARGUMENTS = frozenset({"round", "task", "key", "source", "reason"})
#: the one verb that names a result
_FORGET = "forget"
#: the one verb that names a lesson, ours or a foreign one
_UNLEARN = "unlearn"
_CONTENT_KEY = re.compile(r"[0-9a-f]{16}")
_MAX_BYTES = 16 * 1024
#: the one verb with more to say than a line
_IMPORT = "import"
_MAX_IMPORT_BYTES = 1024 * 1024
_MAX_REASON_LENGTH = 500
#: nanoseconds first, so that requests are taken in the order they were made
_FILE_NAME = re.compile(r"(?P<time>\d{19})-(?P<id>[0-9a-f]{12})\.json")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SOURCE = re.compile(rf"{_ID.pattern}/{_ID.pattern}|[A-Za-z0-9_.-]{{1,64}}@[0-9a-f]{{12}}")


def send(home: HomePaths, verb: str, **arguments: Any) -> str:
    """Leave a request for the daemon; returns its id. Raises ValueError for one the daemon would refuse."""
    fields = {"verb": verb, **{key: value for key, value in arguments.items() if value is not None}}
    request_id = secrets.token_hex(6)
    data = orjson.dumps(fields) + b"\n"
    _check_size(data, verb)
    _request(request_id, orjson.loads(data))
    home.control.mkdir(exist_ok=True)
    publish(home.control / f"{time.time_ns():019d}-{request_id}.json", data)
    return request_id


def take(home: HomePaths) -> list[RequestMade]:
    """Every request that waits, oldest first. Each stays on disk, and is taken again, until `discard`.

    What is not a request goes to `queue/rejected/` with the reason.
    """
    requests = []
    for path in sorted(home.control.iterdir()):
        if path.name.startswith("."):
            continue
        try:
            requests.append(_read(path))
        except FileNotFoundError:
            continue
        except (ValueError, OSError) as error:
            reject(path, home.rejected, f"This is not a request of schedctl: {error}.")
    return requests


def discard(home: HomePaths, request_id: str) -> None:
    """Forget a request, once it is recorded or refused. Does nothing when it is gone."""
    for path in home.control.glob(f"*-{request_id}.json"):
        path.unlink(missing_ok=True)
    fsync_folder(home.control)


def _read(path: Path) -> RequestMade:
    name = _FILE_NAME.fullmatch(path.name)
    if name is None:
        raise ValueError("its name is not <nanoseconds>-<id>.json")
    with open_regular(path) as file:
        data = file.read(_MAX_IMPORT_BYTES + 1)
    _check_size(data, _IMPORT)
    fields = orjson.loads(data)
    if not isinstance(fields, dict):
        raise ValueError("it does not hold a JSON object")
    _check_size(data, fields.get("verb"))
    return _request(name["id"], fields)


def _check_size(data: bytes, verb: object) -> None:
    limit = _MAX_IMPORT_BYTES if verb == _IMPORT else _MAX_BYTES
    if len(data) > limit:
        raise ValueError(f"it is larger than {limit // 1024} KiB")


def _request(request_id: str, fields: dict[str, Any]) -> RequestMade:
    fields = dict(fields)
    verb = fields.pop("verb", None)
    if verb not in _VERBS:
        raise ValueError(f"its verb is {verb!r}, not one of {', '.join(_VERBS)}")
    lessons = foreign_lessons(fields.pop("lessons", None)) if verb == _IMPORT else {}
    unknown = fields.keys() - _ARGUMENTS
    if unknown:
        raise ValueError(f"it has unknown keys: {', '.join(sorted(unknown))}")
    for key in ("round", "task"):
        if key in fields and not (isinstance(fields[key], str) and _ID.fullmatch(fields[key])):
            raise ValueError(f"its {key} {fields[key]!r} cannot be the name of one")
    reason = fields.get("reason", "")
    if not isinstance(reason, str) or len(reason) > _MAX_REASON_LENGTH:
        raise ValueError(f"its reason is not a text of at most {_MAX_REASON_LENGTH} characters")
    if verb in _VERBS_OF_A_ROUND and "round" not in fields:
        raise ValueError(f"{verb} needs a round")
    content_key = fields.get("key")
    if verb == _FORGET and content_key is None and "round" not in fields:
        raise ValueError("forget needs a round or the content key of a result")
    if content_key is not None and (verb != _FORGET or not _is_content_key(content_key)):
        raise ValueError(f"its key {content_key!r} cannot be the content key of a result")
    source = fields.get("source")
    if (source is None) != (verb != _UNLEARN):
        raise ValueError("unlearn needs the source of a lesson, and no other verb has one")
    if source is not None and not (isinstance(source, str) and _SOURCE.fullmatch(source)):
        raise ValueError(f"its source {source!r} cannot be that of a lesson")
    return RequestMade(id=request_id, verb=verb, lessons=lessons, **fields)


def _is_content_key(value: object) -> bool:
    return isinstance(value, str) and _CONTENT_KEY.fullmatch(value) is not None
