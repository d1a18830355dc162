"""What changed from one iteration to the next, and what has all of it cost so far?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scheduler.judging.evidence import JudgedRun

_SECONDS_AN_HOUR = 3600.0
ENERGY, TOKENS, GPU_SECONDS = "energy_joule", "tokens", "gpu_seconds"
#: a cost reported as a bare number is money
UNNAMED = "cost"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterChange:
    """A parameter that two iterations set differently."""

    name: str
    #: None where it was not set
    before: Any
    after: Any


def parameter_changes(
    before: Sequence[JudgedRun], after: Sequence[JudgedRun], ignored: Sequence[str] = ()
) -> tuple[ParameterChange, ...]:
    """Every parameter that differs, by name; those that differ within an iteration are no setting of it."""
    old, new = (_settings(runs, ignored) for runs in (before, after))
    names = dict.fromkeys((*old, *new))
    return tuple(
        ParameterChange(name=name, before=old.get(name), after=new.get(name))
        for name in names
        if old.get(name) != new.get(name) and _VARIES not in (old.get(name), new.get(name))
    )


#: stands for a parameter that the runs of one iteration set differently, such as the seed
_VARIES = object()


def _settings(runs: Sequence[JudgedRun], ignored: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for run in runs:
        for name, value in _flat(run.parameters):
            if name not in ignored:
                found[name] = value if found.get(name, value) == value else _VARIES
    return found


def _flat(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What some runs cost; None where nothing tells."""

    runs: int
    seconds: float | None
    energy_joule: float | None
    tokens: float | None
    money: float | None

    def plus(self, other: Spent) -> Spent:
        """Both together; what only one of them tells counts as it is."""
        return Spent(
            runs=self.runs + other.runs,
            seconds=_sum((self.seconds, other.seconds)),
            energy_joule=_sum((self.energy_joule, other.energy_joule)),
            tokens=_sum((self.tokens, other.tokens)),
            money=_sum((self.money, other.money)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """One iteration in the cost ledger."""

    config: str
    spent: Spent
    so_far: Spent
    #: whether any of the money is seconds times a rate
    is_estimate: bool


def cost_ledger(
    iterations: Mapping[str, Sequence[JudgedRun]], *, cost_per_hour: float | None, currency: str
) -> Iterator[LedgerRow]:
    """Iteration by iteration, with the sum so far.

    Money is what a run reports under the name of `currency`, else its seconds at `cost_per_hour`.
    """
    so_far = Spent(runs=0, seconds=None, energy_joule=None, tokens=None, money=None)
    for config, runs in iterations.items():
        spent = Spent(
            runs=len(runs),
            seconds=_sum(_seconds(run) for run in runs),
            energy_joule=_sum(_cost(run, ENERGY) for run in runs),
            tokens=_sum(_tokens(run) for run in runs),
            money=_sum(_money(run, cost_per_hour, currency) for run in runs),
        )
        so_far = so_far.plus(spent)
        is_estimate = any(_is_estimate(run, cost_per_hour, currency) for run in runs)
        yield LedgerRow(config=config, spent=spent, so_far=so_far, is_estimate=is_estimate)


def _seconds(run: JudgedRun) -> float | None:
    if run.cost is not None and not run.cost:
        return 0.0  # a result from the cache was paid for before
    on_gpu = _cost(run, GPU_SECONDS)
    return run.wall_seconds if on_gpu is None else on_gpu


def _tokens(run: JudgedRun) -> float | None:
    told = _cost(run, TOKENS)
    if told is None:
        told = run.metrics.get(TOKENS)
    if told is None and run.curve:
        told = run.curve[-1].tokens
    return told


def _money(run: JudgedRun, cost_per_hour: float | None, currency: str) -> float | None:
    told = _reported(run, currency)
    seconds = _seconds(run)
    if told is not None or cost_per_hour is None or seconds is None:
        return told
    return seconds / _SECONDS_AN_HOUR * cost_per_hour


def _reported(run: JudgedRun, currency: str) -> float | None:
    told = _cost(run, currency.lower())
    return _cost(run, UNNAMED) if told is None else told


def _is_estimate(run: JudgedRun, cost_per_hour: float | None, currency: str) -> bool:
    return _reported(run, currency) is None and _money(run, cost_per_hour, currency) is not None


def _cost(run: JudgedRun, unit: str) -> float | None:
    return None if run.cost is None else run.cost.get(unit)


def _sum(amounts: Iterable[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None
