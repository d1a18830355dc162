"""What is there to do after a round? One sentence for each thing a person can act on, most pressing first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from policies.evidence import Objective
from scheduler.report import numbers
from scheduler.report.gains import Gain
from scheduler.report.reading import RoundReading, TaskReading


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One thing to do, or to know."""

    text: str
    #: what to type; empty where there is nothing
    command: str = ""


def advice(reading: RoundReading, gains: Mapping[str, Sequence[Gain]]) -> tuple[Advice, ...]:
    """What to do next. `gains` are the rows of each task. Never empty."""
    found = [*_round(reading)]
    for task in reading.tasks:
        found += _task(reading, task, gains[task.name])
    return tuple(found) or (Advice(text=_nothing(reading)),)


def _round(reading: RoundReading) -> Iterator[Advice]:
    if reading.state.cancelled is not None:
        yield Advice(
            text=f"The round was cancelled: {reading.state.cancelled.reason}. What had ended is kept."
        )
    if reading.outcome == "in progress":
        open_ones = sum(len(task.undecided) for task in reading.tasks)
        waits = f"; {numbers.count(open_ones, 'variant')} not decided yet" if open_ones else ""
        yield Advice(text=f"Wait: the round is in progress{waits}.", command="schedctl status --watch")


def _task(reading: RoundReading, task: TaskReading, rows: Sequence[Gain]) -> Iterator[Advice]:
    parked = task.state.parked
    if parked is not None:
        yield Advice(
            text=f"{task.name} is parked ({parked.failure_class}): {parked.reason}. Remedy: {parked.remedy}.",
            command=f"schedctl retry {parked.round} {parked.task}",
        )
    yield from (Advice(text=_adopt(task, row)) for row in rows if row.verdict == "WINNER")
    suggestive = [row for row in rows if row.verdict == "SUGGESTIVE"]
    unconfirmed = [row.config for row in suggestive if row.more_seeds is None and not row.has_fresh_seeds]
    yield from (Advice(text=_settle(task, row)) for row in suggestive if row.config not in unconfirmed)
    if unconfirmed:
        names = _listed(unconfirmed)
        why = "a gain on the seeds that selected a variant is an overstatement"
        yield Advice(text=f"Confirm {names} in {task.name} on fresh seeds: {why}.")
    failures = Counter(failure.run.failure_class or "lost" for failure in task.failures)
    if failures and parked is None:
        told = ", ".join(f"{number} {name}" for name, number in sorted(failures.items()))
        yield Advice(
            text=f"Look at what failed in {task.name}: {told}. Messages and remedies are listed below.",
            command=f"schedctl show {reading.state.round.id} {task.name}",
        )


def _adopt(task: TaskReading, row: Gain) -> str:
    gain = "" if row.best is None else f": {numbers.signed(task.objective, row.best)} expected"
    return f"Adopt {row.config} in {task.name}{gain}{_between(task.objective, row)}."


def _between(objective: Objective, row: Gain) -> str:
    if row.interval is None:
        return ""
    low, high = (numbers.signed(objective, bound) for bound in row.interval)
    return f" (90 % interval {low} to {high})"


def _settle(task: TaskReading, row: Gain) -> str:
    if row.more_seeds is not None:
        return f"Give {row.config} in {task.name} {numbers.count(row.more_seeds, 'more seed')} to settle it."
    return f"{row.config} in {task.name} is likely better, and not proven: {row.reason}."


def _listed(names: Sequence[str], most: int = 6) -> str:
    """`a, b and c`; the first few of many."""
    shown = [*names[:most], *([f"{len(names) - most} more"] if len(names) > most else [])]
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]


def _nothing(reading: RoundReading) -> str:
    open_ones = reading.verdicts.get("INCONCLUSIVE", 0)
    if open_ones:
        return (
            f"Nothing to adopt. {numbers.count(open_ones, 'variant')} INCONCLUSIVE: more seeds or more"
            " evaluation examples would be needed to tell."
        )
    return "Nothing to adopt: no variant was better than its baseline."
