"""What does a file say that somebody else wrote? Rows of CSV or JSON, read by what their keys are called.

A row is one run, or one step of a run where it has a step. What cannot be read is an error with its line.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scheduler.judging.evidence import UnfitRunsError, finite_metrics

#: spellings by what they mean, first found first
KEYS: Mapping[str, tuple[str, ...]] = {
    "task": ("task",),
    "config": ("config", "condition", "variant", "arm", "group", "experiment"),
    "seed": ("seed", "random_seed"),
    "step": ("step", "global_step", "iteration", "iter", "_step"),
    "tokens": ("tokens", "tokens_seen", "train_tokens"),
    "stage": ("stage",),
    "protocol": ("protocol",),
    "prompt_set": ("prompt_set", "prompts"),
    "wall_seconds": ("wall_seconds", "wall_time", "wall_clock_seconds", "elapsed_seconds", "train_seconds"),
    "parameters": ("parameters", "params", "args", "hyperparameters"),
    "counts": ("counts",),
    "cost": ("cost",),
    "status": ("status",),
    "event": ("event",),
}
#: tables whose entries are metrics of the row
_NESTED = ("metrics", "extra")
#: tables whose entries may be columns of their own, such as `parameters.lr`
_DOTTED = ("parameters", "cost")
#: numbers of a row that are no metric
_BOOKKEEPING = frozenset({"v", "seq", "slot", "attempt", "bsz", "pid"})
#: `baseline_1M_seed42`, `wide-s7`, `seed13`
_NAMED_SEED = re.compile(
    r"^(?P<config>.*?)(?:(?:^|[._-]+)s|[._-]*seed)[._=-]*(?P<seed>[0-9]{1,10})(?:\.a[0-9]+)?$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a file, its keys by their meaning."""

    origin: str
    facts: Mapping[str, Any]
    metrics: Mapping[str, float]


def rows_of_csv(text: str, origin: str) -> Iterator[Row]:
    """The rows of a CSV file with a header. Raises UnfitRunsError."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        for cells in reader:
            if None in cells or None in cells.values():
                raise UnfitRunsError(
                    f"{origin}, line {reader.line_num}: has other columns than the header; mend the file"
                )
            values = {name.strip(): _number_or_text(value) for name, value in cells.items()}
            yield _row({name: v for name, v in values.items() if v is not None}, origin)
    except csv.Error as error:
        raise UnfitRunsError(f"{origin}, line {reader.line_num}: not CSV: {error}") from error


def rows_of_jsonl(text: str, origin: str) -> Iterator[Row]:
    """The rows of a file with one JSON object a line; a torn last line is left out. Raises UnfitRunsError."""
    lines = text.removeprefix("\ufeff").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            if number == len(lines):
                return
            raise UnfitRunsError(f"{origin}, line {number}: not JSON: {error}") from error
        if not isinstance(value, dict):
            raise UnfitRunsError(f"{origin}, line {number}: must be a JSON object, such as {{...}}")
        yield _row(value, origin)


def rows_of_json(text: str, origin: str) -> Iterator[Row]:
    """The rows of a JSON file: a list of objects, or an object with such a list as `runs`."""
    try:
        value = json.loads(text.removeprefix("\ufeff"))
    except ValueError as error:
        raise UnfitRunsError(f"{origin}: not JSON: {error}") from error
    rows = value.get("runs") if isinstance(value, dict) else value
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UnfitRunsError(f'{origin}: must be a list of objects, or an object with such a list as "runs"')
    yield from (_row(row, origin) for row in rows)


def facts_of_folder(names: tuple[str, ...], config_file: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a folder with a metrics.jsonl tells of its run: its config.json, else its name.

    `names` are the folder's own name and its parent's. `baseline_1M_seed42` is config `baseline_1M`, seed 42;
    in a folder that is called `seed42` the parent's name is the config's.
    """
    own, *above = names
    found: dict[str, Any] = {"config": own}
    matched = _NAMED_SEED.match(own)
    if matched:
        found = {"config": matched["config"] or (above[0] if above else own), "seed": int(matched["seed"])}
    if config_file is not None:
        told = _row(config_file, "config.json")
        found |= told.facts
        found.setdefault("parameters", {k: v for k, v in config_file.items() if not _meaning(k)})
    return found


def _row(values: Mapping[str, Any], origin: str) -> Row:
    facts = _facts(values)
    for table in _DOTTED:
        dotted = {k.removeprefix(f"{table}."): v for k, v in values.items() if k.startswith(f"{table}.")}
        if dotted:
            facts.setdefault(table, dotted)
    if isinstance(facts.get("config"), Mapping):
        facts.setdefault("parameters", facts.pop("config"))
    metrics: dict[str, float] = {}
    for key in _NESTED:
        nested = values.get(key)
        if isinstance(nested, Mapping):
            # a recorder that knows no tokens keeps them among the metrics
            facts = {**{name: told for name, told in _facts(nested).items() if name == "tokens"}, **facts}
            metrics |= finite_metrics({k: v for k, v in nested.items() if _meaning(k) != "tokens"})
    own = {key: value for key, value in values.items() if not _meaning(key) and key not in _BOOKKEEPING}
    own = {key: value for key, value in own.items() if key.partition(".")[0] not in _DOTTED}
    return Row(origin=origin, facts=facts, metrics={**metrics, **finite_metrics(own)})


def _facts(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the keys of a row mean, where they mean anything but a metric."""
    found: dict[str, Any] = {}
    for meaning, spellings in KEYS.items():
        spelling = next((s for s in spellings if values.get(s) is not None), None)
        if spelling is not None:
            found[meaning] = values[spelling]
    return found


def _meaning(key: str) -> str | None:
    return next((meaning for meaning, spellings in KEYS.items() if key in spellings), None)


def _number_or_text(value: str) -> float | int | str | None:
    text = value.strip()
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text
