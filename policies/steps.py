"""What does a policy see of a task, and what may it ask for next?

A policy answers with one step at a time. It is asked again when that step is done, with a view that has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from policies._assessment import Ledger
from policies._marks import Decided as Decided
from policies._marks import Marks, marks_of
from policies.evidence import (
    BASELINE,
    Decision,
    Delta,
    Objective,
    Observation,
    TaskEvidence,
    Verdict,
    VerdictName,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmSet:
    """The candidates and the looks, frozen before any fresh seed runs."""

    #: best first
    candidates: tuple[str, ...]
    looks: int
    alpha: float
    #: calibrated share of alpha for each look; None takes the safe one
    share: float | None = None
    #: independent examples of the evaluation set at that time
    examples: int | None = None
    #: P(effect >= min_effect) of every variant that could have been in the set
    chances: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """One task, as far as a decision may depend on it. Runs are over, and in the protocols of now."""

    objective: Objective
    #: in order
    stages: tuple[str, ...]
    #: how many seeds the task lists
    listed_seeds: int
    #: independent examples of the evaluation set by stage, where they were known before anything ran
    examples: Mapping[str, int] = field(default_factory=dict)
    baseline: tuple[Observation, ...] = ()
    #: runs by variant, every variant in file order
    variants: Mapping[str, tuple[Observation, ...]] = field(default_factory=dict)
    #: what was decided, by variant and stage
    decisions: Mapping[str, Mapping[str, Decided]] = field(default_factory=dict)
    #: what past rounds taught when the task began
    ledger: Ledger = field(default_factory=Ledger)
    #: by stage and seed, the metric (raw) of the baseline's runs that were stored then, without slot 0: they
    #: tell of noise, whether this task comes to ask for them or not
    stored: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    confirm_set: ConfirmSet | None = None
    #: looks that were recorded
    looks_taken: int = 0
    verdicts: Mapping[str, VerdictName] = field(default_factory=dict)
    #: the same by set, from whoever keeps it; made from the above where it is None
    known_marks: Marks | None = None

    @property
    def marks(self) -> Marks:
        """Where the variants stand, by set."""
        return self.known_marks or marks_of(self.variants, self.decisions, self.verdicts)

    def runs(self, config: str) -> tuple[Observation, ...]:
        """The runs of a variant, or of the baseline."""
        return self.baseline if config == BASELINE else self.variants[config]

    def run(self, stage: str, config: str, slot: int) -> Observation | None:
        """The run of that stage and slot; None while it is not over."""
        return next((run for run in self.runs(config) if (run.stage, run.slot) == (stage, slot)), None)

    def evidence(self, config: str) -> TaskEvidence:
        """One variant beside the baseline."""
        return TaskEvidence(
            objective=self.objective,
            stages=self.stages,
            variant=self.variants[config],
            baseline=self.baseline,
        )

    def decided(self, config: str, stage: str) -> Decided | None:
        """What was decided about a variant after a stage."""
        return self.decisions.get(config, {}).get(stage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Run `config` (a variant, or the baseline) at `stage` with the seed of `slot`."""

    stage: str
    config: str
    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decide:
    """What becomes of a variant after a stage, with the numbers that say so."""

    config: str
    stage: str
    decision: Decision
    #: where a promoted variant goes: "confirm", or the stage after this one when None
    to_stage: str | None = None
    delta: Delta | None = None
    #: P(effect >= min_effect) by everything that ran
    chance: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """Fix the confirm set, before any of its runs."""

    stage: str
    confirm_set: ConfirmSet


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateAtLook:
    """One candidate at a look, in the objective's unit."""

    delta: float
    se: float
    df: float
    #: one-sided, of the moderated t
    p: float
    #: for the looks declared and the candidates left, comparable with alpha
    adjusted_p: float
    #: P(effect >= min_effect) by everything that ran
    chance: float
    variant_seeds: int
    baseline_seeds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A declared look was taken."""

    stage: str
    look: int
    candidates: Mapping[str, CandidateAtLook]
    rejected: tuple[str, ...] = ()
    futile: tuple[str, ...] = ()
    #: why a futile one is, where the policy says
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A variant's verdict."""

    config: str
    verdict: Verdict


Step = Run | Decide | Freeze | Look | Judge


@dataclass(frozen=True, slots=True, kw_only=True)
class PossibleRun:
    """A run that a task may still take, for forecasts."""

    stage: str
    #: a variant, the baseline, or "(candidate 1)" where nobody knows yet which it will be; "(variants)" where
    #: it is any of `count`
    config: str
    slot: int
    #: how likely it is to happen; 1 where nothing can prevent it
    chance: float
    #: where the runs of several variants are alike, how many there are
    count: int = 1
