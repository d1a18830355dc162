"""Is the variant at least `min_delta` better than the matched baseline? Prune at once if not, else promote.

The rule of hand-run searches, with the baseline run at every stage where a delta is needed. All listed
seeds run at every stage, and the mean over them decides. It selects and judges on the same seeds, so its
best verdict is SUGGESTIVE.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from policies._distributions import t_upper_quantile
from policies._guards import STOPPED_AS_NO_OP, broken_class, early_stop
from policies._planning import eval_floor, independent_examples
from policies.evidence import (
    Decision,
    Delta,
    Hold,
    Objective,
    Observation,
    Promote,
    Prune,
    TaskEvidence,
    Verdict,
)
from policies.variant_by_variant import VariantByVariant


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(VariantByVariant):
    """Prune below a fixed delta."""

    #: smallest matched delta that survives a stage, in the objective's unit; may be negative
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        is_number = isinstance(self.min_delta, int | float) and not isinstance(self.min_delta, bool)
        if not is_number or not math.isfinite(self.min_delta):
            raise ValueError(f"min_delta: must be a finite number (found {self.min_delta!r})")

    def slots(self, stage: str, listed: int) -> tuple[int, ...]:
        """All listed slots, at every stage."""
        return tuple(range(listed))

    def after(self, stage: str, evidence: TaskEvidence) -> Decision:
        """Prune below `min_delta`, hold after the last stage, promote otherwise."""
        variant, _ = evidence.at(stage)
        broken = broken_class(variant)
        if broken is not None:
            return Prune(reason=f"broken: {broken}")
        if any(run.stopped_by == STOPPED_AS_NO_OP for run in variant):
            return Prune(reason="no-op")
        delta = evidence.delta(stage)
        if delta is None:
            return Hold(reason=_why_no_delta(variant))
        if stage == evidence.stages[-1]:
            return Hold(reason="through its last stage")
        threshold = signed(self.min_delta, evidence.objective)
        if delta.mean < self.min_delta:
            return Prune(reason=f"< {threshold}")
        return Promote(reason=f">= {threshold}")

    def verdict(self, evidence: TaskEvidence) -> Verdict:
        """SUGGESTIVE at best: the seeds that selected the variant also judge it."""
        broken = broken_class(evidence.variant)
        if broken is not None:
            return Verdict(name="LOSER", reason=f"broken: {broken}")
        if any(run.stopped_by == STOPPED_AS_NO_OP for run in evidence.variant):
            return Verdict(name="NEUTRAL", reason="no-op: equalled the baseline bit for bit, and was stopped")
        stage = _last_stage_with_delta(evidence)
        if stage is None:
            return Verdict(name="INCONCLUSIVE", reason=_why_no_delta(evidence.variant))
        delta = evidence.delta(stage)
        assert delta is not None
        if _is_no_op(evidence, stage):
            return Verdict(name="NEUTRAL", reason=f"no-op: equals the baseline bit for bit at {stage}")
        return _judge(stage, delta, evidence)


def signed(amount: float, objective: Objective) -> str:
    """`+0.30pp`, or `+0.010 nat` for another unit."""
    return f"{amount:+.2f}pp" if objective.unit == "pp" else f"{amount:+.4g} {objective.unit}"


def _judge(stage: str, delta: Delta, evidence: TaskEvidence) -> Verdict:
    shown = f"{signed(delta.mean, evidence.objective)} at {stage} over {_count(delta, 'seed')}"
    is_enough = delta.mean >= evidence.objective.min_effect
    if stage == evidence.stages[-1] and len(evidence.stages) > 1 and is_enough:
        return Verdict(name="SUGGESTIVE", reason=f"{shown}; needs fresh seeds, since these selected it")
    if delta.is_speed_effect:
        return Verdict(name="INCONCLUSIVE", reason=f"{shown}, a speed effect")
    half = _half_width(stage, delta, evidence)
    if delta.mean + half < 0:
        return Verdict(name="LOSER", reason=f"{shown}; the upper 95 % bound is below zero")
    if abs(delta.mean) + half <= evidence.objective.min_effect:
        return Verdict(name="NEUTRAL", reason=f"{shown}; the 90 % interval lies within min_effect of zero")
    return Verdict(name="INCONCLUSIVE", reason=shown)


def _half_width(stage: str, delta: Delta, evidence: TaskEvidence) -> float:
    """Of the central 90 % of the effect, in the objective's unit: Student's t over the paired seeds, and the
    error of the evaluation set, which they share. Infinite where seeds tell no noise.
    """
    seeds = len(delta.per_seed)
    if not delta.sd:
        return math.inf
    runs, _ = evidence.at(stage)
    floor = eval_floor(evidence.objective, independent_examples(runs[0], None))
    return t_upper_quantile(0.05, seeds - 1) * math.hypot(delta.sd / math.sqrt(seeds), floor)


def _count(delta: Delta, noun: str) -> str:
    number = len(delta.per_seed)
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _last_stage_with_delta(evidence: TaskEvidence) -> str | None:
    return next((stage for stage in reversed(evidence.stages) if evidence.delta(stage) is not None), None)


def _is_no_op(evidence: TaskEvidence, stage: str) -> bool:
    """Whether every seed's scores and loss equal the baseline's exactly."""
    variant, baseline = evidence.at(stage)
    references = {run.seed: run for run in baseline}
    return all(
        run.scores_digest is not None
        and run.seed in references
        and run.scores_digest == references[run.seed].scores_digest
        and run.loss == references[run.seed].loss
        for run in variant
    )


def _why_no_delta(runs: tuple[Observation, ...]) -> str:
    """The failure behind a missing delta, in words."""
    failed = next((run for run in runs if run.failure_class is not None), None)
    if failed is not None:
        return f"no matched delta: {failed.stage} s{failed.seed} failed ({failed.failure_class})"
    stopped = early_stop(runs)
    if stopped is not None:
        return f"no matched delta: {stopped}"
    if any(run.status == "timed_out" for run in runs):
        return "no matched delta: the time budget ended the run before a common evaluation"
    return "no matched delta"
