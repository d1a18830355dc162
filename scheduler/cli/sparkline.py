"""How does a row of numbers look in one line of a terminal? A bar of letters, lowest to highest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scheduler.report.numbers import named_value, plain_number

BARS = "▁▂▃▄▅▆▇█"
#: for a terminal that cannot show the bars
ASCII_BARS = "_.-~=+*#"


def bars_for(encoding: str | None) -> str:
    """The letters that a terminal of that encoding can show."""
    try:
        BARS.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII_BARS
    return BARS


def sparkline(numbers: Sequence[float | None], bars: str = BARS) -> str:
    """One letter a number, a blank where there is none; all alike gives a flat line."""
    known = [number for number in numbers if number is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    step = (high - low) / len(bars) or 1.0
    return "".join(
        " " if number is None else bars[min(len(bars) - 1, int((number - low) / step))] for number in numbers
    )


def run_sparklines(run: Mapping[str, Any], bars: str) -> list[str]:
    """The metric and the loss of a run in status.json over its last evaluations; nothing under two."""
    metric, unit = run["metric"], run["unit"]
    lines: list[str] = []
    # A status written by an earlier version has no evaluations.
    for name, numbers in ((metric, run.get("values", ())), ("loss", run.get("losses", ()))):
        known = [number for number in numbers if number is not None]
        if len(known) < 2 or (name == "loss" and metric == "loss" and lines):
            continue
        last = named_value(name, unit, known[-1]) if name == metric else f"loss={plain_number(known[-1])}"
        lines.append(f"  {sparkline(numbers, bars)}  {last}")
    return lines
