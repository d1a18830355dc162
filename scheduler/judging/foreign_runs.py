"""Which runs do the rows of a foreign file make?

Rows of the same file, config, seed, stage and prompt set are one run. What is left out is told in a note.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scheduler.judging.evidence import Count, JudgedRun, Point, UnfitRunsError, counts_in, finite_metrics
from scheduler.judging.foreign import KEYS, Row

#: spellings of a status that does not keep a row out
_WELL = frozenset({"ok", "finished", "completed", "complete", "success", "succeeded", "done"})
#: stages that train nothing
_NO_STAGES = frozenset({"probe"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRuns:
    """What some files hold."""

    runs: tuple[JudgedRun, ...] = ()
    #: sentences about rows that were left out
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Growing:
    """A run as its rows come in."""

    facts: dict[str, Any]
    origin: str
    final: dict[str, float] = field(default_factory=dict)
    points: dict[int, dict[str, float]] = field(default_factory=dict)
    tokens: dict[int, int] = field(default_factory=dict)
    wall_seconds: float | None = None


def runs_of(
    rows: Iterable[Row], *, task: str | None = None, defaults: Mapping[str, Any] | None = None
) -> ForeignRuns:
    """The runs that `rows` make, in the order in which they begin. A row's own facts go before `defaults`.

    Raises UnfitRunsError where rows cannot be told apart, or tasks are mixed and none is named.
    """
    growing: dict[tuple[Any, ...], _Growing] = {}
    left_out: Counter[str] = Counter()
    tasks: dict[str, None] = {}
    for row in rows:
        facts = {**(defaults or {}), **row.facts}
        if facts.get("event", "run_finished") != "run_finished" or facts.get("stage") in _NO_STAGES:
            continue
        if facts.get("task") is not None:
            tasks[str(facts["task"])] = None
            if task is not None and str(facts["task"]) != task:
                continue
        if str(facts.get("status", "ok")).lower() not in _WELL:
            left_out[str(facts["status"])] += 1
            continue
        _add(growing, facts, row)
    if task is None and len(tasks) > 1:
        raise UnfitRunsError(
            f"rows of several tasks ({', '.join(tasks)}) are not compared; name one (--task)"
        )
    if task is not None and tasks and task not in tasks:
        raise UnfitRunsError(f"no row of task {task!r}; tasks here: {', '.join(tasks)}")
    notes = tuple(f"{n} rows with status {status!r} are left out." for status, n in left_out.items())
    return ForeignRuns(runs=tuple(_run(made) for made in growing.values()), notes=notes)


def _add(growing: dict[tuple[Any, ...], _Growing], facts: Mapping[str, Any], row: Row) -> None:
    if facts.get("config") is None:
        known = ", ".join(KEYS["config"])
        raise UnfitRunsError(f"{row.origin}: a row does not tell its config; name it in a column {known}")
    seed = _whole(facts.get("seed"), "seed", row.origin)
    step = _whole(facts.get("step"), "step", row.origin)
    key: tuple[Any, ...] = (
        str(facts["config"]),
        seed,
        facts.get("stage"),
        facts.get("prompt_set"),
        row.origin,
    )
    if seed is None and step is None:
        key = (*key, len(growing))  # rows without a seed are different runs
    run = growing.get(key)
    if run is not None and step is None and not run.points:
        key = (*key, len(growing))  # the same run told twice: whether it says the same is asked later
        run = None
    if run is None:
        run = growing[key] = _Growing(facts={**facts, "seed": seed}, origin=row.origin)
    if step is None:
        run.final |= row.metrics
        run.facts |= {k: v for k, v in facts.items() if k in ("counts", "cost", "parameters")}
    else:
        run.points.setdefault(step, {}).update(row.metrics)
        tokens = _whole(facts.get("tokens"), "tokens", row.origin)
        if tokens is not None:
            run.tokens[step] = tokens
    wall = finite_metrics({"wall": facts.get("wall_seconds")}).get("wall")
    if wall is not None:
        run.wall_seconds = max(wall, run.wall_seconds or 0.0)


def _run(made: _Growing) -> JudgedRun:
    steps = sorted(made.points)
    last: dict[str, float] = {}
    for step in steps:
        last.update(made.points[step])
    metrics = {**last, **made.final}
    facts = made.facts
    cost, parameters = facts.get("cost"), facts.get("parameters")
    return JudgedRun(
        config=str(facts["config"]),
        seed=facts["seed"],
        stage=_text(facts.get("stage")),
        protocol=_text(facts.get("protocol")),
        prompt_set=_text(facts.get("prompt_set")),
        metrics=metrics,
        curve=tuple(Point(step=s, tokens=made.tokens.get(s), metrics=made.points[s]) for s in steps),
        counts={**counts_in(metrics), **_counts(facts.get("counts"), made.origin)},
        wall_seconds=made.wall_seconds,
        parameters=parameters if isinstance(parameters, Mapping) else {},
        cost=_cost(cost),
        origin=made.origin,
    )


def _counts(told: Any, origin: str) -> dict[str, Count]:
    if told is None:
        return {}
    try:
        return {name: Count(successes=int(pair[0]), n=int(pair[1])) for name, pair in told.items()}
    except (AttributeError, TypeError, ValueError, IndexError, KeyError) as error:
        raise UnfitRunsError(f'{origin}: counts must be like {{"runaway": [3, 39]}}') from error


def _cost(told: Any) -> dict[str, float] | None:
    if isinstance(told, Mapping):
        return finite_metrics(told) or None
    amount = finite_metrics({"cost": told})
    return amount or None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _whole(value: Any, name: str, origin: str) -> int | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number != int(number) or isinstance(value, bool):
        raise UnfitRunsError(f"{origin}: {name} must be a whole number (found {value!r})")
    return int(number)
