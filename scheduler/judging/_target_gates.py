"""How does one metric of an iteration stand against its gate, and how surely?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policies._gates import Gate, Word
from scheduler.judging._markdown import number
from scheduler.judging._pooled import total
from scheduler.judging._tests_of_difference import Interval, mean_interval, wilson_interval
from scheduler.judging.evidence import Count, JudgedRun

#: how far a rate times its trials may lie from a whole number, since rates are written with few digits
_ROUNDING = 0.25


def told(gate: Gate, value: float | None) -> str:
    """`value` as the gate is written: in percent or as it is."""
    if value is None:
        return "-"
    return f"{100 * value:.1f} %" if gate.is_percent else number(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReading:
    """One metric of one iteration, held against its gate."""

    gate: Gate
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
        return self.gate.word(self.value, self.interval)


def read_target(gate: Gate, runs: Sequence[JudgedRun], *, level: float, trials: str) -> TargetReading:
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
