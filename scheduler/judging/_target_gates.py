"""What does a gate such as `runaway_rate < 5 %` ask for, and does a reading pass it?"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scheduler.judging._markdown import number
from scheduler.judging._pooled import total
from scheduler.judging._tests_of_difference import Interval, mean_interval, wilson_interval
from scheduler.judging.evidence import Count, JudgedRun

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
#: how far a rate times its trials may lie from a whole number, since rates are written with few digits
_ROUNDING = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetGate:
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

    def told(self, value: float | None) -> str:
        """`value` as the gate is written: in percent or as it is."""
        if value is None:
            return "-"
        return f"{100 * value:.1f} %" if self.is_percent else number(value)


def parse_gate(text: Any) -> TargetGate:
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
    return TargetGate(
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReading:
    """One metric of one iteration, held against its gate."""

    gate: TargetGate
    #: raw; None where it was not measured
    value: float | None
    #: Wilson's for a counted rate, Student's over runs for any other; None for one run
    interval: Interval | None
    #: the pooled count of a rate
    count: Count | None
    runs: int

    @property
    def word(self) -> Word:
        """FAIL when the value misses, PASS when the whole interval keeps the bound, else PASS_UNPROVEN."""
        if self.value is None or not self.gate.holds(self.value):
            return "FAIL"
        if self.interval is None:
            return "PASS_UNPROVEN"
        end = self.interval.high if self.gate.is_upper else self.interval.low
        return "PASS" if self.gate.holds(end) else "PASS_UNPROVEN"


def read_target(gate: TargetGate, runs: Sequence[JudgedRun], *, level: float, trials: str) -> TargetReading:
    """The metric of `gate` over `runs`: a rate from its counts where there are any, else the mean over runs.

    `trials` names the metric that holds how many cases a rate is of, for runs without counts.
    """
    counted = total(runs, gate.metric) or _count_from(runs, gate.metric, trials)
    if counted is not None:
        return TargetReading(
            gate=gate,
            value=counted.successes / counted.n,
            interval=wilson_interval(counted.successes, counted.n, level),
            count=counted,
            runs=sum(gate.metric in run.counts or gate.metric in run.metrics for run in runs),
        )
    values = [run.metrics[gate.metric] for run in runs if gate.metric in run.metrics]
    return TargetReading(
        gate=gate,
        value=sum(values) / len(values) if values else None,
        interval=mean_interval(values, level),
        count=None,
        runs=len(values),
    )


def _count_from(runs: Sequence[JudgedRun], metric: str, trials: str) -> Count | None:
    """The count behind rates that were reported without one; None where any does not fit."""
    having = [run for run in runs if metric in run.metrics]
    if not trials or not having or not all(trials in run.metrics for run in having):
        return None
    successes, number_of_trials = 0, 0
    for run in having:
        rate, cases = run.metrics[metric], round(run.metrics[trials])
        if not 0 <= rate <= 1 or cases < 1 or abs(rate * cases - round(rate * cases)) > _ROUNDING:
            return None
        successes += round(rate * cases)
        number_of_trials += cases
    return Count(successes=successes, n=number_of_trials)
