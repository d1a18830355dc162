"""What shape has a run's loss curve: how steep early and late, how unquiet at the end?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from policies._distributions import t_upper_quantile
from scheduler.judging.evidence import JudgedRun

#: early slopes below it (per million) count as this much
EPSILON = 1e-12
_MILLION = 1e6
#: a point on the edge of a window is in it, however the division rounds
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Shares of a run, by tokens seen."""

    early: tuple[float, float]
    late: tuple[float, float]
    #: the last share, for the variance; two points make one
    tail: float
    least_points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """A least-squares slope, per million, with what the scatter around its line leaves open."""

    value: float
    #: standard error; None where two points make the line
    se: float | None
    #: whether its 95 % interval lies on one side of 0; None where nobody can know
    is_distinguishable: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveShape:
    """The shape of one run's curve. None is `undefined`."""

    points: int
    #: what the slopes are per a million of
    unit: Literal["tokens", "steps"]
    early: Slope | None
    late: Slope | None
    #: sample variance over the tail
    late_variance: float | None

    @property
    def early_slope(self) -> float | None:
        """Signed, per million."""
        return None if self.early is None else self.early.value

    @property
    def late_slope(self) -> float | None:
        """Signed, per million."""
        return None if self.late is None else self.late.value

    @property
    def plateau_coefficient(self) -> float | None:
        """|late slope| / max(|early slope|, eps)."""
        if self.early is None or self.late is None:
            return None
        return abs(self.late.value) / max(abs(self.early.value), EPSILON)


def curve_shape(run: JudgedRun, metric: str, windows: Windows) -> CurveShape:
    """The shape of `metric` over the tokens that `run` saw, or over its steps where tokens are unknown."""
    points, unit = positions(run, metric)
    early = _slope(_within(points, *windows.early), windows.least_points)
    late = _slope(_within(points, *windows.late), windows.least_points)
    tail = [value for _, value in _within(points, 1.0 - windows.tail, 1.0)]
    return CurveShape(
        points=len(points),
        unit=unit,
        early=early,
        late=late,
        late_variance=statistics.variance(tail) if len(tail) > 1 else None,
    )


def positions(run: JudgedRun, metric: str) -> tuple[list[tuple[float, float]], Literal["tokens", "steps"]]:
    """(tokens or steps so far, value) of each point that has `metric`, rising."""
    points = [point for point in run.curve if metric in point.metrics]
    counted = [(float(p.tokens), p.metrics[metric]) for p in points if p.tokens is not None]
    if counted and len(counted) == len(points):
        return sorted(counted), "tokens"
    return sorted((float(point.step), point.metrics[metric]) for point in points), "steps"


def _within(points: Sequence[tuple[float, float]], low: float, high: float) -> list[tuple[float, float]]:
    """The points between two shares of the way to the last one, both edges included."""
    if not points:
        return []
    end = points[-1][0]
    slack = _ROUNDING * end
    return [(x, y) for x, y in points if low * end - slack <= x <= high * end + slack]


def _slope(points: Sequence[tuple[float, float]], least: int) -> Slope | None:
    """None for too few points, or all at one place."""
    if len(points) < least or len({x for x, _ in points}) < 2:
        return None
    xs, ys = ([x / _MILLION for x, _ in points], [y for _, y in points])
    value, intercept = statistics.linear_regression(xs, ys)
    df = len(points) - 2
    if df < 1:
        return Slope(value=value, se=None, is_distinguishable=None)
    scatter = sum((y - intercept - value * x) ** 2 for x, y in zip(xs, ys, strict=True))
    middle = statistics.fmean(xs)
    se = math.sqrt(scatter / df / sum((x - middle) ** 2 for x in xs))
    return Slope(value=value, se=se, is_distinguishable=abs(value) > t_upper_quantile(0.025, df) * se)
