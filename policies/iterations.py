"""Does an iteration keep the gates that were set? Small first: who keeps them at a stage runs the next one.

Smoke, full and scale are the stages `quick`, `medium` and `long`. Every stage has seeds of its own, so that
the runs which let an iteration go on are not those that judge it. The baseline is the first iteration, and is
promoted like the others. Nothing starts once the budget is spent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from policies._gates import Gate, GateReading, gate_problems, least_cases, parse_gate, read_gate
from policies._guards import STOPPED_AS_NO_OP, broken_class, infrastructure_class
from policies.evidence import BASELINE, Decision, Hold, Observation, Promote, Prune, TaskEvidence, Verdict
from policies.steps import Decide, PossibleRun, Run, TaskView
from policies.variant_by_variant import VariantByVariant

#: the stage that is run in shards, its first slot, and the slot of each stage before it
SCALE, FIRST_OF_SCALE = "long", 3
SLOTS = {"quick": 0, "medium": 1, "confirm": 2}
MOST_SHARDS = 1000
_SECONDS_AN_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(VariantByVariant):
    """Promote who keeps every gate."""

    #: "runaway_rate < 5 %", "mean_tokens <= 400"; all of them must hold
    gates: tuple[str, ...] = ()
    #: True: only iterations whose gates are proven, by the whole interval, run the last stage
    proof: bool = False
    #: confidence of the intervals
    level: float = 0.95
    #: runs at the stage `long`, each with a seed of its own
    shards: int = 1
    #: what may be spent in all, in the currency of `cost_per_hour`; None is no limit
    budget: float | None = None
    #: of the machine
    cost_per_hour: float | None = None

    def __post_init__(self) -> None:
        gates: Any = self.gates  # a spec has lists
        if isinstance(gates, list):
            object.__setattr__(self, "gates", tuple(gates))
        if problems := list(self._problems()):
            raise ValueError("\n".join(problems))

    def _problems(self) -> Iterator[str]:
        yield from gate_problems("gates", self.gates)
        if self.proof not in (True, False):
            yield f"proof: must be true or false (found {self.proof!r})"
        if not _is_number(self.level) or not 0 < self.level < 1:
            yield f"level: must be a number between 0 and 1 (found {self.level!r})"
        if type(self.shards) is not int or not 1 <= self.shards <= MOST_SHARDS:
            yield f"shards: must be a whole number from 1 to {MOST_SHARDS} (found {self.shards!r})"
        for name, amount in (("budget", self.budget), ("cost_per_hour", self.cost_per_hour)):
            if amount is not None and (not _is_number(amount) or amount <= 0):
                yield f"{name}: must be a number above 0 (found {amount!r})"
        if self.budget is not None and self.cost_per_hour is None:
            yield "budget: needs cost_per_hour, what an hour of the machine costs"

    def slots(self, stage: str, listed: int) -> tuple[int, ...]:
        """One at a time; at `long` as many as there are shards. No two stages share a seed."""
        if stage == SCALE:
            return tuple(range(FIRST_OF_SCALE, FIRST_OF_SCALE + self.shards))
        return (SLOTS[stage],)

    def after(self, stage: str, evidence: TaskEvidence) -> Decision:
        """Prune who misses a gate, promote who keeps all of them."""
        runs, _ = evidence.at(stage)
        broken = broken_class(runs)
        if broken is not None:
            return Prune(reason=f"broken: {broken}")
        if any(run.stopped_by == STOPPED_AS_NO_OP for run in runs):
            return Prune(reason="no-op: it writes what the baseline writes")
        readings = self._readings(runs, evidence)
        if not readings:
            return Hold(
                reason=f"no run at {stage} to read: {infrastructure_class(runs) or 'none has ended well'}"
            )
        told = _told(readings)
        if _word(readings) == "FAIL":
            return Prune(reason=told)
        if stage == evidence.stages[-1]:
            return Hold(reason=f"through its last stage, {told}")
        is_next_last = evidence.stages.index(stage) == len(evidence.stages) - 2
        if self.proof and is_next_last and _word(readings) != "PASS":
            return Prune(reason=f"{told}; {evidence.stages[-1]} takes a proof")
        return Promote(reason=told)

    def verdict(self, evidence: TaskEvidence) -> Verdict:
        """SUGGESTIVE at best: a target that was reached says nothing about who is better than whom."""
        broken = broken_class(evidence.variant)
        if broken is not None:
            return Verdict(name="LOSER", reason=f"broken: {broken}")
        if any(run.stopped_by == STOPPED_AS_NO_OP for run in evidence.variant):
            return Verdict(name="NEUTRAL", reason="no-op: wrote what the baseline wrote, and was stopped")
        for stage in reversed(evidence.stages):
            readings = self._readings(evidence.at(stage)[0], evidence)
            if readings:
                return _verdict(stage, readings, is_last=stage == evidence.stages[-1])
        return Verdict(name="INCONCLUSIVE", reason="no run whose gates could be read")

    def claims(self) -> Iterator[str]:
        """What a task can show at best, in words."""
        yield (
            "iterations holds variants against gates, not against the baseline: its best verdict is"
            " SUGGESTIVE, where every gate is proven at the last stage"
        )
        for gate in self._gates:
            least = least_cases(gate, self.level)
            if least is not None:
                yield f"{gate}: a proof takes {least} samples at least, with not one that fails"

    def _readings(self, runs: tuple[Observation, ...], evidence: TaskEvidence) -> tuple[GateReading, ...]:
        """Every gate over the runs that can be used; nothing where there are none."""
        metrics = [_metrics(run, evidence) for run in runs if run.is_usable]
        return tuple(read_gate(gate, metrics, self.level) for gate in self._gates) if metrics else ()

    @property
    def _gates(self) -> tuple[Gate, ...]:
        return tuple(parse_gate(text) for text in self.gates)

    def _missing_run(self, view: TaskView, stage: str, config: str) -> Run | None:
        run = VariantByVariant._missing_run(self, view, stage, config)
        is_refused = run is None or self._is_spent(view) or not self._may_run(view, stage, config)
        return None if is_refused else run

    def _decide(self, view: TaskView, config: str, stage: str) -> Decide:
        if self._is_spent(view) and self._lacks_runs(view, stage, config):
            reason = f"the budget of {self.budget:g} is spent: {self._spent(view):.4g} so far"
            return Decide(config=config, stage=stage, decision=Hold(reason=reason))
        return VariantByVariant._decide(self, view, config, stage)

    def _lacks_runs(self, view: TaskView, stage: str, config: str) -> bool:
        return VariantByVariant._missing_run(self, view, stage, config) is not None

    def _may_run(self, view: TaskView, stage: str, config: str) -> bool:
        """Whether the baseline kept its gates at the stage before, as a variant must to be promoted."""
        place = view.stages.index(stage)
        if config != BASELINE or place == 0:
            return True
        before = view.stages[place - 1]
        evidence = TaskEvidence(
            objective=view.objective, stages=view.stages, variant=view.baseline, baseline=view.baseline
        )
        return isinstance(self.after(before, evidence), Promote)

    def _is_spent(self, view: TaskView) -> bool:
        return self.budget is not None and self._spent(view) >= self.budget

    def _spent(self, view: TaskView) -> float:
        """What the runs of the task have cost; one that was reused was paid for before."""
        runs = (*view.baseline, *(run for runs in view.variants.values() for run in runs))
        seconds = sum(run.wall_seconds or 0.0 for run in runs if not run.is_reused)
        return seconds / _SECONDS_AN_HOUR * (self.cost_per_hour or 0.0)

    def _possible(self, view: TaskView, stage: str, config: str, chance: float) -> Iterator[PossibleRun]:
        if not self._is_spent(view):
            yield from VariantByVariant._possible(self, view, stage, config, chance)


def _verdict(stage: str, readings: tuple[GateReading, ...], *, is_last: bool) -> Verdict:
    told = f"{_told(readings)} at {stage}"
    if _word(readings) == "PASS" and is_last:
        return Verdict(
            name="SUGGESTIVE", reason=f"{told}; a target reached is no comparison with the baseline"
        )
    return Verdict(name="INCONCLUSIVE", reason=told)


def _word(readings: tuple[GateReading, ...]) -> str:
    words = {reading.word for reading in readings}
    return next(word for word in ("FAIL", "PASS_UNPROVEN", "PASS") if word in words)


def _told(readings: tuple[GateReading, ...]) -> str:
    """The worst word and the gates it is about."""
    word = _word(readings)
    return f"{word}: " + ", ".join(str(reading) for reading in readings if reading.word == word)


def _metrics(run: Observation, evidence: TaskEvidence) -> dict[str, float]:
    named = {"acc": run.acc, "loss": run.loss, evidence.objective.metric: run.value}
    return {**run.metrics, **{name: value for name, value in named.items() if value is not None}}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
