"""Which baseline runs of earlier rounds may stand in for new ones? A fold of facts of the ledger.

A stored run serves wherever protocol, config and seed are the same: code, data, versions and device are all
part of the protocol. Now and then a baseline is run anew all the same, and compared with what is stored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from policies._assessment import Ledger
from policies._distributions import t_upper_quantile
from policies._variance import MIN_SEEDS_FOR_SD, noise_prior, spread_of
from policies.evidence import Objective
from scheduler.decide import facts
from scheduler.rounds.identity import digest

#: of the interval in which a baseline that is run anew is expected
CONFIDENCE = 0.95
#: values that differ by less, relatively, are the same number
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineStore:
    """What is stored, by family and seed."""

    families: Mapping[str, Mapping[int, facts.BaselineKept]] = field(default_factory=dict)
    #: runs that were kept or compared: each is taken once
    settled: frozenset[str] = frozenset()
    #: runs from before a drift
    forgotten: frozenset[str] = frozenset()
    #: how many were run anew and compared
    checks: int = 0
    #: how many drifts were seen, by protocol
    drifts: Mapping[str, int] = field(default_factory=dict)

    def after(self, fact: facts.BaselineKept | facts.BaselineFact | facts.ResultsForgotten) -> BaselineStore:
        """The store after `fact`."""
        match fact:
            case facts.BaselineKept(family=family, run=run):
                family_after = {**self.families.get(family, {}), run.seed: fact}
                return replace(
                    self,
                    families={**self.families, family: family_after},
                    settled=self.settled | {_name(run)},
                )
            case facts.BaselineDrifted():
                # The run that showed it is the first of those that are kept from here on.
                stale = [name for name, kept in self.families.items() if _protocol(kept) == fact.protocol]
                gone = {_name(each.run) for name in stale for each in self.families[name].values()}
                return replace(
                    self,
                    families={name: kept for name, kept in self.families.items() if name not in stale},
                    forgotten=self.forgotten | gone,
                    checks=self.checks + 1,
                    drifts={**self.drifts, fact.protocol: self.drifts.get(fact.protocol, 0) + 1},
                )
            case facts.ResultsForgotten():
                left = {
                    name: {seed: each for seed, each in kept.items() if not _is_meant(fact, each.run)}
                    for name, kept in self.families.items()
                }
                return replace(self, families={name: kept for name, kept in left.items() if kept})
            case _:
                return replace(self, settled=self.settled | {_name(fact)}, checks=self.checks + 1)

    def find(self, family: str, seed: int) -> facts.BaselineKept | None:
        """The stored run of that seed."""
        return self.families.get(family, {}).get(seed)

    def values(self, family: str) -> Mapping[int, float]:
        """The objective's metric, raw, of every stored run of the family, by seed."""
        kept = self.families.get(family, {})
        return {seed: each.run.value for seed, each in kept.items() if each.run.value is not None}

    def is_settled(self, run: facts.RunFinished) -> bool:
        """Whether the run was kept already, or compared with what is kept."""
        return _name(run) in self.settled

    def is_forgotten(self, run: facts.RunFinished) -> bool:
        """Whether the run was taken from what a drift has put out of date since."""
        return run.cached_from is not None and f"{run.cached_from} {run.content_key}" in self.forgotten


def family_of(protocol: str, config: Mapping[str, object], metric: str) -> str:
    """The name of all runs that differ from each other in their seed alone."""
    return digest({"protocol": protocol, "config": config, "metric": metric})


def settled_by(
    store: BaselineStore,
    run: facts.RunFinished,
    *,
    family: str,
    objective: Objective,
    has_scores: bool,
    is_checking: bool,
    expected: tuple[float, float] | None,
) -> facts.LedgerFact | None:
    """What the ledger has to know of a baseline's run that ended well; None when it knows already."""
    if run.cached_from is not None or run.value is None or store.is_settled(run):
        return None
    if not is_checking or store.find(family, run.seed) is None:
        return facts.BaselineKept(
            family=family, metric=objective.metric, unit=objective.unit, run=run, has_scores=has_scores
        )
    kind = facts.BaselineAgreed if _is_within(run.value, expected) else facts.BaselineDrifted
    return kind(
        family=family,
        round=run.round,
        task=run.task,
        protocol=run.protocol,
        content_key=run.content_key,
        run_dir=run.run_dir,
        seed=run.seed,
        value=run.value,
        expected=expected,
        stored_runs=len(store.values(family)),
    )


def expected_value(
    values: Mapping[int, float], seed: int, *, objective: Objective, stage: str, ledger: Ledger
) -> tuple[float, float] | None:
    """Where a run of `seed` should end, by the stored values of its family; None when nothing tells.

    Three stored runs or more give the prediction interval of one new run; with fewer, it must lie as near the
    stored run of its seed as two runs of such a task do.
    """
    if len(values) >= MIN_SEEDS_FOR_SD:
        middle = math.fsum(values.values()) / len(values)
        spread = spread_of([values])
        sd, df = math.sqrt(spread.ss / spread.df), float(spread.df)
        others = 1.0 / len(values)
    elif seed in values:
        fitted = ledger.quick if stage == "quick" else ledger.medium
        prior = noise_prior(stage, objective, fitted=fitted)
        if not prior.is_measured:
            return None
        middle, others = values[seed], 1.0
        sd, df = prior.sd * objective.min_effect / objective.scale, prior.df
    else:
        return None
    half = t_upper_quantile((1.0 - CONFIDENCE) / 2.0, df) * sd * math.sqrt(1.0 + others)
    return middle - half, middle + half


def reused(origin: facts.RunFinished, wanted: facts.RunIntended) -> facts.RunFinished:
    """An earlier run as the end of the one that is wanted. Nothing runs."""
    own = {name: getattr(wanted, name) for name in ("round", "task", "stage", "config", "seed", "attempt")}
    return replace(
        origin,
        **own,
        slot=wanted.slot,
        device=wanted.device,
        run_dir=f"../../{origin.round}/runs/{origin.run_dir}",
        cached_from=f"{origin.round}/{origin.run_dir}",
        kept_step=None,
        is_recovered=False,
        drifts=wanted.drifts,
    )


def _is_meant(forgotten: facts.ResultsForgotten, run: facts.RunFinished) -> bool:
    return run.round == forgotten.round and forgotten.content_key in (None, run.content_key)


def _is_within(value: float, expected: tuple[float, float] | None) -> bool:
    if expected is None:
        return True
    slack = ROUNDING * max(abs(value), *map(abs, expected))
    return expected[0] - slack <= value <= expected[1] + slack


def _name(run: facts.RunFinished | facts.BaselineFact) -> str:
    """A run's name within a home; a round that was deleted and submitted again has other contents."""
    return f"{run.round}/{run.run_dir} {run.content_key}"


def _protocol(kept: Mapping[int, facts.BaselineKept]) -> str:
    return next(iter(kept.values())).run.protocol
