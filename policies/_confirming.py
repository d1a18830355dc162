"""What do the fresh seeds say at a look? One noise estimate for the task, one estimate a candidate.

Look r reads slots 1..r of every candidate and 1..r+1 of the baseline. Slot 0, which selected, may still say
that a candidate is not worth another seed: that can only end a test, never decide it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from policies._delta import Comparison, Estimate, SeedCorrelation, compare, estimate
from policies._effect_prior import DEFAULT_PRIOR, EffectPrior, Reading
from policies._looks import LookReading
from policies._posterior import Posterior, medium_reading, posterior
from policies._variance import Noise, NoisePrior, moderated, spread_of
from policies.evidence import Objective, Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What is known of a task and stage before its runs are read, frozen with the round."""

    noise: NoisePrior
    #: variance of a single run from the evaluation set alone, see `eval_variance`
    floor: float = 0.0
    correlation: SeedCorrelation = field(default_factory=SeedCorrelation)
    effects: EffectPrior = DEFAULT_PRIOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """A candidate as its fresh seeds show it."""

    estimate: Estimate
    #: of the task at this look
    noise: Noise
    #: the effect by fresh seeds alone, which the verdict tells
    posterior: Posterior
    #: the effect by everything that ran, which only tells whether to go on
    steering: Posterior

    @property
    def reading(self) -> LookReading:
        return LookReading(p=self.estimate.p, probability=self.steering.at_least(1.0))


def baseline_slots(look: int) -> tuple[int, ...]:
    """The baseline's slots read at `look`: one more than a candidate has."""
    return tuple(range(1, look + 2))


def candidate_slots(look: int) -> tuple[int, ...]:
    """A candidate's slots read at `look`."""
    return tuple(range(1, look + 1))


def comparison_at(
    objective: Objective, look: int, variant: Iterable[Observation], baseline: Iterable[Observation]
) -> Comparison | None:
    """The runs of one stage that `look` may read; None while one of either side is missing.

    Later runs change nothing: a look that is read again says the same.
    """
    ours, theirs = candidate_slots(look), baseline_slots(look)
    comparison = compare(
        objective,
        [run for run in variant if run.slot in ours],
        [run for run in baseline if run.slot in theirs],
    )
    if comparison is None or len(comparison.variant) < len(ours) or len(comparison.baseline) < len(theirs):
        return None
    return comparison


def confirmed_at(
    comparisons: Mapping[str, Comparison],
    knowledge: Knowledge,
    *,
    screened: Mapping[str, Sequence[Reading]],
    earlier: Sequence[Comparison] = (),
    repeats: Mapping[int, float] | None = None,
) -> Mapping[str, Confirmed]:
    """Every open candidate at a look, by name.

    `screened` are the readings of slot 0 that selected each candidate. `earlier` are the last comparisons of
    candidates that have stopped: their seeds still tell the noise, as do `repeats`, further runs of the
    baseline by seed. Those enter no mean.
    """
    everything = [*comparisons.values(), *earlier]
    if not everything:
        return {}
    baseline = {seed: value for each in everything for seed, value in each.baseline.items()}
    if repeats and not any(each.is_speed_effect for each in everything):
        baseline = {**repeats, **baseline}
    spread = spread_of([baseline, *(each.variant for each in everything)])
    noise = moderated(spread, knowledge.noise, knowledge.floor)
    confirmed = {}
    for name, comparison in comparisons.items():
        measured = estimate(comparison, noise, knowledge.correlation)
        if measured is not None:
            reading = medium_reading(measured)
            confirmed[name] = Confirmed(
                estimate=measured,
                noise=noise,
                posterior=posterior([reading], knowledge.effects),
                steering=posterior([*screened.get(name, ()), reading], knowledge.effects),
            )
    return confirmed
