"""How are values, deltas and durations written? The same way in the log, the summary and on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from policies.evidence import Objective


def delta_name(objective: Objective) -> str:
    """`d_acc`, the name users grep for, or `d_<metric>` for another metric."""
    return f"d_{objective.metric}"


def signed(objective: Objective, amount: float) -> str:
    """`+5.27pp`, or `+0.0123nat` in another unit. One word, so that a line can be split at spaces."""
    return f"{amount:+.2f}pp" if objective.unit == "pp" else f"{amount:+.4g}{objective.unit}"


def delta_text(objective: Objective, amount: float) -> str:
    """`d_acc=+5.27pp`."""
    return f"{delta_name(objective)}={signed(objective, amount)}"


def spread_text(objective: Objective, sd: float) -> str:
    """`sd=1.20pp`."""
    return f"sd={sd:.2f}pp" if objective.unit == "pp" else f"sd={sd:.4g}{objective.unit}"


def value_text(objective: Objective, raw: float) -> str:
    """`acc=64.16%` for a score in pp, `loss=2.7309` otherwise."""
    return named_value(objective.metric, objective.unit, raw)


def named_value(metric: str, unit: str, raw: float) -> str:
    """As `value_text`, of an objective that is known by its words only."""
    return f"{metric}={100 * raw:.2f}%" if unit == "pp" else f"{metric}={plain_number(raw)}"


def plain_number(number: float) -> str:
    """Four decimals where they fit the size of the number, five digits elsewhere."""
    return f"{number:.4f}" if 0.01 <= abs(number) < 1000 or number == 0 else f"{number:.5g}"


def size(number_of_bytes: int) -> str:
    """`512B`, `1.5MiB`, `2.0GiB`. One word, so that a line can be split at spaces."""
    amount = float(number_of_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:.0f}{unit}" if unit == "B" else f"{amount:.1f}{unit}"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 05 min`, `2 d 4 h`."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def duration_range(low: float, high: float) -> str:
    """`3 min to 12 min`, or one figure where both read the same."""
    first, last = duration(low), duration(high)
    return first if first == last else f"{first} to {last}"


def count(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
