"""Does the experiment clear the lifts that were declared, on evidence enough to say so?

CONFIRMED: the evidence suffices and every lift is reached. FAILED: it suffices and one is not.
INCONCLUSIVE: it does not suffice, and every gap is named with what would close it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from scheduler.judging._arms import Arms, arms_of, need_baseline
from scheduler.judging._checks import (
    flag_problems,
    number_problems,
    numbers_problems,
    refuse,
    whole_problems,
    word_problems,
    words,
    words_problems,
)
from scheduler.judging._evidence_gates import Gate, evidence_gates, significance_gate
from scheduler.judging._litmus_document import document, experiment_object, line
from scheduler.judging._outcome import MET, MISSED, OPEN, outcome
from scheduler.judging._tests_of_difference import USUAL_RESAMPLES, PermutationTest
from scheduler.judging.evidence import Sample, UnfitRunsError
from scheduler.judging.protocol import Judged, Label

Word = Literal["CONFIRMED", "FAILED", "INCONCLUSIVE"]
_CODES: Mapping[Word, int] = {"CONFIRMED": MET, "FAILED": MISSED, "INCONCLUSIVE": OPEN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is declared before the runs are looked at."""

    #: the metric whose lift counts; none means the objective's
    metric: str = ""
    #: the smallest lift that confirms, in the unit of deltas; none takes the objective's min_effect
    min_lift: float | None = None
    #: further metrics and the smallest lift of each, all of which must be reached
    lifts: Mapping[str, float] = field(default_factory=dict)
    #: metrics beside the objective's of which less is better
    lower_is_better: tuple[str, ...] = ()
    #: confirm only where chance gives such a lift more rarely than this; none asks for no test
    alpha: float | None = None
    #: pairs of seeds, or seeds of each arm where none are shared
    min_seeds: int = 3
    #: episodes or examples that each run must count
    min_episodes: int = 0
    #: step that each run must have reached
    min_steps: int = 0
    #: metrics that every run must report, beside those with a lift
    required_metrics: tuple[str, ...] = ()
    #: runs whose protocol nobody knows are no evidence
    needs_protocol: bool = False
    resamples: int = USUAL_RESAMPLES
    #: of the random numbers
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("lower_is_better", "required_metrics"):
            object.__setattr__(self, name, words(getattr(self, name)))
        refuse(self._problems())

    def _problems(self) -> Iterator[str]:
        yield from word_problems("metric", self.metric)
        if self.min_lift is not None:
            yield from number_problems("min_lift", self.min_lift)
        yield from numbers_problems("lifts", self.lifts)
        if self.alpha is not None:
            yield from number_problems("alpha", self.alpha, above=0, below=1)
        yield from whole_problems("min_seeds", self.min_seeds, least=1)
        for name in ("min_episodes", "min_steps", "seed"):
            yield from whole_problems(name, getattr(self, name))
        for name in ("lower_is_better", "required_metrics"):
            yield from words_problems(name, getattr(self, name))
        yield from flag_problems("needs_protocol", self.needs_protocol)
        yield from whole_problems("resamples", self.resamples, least=99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One declared lift and the one found."""

    arms: Arms
    min_lift: float
    #: of the deltas by seed, over n as its users write it; None without pairs
    population_sd: float | None
    #: one-sided; None where no test was declared or none can be made
    permutation: PermutationTest | None

    @property
    def is_reached(self) -> bool:
        """Whether the lift found is at least the one declared."""
        delta = self.arms.delta
        if delta is None:
            return False
        # 0.6 - 0.5 is a little less than 0.1
        return delta >= self.min_lift or math.isclose(delta, self.min_lift, rel_tol=1e-9, abs_tol=1e-12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One experiment's answer."""

    config: str
    word: Word
    checks: tuple[Check, ...]
    gates: tuple[Gate, ...]

    @property
    def unmet(self) -> tuple[Gate, ...]:
        """What the evidence lacks."""
        return tuple(gate for gate in self.gates if not gate.is_met)


@dataclass(frozen=True, slots=True, kw_only=True)
class LitmusJudged(Judged):
    """The answer, by experiment in order."""

    source: str
    options: Options
    experiments: tuple[Experiment, ...]
    notes: tuple[str, ...]

    @property
    def way(self) -> str:
        return "litmus"

    def labels(self) -> tuple[Label, ...]:
        return tuple(Label(config=each.config, word=each.word, line=line(each)) for each in self.experiments)

    def to_json(self) -> dict[str, Any]:
        return {
            "way": self.way,
            "source": self.source,
            "alpha": self.options.alpha,
            "experiments": {each.config: experiment_object(each) for each in self.experiments},
            "notes": list(self.notes),
        }

    def markdown(self) -> str:
        return document(self)

    @property
    def exit_code(self) -> int:
        return outcome(_CODES[each.word] for each in self.experiments)


def judge(sample: Sample, options: Options) -> LitmusJudged:
    """Every experiment of `sample` against its baseline and the declared lifts. Raises UnfitRunsError."""
    need_baseline(sample, "litmus")
    lifts = _declared(sample, options)
    return LitmusJudged(
        source=sample.source,
        options=options,
        experiments=tuple(_experiment(sample, config, lifts, options) for config in sample.experiments),
        notes=sample.notes,
    )


def _declared(sample: Sample, options: Options) -> dict[str, float]:
    metric = options.metric or sample.objective.metric
    if options.min_lift is not None:
        return {metric: options.min_lift, **options.lifts}
    if metric == sample.objective.metric and sample.objective.min_effect > 0:
        return {metric: sample.objective.min_effect, **options.lifts}
    if metric not in options.lifts:
        raise UnfitRunsError(
            f"{sample.source}: litmus needs the lift of {metric} that confirms; set min_lift"
        )
    return dict(options.lifts)


def _experiment(sample: Sample, config: str, lifts: Mapping[str, float], options: Options) -> Experiment:
    checks = tuple(
        _check(arms_of(sample, config, metric, options.lower_is_better), lift, options)
        for metric, lift in lifts.items()
    )
    evidence = tuple(
        evidence_gates(
            sample,
            config,
            [check.arms for check in checks],
            min_seeds=options.min_seeds,
            min_episodes=options.min_episodes,
            min_steps=options.min_steps,
            metrics=tuple(dict.fromkeys((*lifts, *options.required_metrics))),
            needs_protocol=options.needs_protocol,
        )
    )
    chance = tuple(
        significance_gate(check.arms, check.permutation, options.alpha)
        for check in checks
        if options.alpha is not None
    )
    return Experiment(
        config=config, word=_word(checks, evidence, chance), checks=checks, gates=(*evidence, *chance)
    )


def _check(arms: Arms, lift: float, options: Options) -> Check:
    tested = options.alpha is not None
    return Check(
        arms=arms,
        min_lift=lift,
        population_sd=statistics.pstdev(arms.differences) if arms.per_seed else None,
        permutation=(
            arms.permutation(sides=1, resamples=options.resamples, seed=options.seed) if tested else None
        ),
    )


def _word(checks: Sequence[Check], evidence: Sequence[Gate], chance: Sequence[Gate]) -> Word:
    if not all(gate.is_met for gate in evidence):
        return "INCONCLUSIVE"
    if not all(check.is_reached for check in checks):
        return "FAILED"
    return "CONFIRMED" if all(gate.is_met for gate in chance) else "INCONCLUSIVE"
