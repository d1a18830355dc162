"""How did a variant fare? The table of verdicts, as one function of the evidence.

Gains are told in the objective's unit, raw beside shrunk, and from fresh seeds only: the best of many
screening runs is an overstatement, so its raw delta is never quoted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from policies._confirming import Confirmed
from policies._delta import Estimate
from policies._guards import is_hopeless
from policies._looks import Rejection
from policies._planning import Design, more_seeds
from policies._posterior import Posterior
from policies._variance import NoisePrior
from policies.evidence import Objective, Verdict, VerdictName

#: in units of min_effect
LEAST_WINNING_DELTA = 0.5
LEAST_WINNING_GAIN = 0.5
SUGGESTIVE_FROM = 0.5
NEUTRAL_FROM = 0.8
MIN_SEEDS_OF_A_LOSER = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Screening:
    """What slot 0 showed."""

    quick: Estimate
    #: given quick, and medium at slot 0 where it ran
    posterior: Posterior
    has_worse_loss: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What the fresh seeds showed at the last look that was taken."""

    fresh: Confirmed
    rejection: Rejection | None = None
    is_futile: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything a verdict may depend on."""

    objective: Objective
    #: as declared: alpha, looks and noise prior; candidates as frozen
    design: Design
    is_no_op: bool = False
    #: failure class that speaks against the variant
    broken: str | None = None
    #: failure class that says nothing of the variant
    infrastructure: str | None = None
    #: the rule that ended a screening run early, in words
    stopped: str | None = None
    #: why its numbers cannot be believed: a leak, a metric that is constant
    invalid: str | None = None
    #: why the best verdict is SUGGESTIVE: eval_limited, the clock ended a run, seeds that change nothing
    caps: tuple[str, ...] = ()
    #: what a reader must know beside the verdict
    warnings: tuple[str, ...] = ()
    screening: Screening | None = None
    confirmation: Confirmation | None = None


def judge(evidence: Evidence) -> Verdict:
    """The verdict. A no-op has no interval, and infrastructure never makes a LOSER."""
    if evidence.is_no_op:
        return Verdict(name="NEUTRAL", reason="no-op: equals the baseline bit for bit")
    if evidence.broken is not None:
        return Verdict(name="LOSER", reason=f"broken: {evidence.broken}")
    if evidence.invalid is not None:
        return Verdict(name="INCONCLUSIVE", reason=evidence.invalid)
    name, reason = _by_numbers(evidence, _caps(evidence))
    return replace(_with_numbers(evidence, name, reason), warnings=evidence.warnings)


def _by_numbers(evidence: Evidence, caps: tuple[str, ...]) -> tuple[VerdictName, str]:
    chosen = _winner(evidence)
    if chosen is not None and not caps:
        return "WINNER", chosen
    if evidence.infrastructure is not None:
        return "INCONCLUSIVE", f"infrastructure: {evidence.infrastructure}"
    if evidence.stopped is not None:
        return "INCONCLUSIVE", evidence.stopped
    effect = _posterior(evidence)
    if effect is None:
        return "INCONCLUSIVE", "no run to compare"
    chance = effect.at_least(1.0)
    because = "; ".join(caps)
    if chance >= SUGGESTIVE_FROM:
        return "SUGGESTIVE", f"P(effect >= {_min_effect(evidence)}) = {chance:.2f}" + (
            because and f"; {because}"
        )
    if caps:
        return "INCONCLUSIVE", because
    return _without_promise(evidence, chance)


def _without_promise(evidence: Evidence, chance: float) -> tuple[VerdictName, str]:
    """LOSER, NEUTRAL or INCONCLUSIVE for a variant that is probably not worth having."""
    confirmation, screening = evidence.confirmation, evidence.screening
    if confirmation is None:
        if screening is not None and is_hopeless(screening.quick, has_worse_loss=screening.has_worse_loss):
            return "LOSER", "more than 3 sd below the baseline at quick, with a worse loss"
        return "INCONCLUSIVE", f"screened only: P(effect >= {_min_effect(evidence)}) = {chance:.2f}"
    measured, effect = confirmation.fresh.estimate, confirmation.fresh.posterior
    if measured.variant_seeds >= MIN_SEEDS_OF_A_LOSER and measured.upper_bound() < 0:
        return "LOSER", f"the upper 95 % bound of {measured.variant_seeds} fresh seeds is below zero"
    low, high = effect.interval()
    if max(-low, high) < 1.0:
        return "NEUTRAL", f"the 90 % interval lies inside +-{_min_effect(evidence)}"
    if confirmation.is_futile and effect.within(1.0) >= NEUTRAL_FROM:
        return "NEUTRAL", f"P(abs effect < {_min_effect(evidence)}) = {effect.within(1.0):.2f}"
    return "INCONCLUSIVE", f"P(effect >= {_min_effect(evidence)}) = {chance:.2f}, and not clearly nothing"


def _winner(evidence: Evidence) -> str | None:
    """The sentence of a winner, caps aside; None when it is none."""
    confirmation = evidence.confirmation
    if confirmation is None or confirmation.rejection is None:
        return None
    rejection, fresh = confirmation.rejection, confirmation.fresh
    is_large = fresh.estimate.delta >= LEAST_WINNING_DELTA and fresh.posterior.mean >= LEAST_WINNING_GAIN
    if rejection.adjusted_p > evidence.design.alpha or not is_large:
        return None
    seeds = fresh.estimate.variant_seeds
    return (
        f"adjusted p = {rejection.adjusted_p:.3g} <= {evidence.design.alpha:g} at look {rejection.look},"
        f" {seeds} fresh seed{'s' * (seeds != 1)}"
    )


def _caps(evidence: Evidence) -> tuple[str, ...]:
    confirmation = evidence.confirmation
    if confirmation is not None and not confirmation.fresh.estimate.is_measured:
        unit = evidence.objective.unit
        guess = f"the noise in {unit} is a guess: it takes three baseline seeds"
        return (*evidence.caps, guess)
    return evidence.caps


def _posterior(evidence: Evidence) -> Posterior | None:
    """The effect by fresh seeds; by the screening alone where there are none."""
    if evidence.confirmation is not None:
        return evidence.confirmation.fresh.posterior
    return evidence.screening.posterior if evidence.screening is not None else None


def _with_numbers(evidence: Evidence, name: VerdictName, reason: str) -> Verdict:
    effect = _posterior(evidence)
    if effect is None:
        return Verdict(name=name, reason=reason)
    unit = evidence.objective.min_effect
    confirmation = evidence.confirmation
    fresh = confirmation.fresh if confirmation is not None else None
    rejection = confirmation.rejection if confirmation is not None else None
    low, high = effect.interval()
    further = None
    if name == "SUGGESTIVE" and not _caps(evidence):
        further = _further_seeds(evidence, effect)
        needs = (
            f"needs {further} more seed{'s' * (further != 1)}" if further else "no number of seeds is enough"
        )
        reason += f"; {needs}"
    return Verdict(
        name=name,
        reason=reason,
        raw_gain=fresh.estimate.delta * unit if fresh is not None else None,
        shrunk_gain=effect.mean * unit,
        interval=(low * unit, high * unit),
        adjusted_p=rejection.adjusted_p if rejection is not None else None,
        more_seeds=further,
        variant_seeds=fresh.estimate.variant_seeds if fresh is not None else None,
        baseline_seeds=fresh.estimate.baseline_seeds if fresh is not None else None,
    )


def _further_seeds(evidence: Evidence, effect: Posterior) -> int | None:
    """Fresh seeds that would likely settle an effect as large as the shrunk gain, at the noise seen."""
    if evidence.confirmation is None:
        return more_seeds(effect.mean, 0, evidence.design)
    fresh = evidence.confirmation.fresh
    seen = NoisePrior(sd=fresh.noise.sd, df=evidence.design.noise.df)
    return more_seeds(effect.mean, fresh.estimate.variant_seeds, replace(evidence.design, noise=seen))


def _min_effect(evidence: Evidence) -> str:
    objective = evidence.objective
    return f"{objective.min_effect:g}{'' if objective.unit == 'pp' else ' '}{objective.unit}"
