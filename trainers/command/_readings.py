"""Which numbers does a program report? Readings from its lines, or from a file that it writes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson

_NUMBER = r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|(?:nan|inf(?:inity)?)\b)"

#: `Val Loss: 5.1`, `Final Val Loss:   3.4`, `val_bpb:  0.9979`, `validation/accuracy = 41.2%`. Only names of
#: validation: a training loss is printed in the same manner, and must never be taken for a result
_VALIDATION = re.compile(
    r"(?<![\w/.-])(?:final[\s_]+)?(?P<name>(?:val|valid|validation|eval)(?:[\s_/.-]+[a-z]\w*)+)"
    rf"\s*[:=]\s*(?P<value>{_NUMBER})(?P<percent>\s*%)?",
    re.IGNORECASE,
)

#: `METRIC name=value`, several in a line
_METRIC_LINE = re.compile(r"\bMETRIC\s+(?P<pairs>\S.*)")
_PAIR = re.compile(rf"(?P<name>[A-Za-z_][\w./-]*)\s*=\s*(?P<value>{_NUMBER})", re.IGNORECASE)

#: `[tune-metric]: {"loss": 3.4}`
_TUNE_LINE = re.compile(r"\[tune-metric\]:\s*(?P<object>\{.*\})")

_STEP = re.compile(r"\b(?:global[\s_]*)?(?:step|iter(?:ation)?)s?\s*[:=#]?\s*(?P<step>\d+)", re.IGNORECASE)
_STEP_KEYS = ("step", "global_step", "iteration", "iter")

#: names under which loss and accuracy are reported, first choice first
_ALIASES = {
    "loss": ("loss", "val_loss", "eval_loss"),
    "acc": ("acc", "val_acc", "val_accuracy", "eval_acc", "eval_accuracy"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Numbers that were reported together."""

    values: Mapping[str, float]
    #: the program's own step; None where it did not say
    step: int | None = None
    #: the reported name by the name it was taken for, where the two differ or could
    taken_from: Mapping[str, str] = field(default_factory=dict)


class Source(Protocol):
    """Where readings come from."""

    #: what to say when there was none
    description: str

    def line(self, text: str) -> Iterator[Reading]:
        """Readings in a line of output."""
        ...

    def poll(self) -> Iterator[Reading]:
        """Readings that have come in by another way than output."""
        ...

    def finish(self) -> Iterator[Reading]:
        """Readings that can only be taken when the program has ended."""
        ...


class BuiltInLines:
    """Lines as programs commonly print them."""

    description = (
        "no line reads like `val_loss: 3.45`, `METRIC loss=3.45` or `[tune-metric]: {...}`;"
        " say what to look for with `metrics` or `metrics_file`"
    )

    def line(self, text: str) -> Iterator[Reading]:
        if found := _TUNE_LINE.search(text):
            values = _numbers(_parsed(found["object"].encode()))
            yield from _reading_of_keys(values)
        elif found := _METRIC_LINE.search(text):
            values = {pair["name"]: float(pair["value"]) for pair in _PAIR.finditer(found["pairs"])}
            yield from _reading_of_keys(values)
        else:
            values = {
                _name(pair["name"]): float(pair["value"]) / (100.0 if pair["percent"] else 1.0)
                for pair in _VALIDATION.finditer(text)
            }
            step = _STEP.search(text)
            yield from _reading_of_keys(values, step=int(step["step"]) if step else None)

    def poll(self) -> Iterator[Reading]:
        return iter(())

    def finish(self) -> Iterator[Reading]:
        return iter(())


class PatternLines:
    """Lines that match the regular expressions of the spec."""

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._patterns = {name: re.compile(pattern) for name, pattern in patterns.items()}
        self.description = f"no line matches the patterns of `metrics` ({', '.join(patterns.values())})"

    def line(self, text: str) -> Iterator[Reading]:
        values: dict[str, float] = {}
        step: int | None = None
        for name, pattern in self._patterns.items():
            for found in pattern.finditer(text):
                groups = found.groupdict()
                value = _as_number(groups["value"])
                if value is None:
                    continue
                values[name] = value
                if groups.get("step"):
                    step = int(float(groups["step"]))
        if values:
            yield Reading(values=values, step=step)

    def poll(self) -> Iterator[Reading]:
        return iter(())

    def finish(self) -> Iterator[Reading]:
        return iter(())


