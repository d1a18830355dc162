"""What did each variant gain, and how sure is that? One row a variant, best verdict first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from policies.evidence import VerdictName
from scheduler.decide import facts
from scheduler.report.reading import FailureReading, TaskReading

#: what is known, best first; then what is not
ORDER: tuple[VerdictName, ...] = ("WINNER", "SUGGESTIVE", "NEUTRAL", "LOSER", "INCONCLUSIVE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """One variant's figures, in the objective's unit; positive is better."""

    config: str
    #: None while it is open
    verdict: VerdictName | None
    reason: str
    #: variant minus baseline over fresh seeds, as the verdict tells it
    raw: float | None
    #: variant minus baseline on the seeds that selected it, at `screening_stage`: an overstatement
    screening: float | None
    screening_stage: str
    screening_seeds: int
    #: posterior mean; None where the policy makes no estimate
    shrunk: float | None
    #: 90 % interval
    interval: tuple[float, float] | None
    adjusted_p: float | None
    #: P(effect >= min_effect) at the last decision
    chance: float | None
    variant_seeds: int | None
    baseline_seeds: int | None
    #: seeds that would settle a SUGGESTIVE one
    more_seeds: int | None
    #: seed and delta, at the last decision
    per_seed: tuple[tuple[int, float], ...]
    warnings: tuple[str, ...]
    is_speed_effect: bool

    @property
    def best(self) -> float | None:
        """The figure to rank by: shrunk where there is one; what screening showed comes last."""
        return next((gain for gain in (self.shrunk, self.raw, self.screening) if gain is not None), None)

    @property
    def has_fresh_seeds(self) -> bool:
        return self.raw is not None


def gains(task: TaskReading) -> tuple[Gain, ...]:
    """Every declared variant, by verdict and then by gain; open ones last, in the order of the file."""
    rows = list(_gains(task))
    return tuple(sorted(rows, key=lambda row: (_rank(row), -_sortable(row))))


def _rank(row: Gain) -> int:
    return len(ORDER) if row.verdict is None else ORDER.index(row.verdict)


def _sortable(row: Gain) -> float:
    return float("-inf") if row.best is None or row.best != row.best else row.best


def _gains(task: TaskReading) -> Iterator[Gain]:
    for variant in task.state.task.variants:
        decisions = task.state.decisions.get(variant.name, ())
        verdict = task.state.verdicts.get(variant.name)
        failed = [failure for failure in task.failures if failure.run.config == variant.name]
        yield _gain(variant.name, decisions[-1] if decisions else None, verdict, failed)


def _gain(
    config: str,
    decision: facts.VariantFact | None,
    verdict: facts.VerdictReached | None,
    failed: Sequence[FailureReading],
) -> Gain:
    """A record from before the verdict kept its figures has those of the last decision only."""
    figures = _NO_FIGURES if verdict is None else verdict
    return Gain(
        config=config,
        verdict=None if verdict is None else verdict.verdict,
        reason=_reason(decision, verdict, failed),
        raw=figures.raw_gain,
        screening=None if decision is None else decision.d_acc,
        screening_stage="" if decision is None else decision.stage,
        screening_seeds=0 if decision is None else max(1, len(decision.per_seed)),
        shrunk=figures.shrunk_gain,
        interval=figures.interval,
        adjusted_p=figures.adjusted_p,
        chance=None if decision is None else decision.chance,
        variant_seeds=figures.variant_seeds,
        baseline_seeds=figures.baseline_seeds,
        more_seeds=figures.more_seeds,
        per_seed=() if decision is None else decision.per_seed,
        warnings=figures.warnings,
        is_speed_effect=decision is not None and decision.is_speed_effect,
    )


#: what is told of a variant without a verdict
_NO_FIGURES = facts.VerdictReached(round="", task="", config="", verdict="INCONCLUSIVE", reason="")


def _reason(
    decision: facts.VariantFact | None,
    verdict: facts.VerdictReached | None,
    failed: Sequence[FailureReading],
) -> str:
    """Of the verdict; of an open variant, what is known so far."""
    if verdict is not None:
        return verdict.reason
    told = [f"after {decision.stage}: {decision.reason}"] if decision is not None else []
    told += [f"{failure.run.stage} failed ({failure.run.failure_class or 'lost'})" for failure in failed]
    return "; ".join(told)
