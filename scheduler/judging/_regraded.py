"""What do iterations look like by other definitions of their metrics? Recorded beside regraded."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policies._gates import Interval, wilson_interval
from scheduler.judging._markdown import cell, number, table
from scheduler.judging.evidence import Count, counts_in

_PARTS_OF_A_RATE = ("_successes", "_n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One metric over the runs of an iteration: a rate from its pooled counts, any other as their mean."""

    value: float
    count: Count | None = None
    #: Wilson's 95 %, where there are counts
    interval: Interval | None = None

    def __str__(self) -> str:
        if self.count is None or self.interval is None:
            return number(self.value)
        low, high = 100 * self.interval.low, 100 * self.interval.high
        return (
            f"{100 * self.value:.1f} %, {self.count.successes} of {self.count.n} ({low:.1f} to {high:.1f} %)"
        )

    def as_object(self) -> dict[str, Any]:
        """For a program."""
        return {
            "value": self.value,
            "count": None if self.count is None else [self.count.successes, self.count.n],
            "interval": None if self.interval is None else [self.interval.low, self.interval.high],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RegradedMetric:
    """One metric of one iteration; a side is None where it is not known there."""

    name: str
    recorded: Reading | None
    regraded: Reading | None

    @property
    def has_changed(self) -> bool:
        """Whether both sides are known, and differ."""
        return self.is_on_both_sides and self.recorded != self.regraded

    @property
    def is_on_both_sides(self) -> bool:
        return self.recorded is not None and self.regraded is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegradedIteration:
    """The runs of one config at one stage."""

    #: "night/tales, full, medium", or the config of a file
    name: str
    runs: int
    metrics: tuple[RegradedMetric, ...]
    #: runs that could not be graded, and why
    problems: tuple[str, ...] = ()

    def as_object(self) -> dict[str, Any]:
        """For a program."""
        return {
            "iteration": self.name,
            "runs": self.runs,
            "metrics": {
                metric.name: {
                    "recorded": None if metric.recorded is None else metric.recorded.as_object(),
                    "regraded": None if metric.regraded is None else metric.regraded.as_object(),
                }
                for metric in self.metrics
            },
            "problems": list(self.problems),
        }


def regraded_metrics(
    recorded: Sequence[Mapping[str, float]], regraded: Sequence[Mapping[str, float]]
) -> tuple[RegradedMetric, ...]:
    """Every metric of either side over the runs of one iteration, in the order in which they are named."""
    before, after = _readings(recorded), _readings(regraded)
    return tuple(
        RegradedMetric(name=name, recorded=before.get(name), regraded=after.get(name))
        for name in dict.fromkeys((*after, *before))
    )


def regrade_document(
    iterations: Iterable[RegradedIteration], version: str, names: Sequence[str] = ()
) -> Iterator[str]:
    """The lines of a Markdown document: what changed, or the metrics `names`, iteration by iteration."""
    yield from (f"# Regraded by definitions {cell(version)}", "")
    yield "From stored samples. The records are as they were; rates have Wilson's 95 % interval."
    yield ""
    for iteration in iterations:
        runs = f"{iteration.runs} run" + ("" if iteration.runs == 1 else "s")
        yield from (f"## {cell(iteration.name)} ({runs})", "")
        shown = [
            metric for metric in iteration.metrics if (metric.name in names if names else metric.has_changed)
        ]
        if shown:
            rows = [(metric.name, _told(metric.recorded), _told(metric.regraded)) for metric in shown]
            yield from table(("metric", "recorded", "regraded"), rows)
        if not names:
            yield from (_others(iteration), "")
        for problem in iteration.problems:
            yield from (f"Not graded: {cell(problem)}", "")


def _others(iteration: RegradedIteration) -> str:
    """What is not in the table."""
    on_both = [metric for metric in iteration.metrics if metric.is_on_both_sides]
    alike = sum(not metric.has_changed for metric in on_both)
    unknown = len(iteration.metrics) - len(on_both)
    others = f" {unknown} are known to one side alone." if unknown else ""
    return f"As they were recorded: {alike} of {len(on_both)} metrics.{others}"


def _told(reading: Reading | None) -> str:
    return "-" if reading is None else str(reading)


def _readings(runs: Sequence[Mapping[str, float]]) -> dict[str, Reading]:
    counts = [counts_in(run) for run in runs]
    rates = dict.fromkeys(name for of_run in counts for name in of_run)
    found: dict[str, Reading] = {}
    for name in dict.fromkeys(name for run in runs for name in run):
        if any(name == f"{rate}{part}" for rate in rates for part in _PARTS_OF_A_RATE):
            continue
        if name in rates:
            found[name] = _rate([of_run[name] for of_run in counts if name in of_run])
        else:
            found[name] = Reading(value=statistics.fmean(run[name] for run in runs if name in run))
    return found


def _rate(counts: Sequence[Count]) -> Reading:
    pooled = Count(successes=sum(count.successes for count in counts), n=sum(count.n for count in counts))
    if not pooled.n:
        return Reading(value=0.0, count=pooled)
    return Reading(
        value=pooled.successes / pooled.n,
        count=pooled,
        interval=wilson_interval(pooled.successes, pooled.n),
    )
