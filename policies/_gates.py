"""What does a gate such as `runaway_rate < 5 %` ask for, and is it kept, or even proven to be?"""

from __future__ import annotations

import math
import operator
import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Word = Literal["PASS", "PASS_UNPROVEN", "FAIL"]
#: worst first
WORDS: tuple[Word, ...] = ("FAIL", "PASS_UNPROVEN", "PASS")

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ALIKE = {"≤": "<=", "≥": ">="}
_GATE = re.compile(
    r"\s*(?P<metric>[A-Za-z_][\w./@-]*)\s*(?P<sign><=|>=|<|>|≤|≥)\s*"
    r"(?P<limit>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<percent>%?)\s*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Where the true value probably lies."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A bound that one metric has to keep."""

    metric: str
    sign: str
    #: raw: 0.05 for 5 %
    limit: float
    is_percent: bool

    def __str__(self) -> str:
        return f"{self.metric} {self.bound}"

    @property
    def bound(self) -> str:
        """`< 5 %`."""
        return f"{self.sign} {100 * self.limit:g} %" if self.is_percent else f"{self.sign} {self.limit:g}"

    @property
    def is_upper(self) -> bool:
        """Whether less is better."""
        return self.sign in ("<", "<=")

    def holds(self, value: float) -> bool:
        """Whether `value`, raw, keeps the bound."""
        return _OPERATORS[self.sign](value, self.limit)

    def word(self, value: float | None, interval: Interval | None) -> Word:
        """FAIL when the value misses, PASS when the whole interval keeps the bound, else PASS_UNPROVEN."""
        if value is None or not self.holds(value):
            return "FAIL"
        if interval is None:
            return "PASS_UNPROVEN"
        return "PASS" if self.holds(interval.high if self.is_upper else interval.low) else "PASS_UNPROVEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReading:
    """One metric over some runs, held against its gate."""

    gate: Gate
    #: raw; None where it was not measured
    value: float | None
    #: successes and cases of a rate, over all runs
    count: tuple[int, int] | None
    word: Word

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.gate.metric} was not measured"
        told = f"{100 * self.value:.1f} %" if self.gate.is_percent else f"{self.value:.4g}"
        of = "" if self.count is None else f", {self.count[0]} of {self.count[1]}"
        return f"{self.gate.metric} {told}{of} ({self.gate.bound})"


def parse_gate(text: Any) -> Gate:
    """The gate in `text`. Raises ValueError that says how one is written."""
    match = _GATE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(
            'must be a metric, one of < <= > >= and a number, such as "runaway_rate < 5 %"'
            f' or "quality >= 0.8" (found {text!r})'
        )
    sign = _ALIKE.get(match["sign"], match["sign"])
    is_percent = bool(match["percent"])
    limit = float(match["limit"])
    return Gate(
        metric=match["metric"], sign=sign, limit=limit / 100 if is_percent else limit, is_percent=is_percent
    )


def gate_problems(name: str, texts: Any) -> Iterator[str]:
    """A line for every text that is no gate, and one when there is none at all."""
    if not isinstance(texts, tuple) or not texts:
        yield f'{name}: declare at least one, such as ["runaway_rate < 5 %"] (found {texts!r})'
        return
    for text in texts:
        try:
            parse_gate(text)
        except ValueError as error:
            yield f"{name}: {error}"


def wilson_interval(successes: float, number: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share: sound for few cases and for shares near 0 and 1."""
    if number < 1 or not 0 <= successes <= number:
        raise ValueError(f"{successes} of {number} is no share")
    z = statistics.NormalDist().inv_cdf(0.5 + level / 2)
    share = successes / number
    centre = (share + z * z / (2 * number)) / (1 + z * z / number)
    half = z / (1 + z * z / number) * math.sqrt(share * (1 - share) / number + (z / (2 * number)) ** 2)
    return Interval(low=max(0.0, centre - half), high=min(1.0, centre + half))


def least_cases(gate: Gate, level: float = 0.95) -> int | None:
    """The fewest cases that can prove a gate on a rate, when each of them is as it should be.

    None where the bound lies at the end of what a rate can be, or beyond it.
    """
    if not 0 < gate.limit < 1:
        return None
    room = gate.limit if gate.is_upper else 1 - gate.limit
    z = statistics.NormalDist().inv_cdf(0.5 + level / 2)
    # all cases good: Wilson's interval ends z^2 / (n + z^2) from the end of the scale
    least = math.ceil(z * z * (1 - room) / room)
    rate = 0 if gate.is_upper else 1
    while gate.word(rate, wilson_interval(rate * least, least, level)) != "PASS":
        least += 1
    return least


def read_gate(gate: Gate, runs: Sequence[Mapping[str, float]], level: float = 0.95) -> GateReading:
    """The metric of `gate` over the metrics of runs: a rate from its counts, any other from their mean.

    Counts are `<rate>_successes` and `<rate>_n`. A mean has no interval here, and so proves nothing.
    """
    counted = [
        (round(run[f"{gate.metric}_successes"]), round(run[f"{gate.metric}_n"]))
        for run in runs
        if f"{gate.metric}_successes" in run and run.get(f"{gate.metric}_n")
    ]
    if counted:
        successes, number = (sum(side) for side in zip(*counted, strict=True))
        share = successes / number
        word = gate.word(share, wilson_interval(successes, number, level))
        return GateReading(gate=gate, value=share, count=(successes, number), word=word)
    values = [run[gate.metric] for run in runs if gate.metric in run]
    value = statistics.fmean(values) if values else None
    return GateReading(gate=gate, value=value, count=None, word=gate.word(value, None))
