"""What do repeated runs of a baseline say? The noise of one run, and of a delta where nothing differs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from policies._distributions import t_upper_quantile
from scheduler.decide import facts
from scheduler.judging._spread import Spread, prediction_interval, sd_factors, spread
from scheduler.report import numbers
from scheduler.report.printable import one_line

#: of every interval that is told
CONFIDENCE = 0.95
#: seeds a side, for which the delta of nothing is told
DELTA_SEEDS = (1, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """Runs of one baseline that differ in their seed alone."""

    task: str
    stage: str
    metric: str
    unit: str
    #: raw, by seed
    values: Mapping[int, float]

    @property
    def scaled(self) -> tuple[float, ...]:
        """In the unit."""
        return tuple(value * (100.0 if self.unit == "pp" else 1.0) for value in self.values.values())

    def raw_text(self, scaled: float) -> str:
        """`52.10%`, or the metric as it is."""
        raw = scaled / 100.0 if self.unit == "pp" else scaled
        return numbers.named_value(self.metric, self.unit, raw).partition("=")[2]


def floors_of(families: Mapping[str, Mapping[int, facts.BaselineKept]]) -> tuple[Floor, ...]:
    """Every baseline that is stored, by task and stage."""
    found = []
    for by_seed in families.values():
        last = list(by_seed.values())[-1]
        values = {seed: each.run.value for seed, each in by_seed.items() if each.run.value is not None}
        found.append(
            Floor(
                task=last.run.task,
                stage=last.run.stage,
                metric=last.metric,
                unit=last.unit,
                values=values,
            )
        )
    return tuple(sorted(found, key=lambda floor: (floor.task, floor.stage)))


def floor_lines(floor: Floor) -> Iterator[str]:
    """The floor of one task and stage, a sentence a line."""
    found = spread(floor.scaled)
    assert found is not None
    low, high = floor.raw_text(found.minimum), floor.raw_text(found.maximum)
    yield (
        f"{floor.task} at {floor.stage}: {numbers.count(found.n, 'run')} of the baseline, {floor.metric}"
        f" {floor.raw_text(found.mean)} on average, {low} to {high}"
    )
    interval = prediction_interval(found, CONFIDENCE)
    if found.sd is None or interval is None:
        yield "one run tells no noise: measure with --seeds 5"
        return
    if found.sd == 0:
        yield "every run ended at the same value: the seed changes nothing that is measured"
        return
    factors = " to ".join(f"x{factor:.2g}" for factor in sd_factors(found.n))
    cv = f" (CV {100 * found.cv:.2g} %)" if found.cv is not None else ""
    yield (
        f"  sd of one run: {_amount(floor, found.sd)}{cv}; {found.n} runs know the sd itself within {factors}"
    )
    yield f"  one new run, 95 times in 100: {floor.raw_text(interval[0])} to {floor.raw_text(interval[1])}"
    yield f"  a delta where nothing differs, 95 times in 100: {', '.join(_deltas(floor, found))}"
    yield f"  seen between these runs: {', '.join(_seen(floor))}"


def floor_table(floors: Sequence[Floor]) -> Iterator[str]:
    """A line for every stored baseline."""
    rows = [("task", "stage", "runs", "mean", "sd", "one new run")]
    for floor in floors:
        found = spread(floor.scaled)
        assert found is not None
        interval = prediction_interval(found, CONFIDENCE)
        new = "-" if interval is None else " to ".join(floor.raw_text(each) for each in interval)
        rows.append(
            (
                one_line(floor.task),
                floor.stage,
                str(found.n),
                f"{floor.metric}={floor.raw_text(found.mean)}",
                "-" if found.sd is None else _amount(floor, found.sd),
                new,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _deltas(floor: Floor, found: Spread) -> Iterator[str]:
    assert found.sd is not None
    quantile = t_upper_quantile((1.0 - CONFIDENCE) / 2.0, found.n - 1)
    for seeds in DELTA_SEEDS:
        half = quantile * found.sd * math.sqrt(2.0 / seeds)
        yield f"within +-{_amount(floor, half)} with {numbers.count(seeds, 'seed')} a side"


def _seen(floor: Floor) -> Iterator[str]:
    """The largest difference between two groups of runs that share none: the best ones and the worst."""
    ordered = sorted(floor.scaled)
    for size in dict.fromkeys((1, len(ordered) // 2)):
        low, high = ordered[:size], ordered[-size:]
        apart = math.fsum(high) / size - math.fsum(low) / size
        others = numbers.count(size, "other")
        yield f"up to {_amount(floor, apart)} between {numbers.count(size, 'run')} and {others}"


def _amount(floor: Floor, amount: float) -> str:
    return f"{amount:.2f} pp" if floor.unit == "pp" else f"{amount:.3g} {floor.unit}"
