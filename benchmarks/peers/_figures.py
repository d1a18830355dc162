"""What do the times of a peer's runs say? Overhead per run, start-up, the share of the time that trained."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """When the runs of one piece of work trained, on one clock, in seconds."""

    #: from the start of the peer's process until it says that all is done; ending it is not part of that
    opened: float
    done: float
    #: (begun, ended) of every run's training, in order
    trained: tuple[tuple[float, float], ...]

    @property
    def runs(self) -> int:
        return len(self.trained)

    @property
    def wall_seconds(self) -> float:
        return self.done - self.opened

    @property
    def training_seconds(self) -> float:
        return sum(ended - begun for begun, ended in self.trained)

    @property
    def overhead_seconds(self) -> float:
        """All that was not training, starting the peer included."""
        return self.wall_seconds - self.training_seconds

    @property
    def gaps_seconds(self) -> tuple[float, ...]:
        """From the last step (and evaluation) of each run to the first step of the next."""
        return tuple(
            after[0] - before[1] for before, after in zip(self.trained, self.trained[1:], strict=False)
        )

    @property
    def busy_share(self) -> float:
        """Share of the time in which something trained, from the first step of all to the last."""
        return self.training_seconds / (self.trained[-1][1] - self.trained[0][0])


def timeline(opened: float, done: float, lines: Sequence[Mapping[str, float]]) -> Timeline:
    """Of the lines of a journal, in any order."""
    trained = tuple(sorted((line["begun"], line["ended"]) for line in lines))
    return Timeline(opened=opened, done=done, trained=trained)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The straight line through overheads by number of runs."""

    #: overhead of one more run
    per_run_seconds: float
    #: overhead of no run at all: starting the peer
    start_seconds: float
    #: of `per_run_seconds`; None from two points, through which a line always fits
    standard_error_seconds: float | None


def line_through(points: Sequence[tuple[int, float]]) -> Line:
    """By least squares, through (number of runs, overhead in seconds) of at least two lengths."""
    mean_runs = statistics.fmean(runs for runs, _ in points)
    mean_seconds = statistics.fmean(seconds for _, seconds in points)
    spread = sum((runs - mean_runs) ** 2 for runs, _ in points)
    if spread == 0:
        raise ValueError("a slope takes two lengths: measure another number of runs too")
    slope = sum((runs - mean_runs) * (seconds - mean_seconds) for runs, seconds in points) / spread
    start = mean_seconds - slope * mean_runs
    error = None
    if len(points) > 2:
        left_over = sum((seconds - start - slope * runs) ** 2 for runs, seconds in points)
        error = math.sqrt(left_over / (len(points) - 2) / spread)
    return Line(per_run_seconds=slope, start_seconds=start, standard_error_seconds=error)


def share_at(budget_seconds: float, per_run_seconds: float) -> float:
    """The share of the time that runs of this length would train, if the overhead of one stayed the same."""
    return budget_seconds / (budget_seconds + max(0.0, per_run_seconds))


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
