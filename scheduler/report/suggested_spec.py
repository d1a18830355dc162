"""Which round would get the parked tasks of this one going? Its spec as it was written, with what to change.

Derived from the records and the accepted spec, like a summary: the same files give the same bytes.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from scheduler.decide.fixes import Fix, fix_for
from scheduler.decide.moves import parked_for
from scheduler.decide.state import RoundState
from scheduler.effects.files import publish
from scheduler.report.printable import first_line
from scheduler.rounds.paths import RoundPaths
from scheduler.rounds.round import BASELINE

_MOST_LETTERS = 64
_WIDTH = 100


def publish_suggestion(current: RoundState, paths: RoundPaths) -> None:
    """Put the suggested spec into the round's folder, whole; take one away that is of no use any more."""
    text = suggested_spec(current, paths)
    if text is None:
        paths.suggested.unlink(missing_ok=True)
    else:
        publish(paths.suggested, text.encode())


def suggested_spec(current: RoundState, paths: RoundPaths) -> str | None:
    """The spec of a round of another id that can run; None where nobody knows of a change that helps."""
    fixes: dict[str, tuple[Fix, str]] = {}
    for name, task in current.tasks.items():
        run = parked_for(task)
        fix = fix_for(task.task, run) if run is not None else None
        if run is not None and fix is not None:
            fixes[name] = (fix, first_line(run.error or ""))
    if not fixes:
        return None
    suffix = current.accepted.suffix
    try:
        written = _as_toml(paths.spec(suffix).read_text("utf-8-sig"), suffix)
        document = tomlkit.parse(_with_id(written, next_id(current.round.id)))
        for fix, _ in fixes.values():
            _change(document, fix)
    except (OSError, TOMLKitError, ValueError, KeyError, TypeError, IndexError):
        return None  # a spec that cannot be changed so, or is gone: the message stands in the summary anyway
    return _comment(current.round.id, fixes) + tomlkit.dumps(document)


def next_id(round_id: str) -> str:
    """An id for a round that follows `round_id`: night, night-fix, night-fix2."""
    match = re.fullmatch(r"(.+)-fix(\d*)", round_id)
    number = int(match[2] or 1) + 1 if match else 1
    ending = f"-fix{number if number > 1 else ''}"
    return (match[1] if match else round_id)[: _MOST_LETTERS - len(ending)] + ending


def _comment(round_id: str, fixes: Mapping[str, tuple[Fix, str]]) -> str:
    lines = [f"Round {round_id} as it was written, with what would have let it go on."]
    for name, (fix, message) in fixes.items():
        lines.append(f"Task {name}: {fix.words}, because: {message}")
    lines.append(
        "Look it over, then queue it with schedctl submit. What ran well in its protocol is not run again."
    )
    wrapped = [part for line in lines for part in textwrap.wrap(line, _WIDTH, break_on_hyphens=False)]
    return "".join(f"# {line}\n" for line in wrapped)


def _as_toml(text: str, suffix: str) -> str:
    return text if suffix == ".toml" else tomlkit.dumps(json.loads(text))


def _with_id(text: str, round_id: str) -> str:
    """The spec under another id, whether it named one or went by its file's name."""
    document = tomlkit.parse(text)
    if "round" in document:
        document["round"] = round_id
        return tomlkit.dumps(document)
    # what is added to a document comes after its tables, where it would belong to the last one
    return f'round = "{round_id}"\n{text}'


def _change(document: MutableMapping[str, Any], fix: Fix) -> None:
    task = next(each for each in document["tasks"] if each["name"] == fix.task)
    match fix.place:
        case "bsz":
            task["bsz"] = fix.value
        case "stages":
            _change_stages([task, document], fix)
        case "args":
            _put(task.setdefault("args", {}), fix)
        case "changes":
            _change_variant(task, fix)


def _change_stages(tables: Sequence[MutableMapping[str, Any]], fix: Fix) -> None:
    """Every stage that asks for as much, or for more."""
    key = str(fix.keys[0])
    for table in tables:
        for stage in table.get("stages", {}).values():
            if stage.get(key, 0) >= fix.was:
                stage[key] = fix.value


def _change_variant(task: MutableMapping[str, Any], fix: Fix) -> None:
    """In the variant's own table, or in the grid that it is one of."""
    own = task.get("baseline") if fix.config == BASELINE else task.get("variants", {}).get(fix.config)
    if own is not None:
        return _put(own, fix)
    key = str(fix.keys[0])
    if key in task.get("grid", {}):
        values = [fix.value if value == fix.was else value for value in task["grid"][key]]
        task["grid"][key] = list(dict.fromkeys(values))
        return None
    return _put(task["grid_base"], fix)


def _put(table: Any, fix: Fix) -> None:
    *way, last = fix.keys
    for key in way:
        table = table[key]
    table[last] = fix.value