class MetricsFile:
    """A JSONL file, read as it grows, or a JSON file, read at the end.

    What lay there before the program began belongs to another run and is never read.
    """

    def __init__(self, path: Path, paths: Mapping[str, str]) -> None:
        self._path = path
        self._paths = paths
        self._is_lines = path.suffix == ".jsonl"
        self._before = _signature(path)
        self._offset = self._before[1] if self._before else 0
        self._inode = self._before[0] if self._before else None
        names = f" with {', '.join(paths.values())}" if paths else ""
        self.description = f"{path} was not written{names}"

    def line(self, text: str) -> Iterator[Reading]:
        return iter(())

    def poll(self) -> Iterator[Reading]:
        if self._is_lines:
            yield from self._new_lines(is_over=False)

    def finish(self) -> Iterator[Reading]:
        if self._is_lines:
            yield from self._new_lines(is_over=True)
        elif self._path.is_file() and _signature(self._path) != self._before:
            yield from self._reading(self._path.read_bytes())

    def _new_lines(self, *, is_over: bool) -> Iterator[Reading]:
        if not self._path.is_file():
            return  # not there yet, or a pipe that nobody may ever write into
        with self._path.open("rb") as stream:
            inode, size, _ = _signature(self._path) or (None, 0, 0)
            if inode != self._inode or size < self._offset:
                # Another file, or the same one begun anew: all of it is this program's.
                self._inode, self._offset = inode, 0
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n") and not is_over:
                    break
                self._offset += len(line)
                yield from self._reading(line)

    def _reading(self, data: bytes) -> Iterator[Reading]:
        numbers = _numbers(_parsed(data))
        if not self._paths:
            yield from _reading_of_keys(numbers)
            return
        values = {name: numbers[path] for name, path in self._paths.items() if path in numbers}
        if values:
            yield Reading(values=values, step=_step_of(numbers))


def _reading_of_keys(numbers: Mapping[str, float], step: int | None = None) -> Iterator[Reading]:
    """A reading of everything that was named, with loss and acc found under their usual names."""
    step = _step_of(numbers) if step is None else step
    values = {name: value for name, value in numbers.items() if name not in _STEP_KEYS}
    if not values:
        return
    taken_from = {}
    for metric, aliases in _ALIASES.items():
        named = next((alias for alias in aliases if alias in values), None)
        if named is not None:
            taken_from[metric] = named
            values[metric] = values[named]
    yield Reading(values=values, step=step, taken_from=taken_from)


def _step_of(numbers: Mapping[str, float]) -> int | None:
    return next((int(numbers[key]) for key in _STEP_KEYS if key in numbers), None)


def _parsed(data: bytes) -> Any:
    """A JSON value; None where it is none, as in a line that was cut."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _parsed_leniently(data)


def _parsed_leniently(data: bytes) -> Any:
    """As Python's own `json` writes it, with NaN and Infinity."""
    import json

    try:
        return json.loads(data)
    except ValueError:
        return None


def _numbers(value: Any, prefix: str = "") -> dict[str, float]:
    """Every number of a JSON object under its dotted path. The strings "nan" and "inf" are numbers too."""
    found: dict[str, float] = {}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        path = f"{prefix}{key}"
        if isinstance(item, dict | list):
            found |= _numbers(item, f"{path}.")
        elif _is_number(item):
            found[path] = float(item)
    return found


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return value.lower() in ("nan", "inf", "-inf", "infinity", "-infinity")
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _name(printed: str) -> str:
    """`Val Loss`, `val/loss` and `validation_loss` are all val_loss."""
    joined = re.sub(r"[\s_/.-]+", "_", printed.strip().lower())
    return re.sub(r"^(?:valid|validation)_", "val_", joined)


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
