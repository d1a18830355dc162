"""What does a policy see? Finished runs of one task, and the deltas that may be drawn between them.

A delta exists only between runs of one protocol: `matched_delta` raises for anything else.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["maximize", "minimize"]
Outcome = Literal["ok", "pruned", "failed", "timed_out", "cancelled", "lost"]
VerdictName = Literal["WINNER", "SUGGESTIVE", "NEUTRAL", "LOSER", "INCONCLUSIVE"]

#: config name under which the baseline's runs are recorded
BASELINE = "baseline"
#: failure classes that say something about the variant itself; all others are infrastructure's
BROKEN_CLASSES = frozenset({"bad_args", "nan", "crash"})


class UnmatchedError(ValueError):
    """A delta was asked for between runs of different protocols. Run the baseline at the same protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The metric a task is judged by."""

    metric: str = "acc"
    direction: Direction = "maximize"
    #: "pp" means a raw 0..1 score times 100; any other unit takes the metric as it is
    unit: str = "pp"
    #: smallest effect of interest, in `unit`
    min_effect: float = 1.0

    @property
    def scale(self) -> float:
        """Factor from the raw metric to `unit`."""
        return 100.0 if self.unit == "pp" else 1.0

    def gain(self, value: float, reference: float) -> float:
        """How much better `value` is than `reference`, in `unit`; positive is better."""
        sign = 1.0 if self.direction == "maximize" else -1.0
        return sign * self.scale * (value - reference)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One run that ended, as far as a decision may depend on it."""

    stage: str
    config: str
    seed: int
    slot: int
    status: Outcome
    protocol: str
    #: the objective's metric at the last evaluation, raw; None when there was none
    value: float | None
    loss: float | None = None
    acc: float | None = None
    n_eval: int | None = None
    #: independent examples among them, where some share a document or a puzzle grid
    n_clusters: int | None = None
    #: digest of the per-example scores at the last evaluation; equal digests mean equal predictions' scores
    scores_digest: str | None = None
    #: (step, the objective's metric) at each evaluation
    curve: tuple[tuple[int, float], ...] = ()
    failure_class: str | None = None
    #: name of the in-run rule that stopped it
    stopped_by: str | None = None
    #: further metrics at the last evaluation, by name; a rate may come with `<rate>_successes` and `<rate>_n`
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)
    #: the run took, from its start to its end; None where nothing tells
    wall_seconds: float | None = None
    #: True for a run of an earlier round, which has taught what it can teach there
    is_reused: bool = False
    #: True for a run beside which a foreign process computed on its device; later rounds learn nothing of it
    is_contaminated: bool = False

    @property
    def is_news(self) -> bool:
        """Whether later rounds may learn from it."""
        return not self.is_reused and not self.is_contaminated

    @property
    def is_usable(self) -> bool:
        """Whether the run has a value that a delta may be drawn from."""
        return self.status in ("ok", "timed_out") and self.value is not None and math.isfinite(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A variant against the baseline of the same protocol, seed by seed."""

    #: in the objective's unit, positive is better; the mean over `per_seed`
    mean: float
    #: sample standard deviation over seeds; None for one seed
    sd: float | None
    #: (seed, delta), in slot order
    per_seed: tuple[tuple[int, float], ...]
    #: mean of the variant's metric over the same seeds, raw
    variant_mean: float
    #: mean of the baseline's metric over the same seeds, raw
    baseline_mean: float
    protocol: str
    #: True when a run was ended by the clock: the delta is then taken where both sides were, and is
    #: an effect of speed as much as of quality
    is_speed_effect: bool = False

    @property
    def signs(self) -> str:
        """How many seeds were better, equal and worse: `2+/2=/1-`."""
        deltas = [delta for _, delta in self.per_seed]
        better = sum(delta > 0 for delta in deltas)
        worse = sum(delta < 0 for delta in deltas)
        return f"{better}+/{len(deltas) - better - worse}=/{worse}-"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvidence:
    """All of one variant's runs and the baseline's, in the current protocol of each stage."""

    objective: Objective
    #: stages in order
    stages: tuple[str, ...]
    variant: tuple[Observation, ...]
    baseline: tuple[Observation, ...]

    def at(self, stage: str) -> tuple[tuple[Observation, ...], tuple[Observation, ...]]:
        """The variant's and the baseline's observations at `stage`."""
        return (
            tuple(run for run in self.variant if run.stage == stage),
            tuple(run for run in self.baseline if run.stage == stage),
        )

    def delta(self, stage: str) -> Delta | None:
        """The matched delta at `stage`; None when no seed has both sides."""
        variant, baseline = self.at(stage)
        return matched_delta(self.objective, variant, baseline)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune:
    """Spend nothing more on the variant."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Promote:
    """Run the variant at the next stage."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Nothing can be decided, and more runs of this stage would not help."""

    reason: str


Decision = Prune | Promote | Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a variant fared, and the sentence that says why.

    The numbers are in the objective's unit; those without meaning are None.
    """

    name: VerdictName
    reason: str
    #: mean delta over fresh seeds; a screening seed's is never told as a gain
    raw_gain: float | None = None
    #: the posterior mean of the effect
    shrunk_gain: float | None = None
    #: central 90 % of the effect
    interval: tuple[float, float] | None = None
    adjusted_p: float | None = None
    #: fresh seeds that would likely settle it; None where no seeds could, or something else is in the way
    more_seeds: int | None = None
    #: fresh seeds behind `raw_gain`
    variant_seeds: int | None = None
    baseline_seeds: int | None = None
    #: what a reader must know beside the verdict
    warnings: tuple[str, ...] = ()


def matched_delta(
    objective: Objective, variant: Sequence[Observation], baseline: Sequence[Observation]
) -> Delta | None:
    """The delta over the seeds that both sides have; None when there is none.

    Raises UnmatchedError when usable runs of the two sides differ in protocol.
    """
    references = {run.seed: run for run in baseline if run.is_usable}
    pairs = [(run, references[run.seed]) for run in variant if run.is_usable and run.seed in references]
    if not pairs:
        return None
    protocols = {run.protocol for pair in pairs for run in pair}
    if len(protocols) > 1:
        raise UnmatchedError(
            f"runs of protocols {', '.join(sorted(protocols))} cannot be compared;"
            " run the baseline at the variant's protocol"
        )
    readings = [
        (run.seed, *reading)
        for run, reference in pairs
        if (reading := _common_reading(run, reference)) is not None
    ]
    if not readings:
        return None
    deltas = [objective.gain(value, reference) for _, value, reference, _ in readings]
    return Delta(
        mean=statistics.fmean(deltas),
        sd=statistics.stdev(deltas) if len(deltas) > 1 else None,
        per_seed=tuple((seed, delta) for (seed, *_), delta in zip(readings, deltas, strict=True)),
        variant_mean=statistics.fmean(value for _, value, _, _ in readings),
        baseline_mean=statistics.fmean(reference for _, _, reference, _ in readings),
        protocol=protocols.pop(),
        is_speed_effect=any(is_speed for *_, is_speed in readings),
    )


def _common_reading(run: Observation, reference: Observation) -> tuple[float, float, bool] | None:
    """The two values to compare: the final ones, or where the clock ended a run, the last common point."""
    if "timed_out" not in (run.status, reference.status):
        assert run.value is not None
        assert reference.value is not None
        return run.value, reference.value, False
    values, references = dict(run.curve), dict(reference.curve)
    common = sorted(values.keys() & references.keys())
    if not common:
        return None
    return values[common[-1]], references[common[-1]], True
