"""Do the iterations keep the bounds that were set, is that proven, and what changed and was spent?

Every config is an iteration, in the order given, the baseline first.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from policies._gates import WORDS, Gate, Word, gate_problems, parse_gate
from scheduler.judging._checks import (
    number_problems,
    refuse,
    whole_problems,
    word_problems,
    words,
    words_problems,
)
from scheduler.judging._flagged_samples import SAMPLES, FlaggedSamples, flagged_samples
from scheduler.judging._iterations import LedgerRow, ParameterChange, cost_ledger, parameter_changes
from scheduler.judging._learnings import Learning, learning_problems, learnings
from scheduler.judging._outcome import MET, MISSED, OPEN, outcome
from scheduler.judging._target_gates import TargetReading, read_target
from scheduler.judging._targets_document import document
from scheduler.judging._targets_object import as_object
from scheduler.judging._targets_page import page
from scheduler.judging._targets_tables import line
from scheduler.judging._tests_of_difference import fisher_exact_p
from scheduler.judging.evidence import JudgedRun, Sample, UnfitRunsError
from scheduler.judging.page import Page
from scheduler.judging.protocol import Judged, Label

#: what a trainer that keeps its samples writes
EXHIBITS = (SAMPLES,)

_CODES: Mapping[Word, int] = {"PASS": MET, "FAIL": MISSED, "PASS_UNPROVEN": OPEN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The bounds, and what the ledger is kept in."""

    #: "runaway_rate < 5 %", "mean_tokens <= 400"; all of them must hold
    gates: tuple[str, ...] = ()
    #: confidence of the intervals
    level: float = 0.95
    #: metric that holds how many cases a rate is of, for runs that report no counts
    trials: str = ""
    #: the iteration that the exit code is about; none means any
    iteration: str = ""
    #: parameters that may differ without a word
    ignored_parameters: tuple[str, ...] = ("seed", "out", "run_dir")
    #: of the machine; none leaves out what is not reported as money
    cost_per_hour: float | None = None
    currency: str = "USD"
    #: what may be spent in all, in the currency
    budget: float | None = None
    #: by iteration: `hypothesis`, declared before it runs, and `why` and `lesson`, added afterwards
    learnings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: flagged samples of each iteration on the page
    shown: int = 3

    def __post_init__(self) -> None:
        for name in ("gates", "ignored_parameters"):
            object.__setattr__(self, name, words(getattr(self, name)))
        refuse(self._problems())

    def _problems(self) -> Iterator[str]:
        yield from gate_problems("gates", self.gates)
        yield from number_problems("level", self.level, above=0, below=1)
        for name in ("trials", "iteration", "currency"):
            yield from word_problems(name, getattr(self, name))
        yield from words_problems("ignored_parameters", self.ignored_parameters)
        for name in ("cost_per_hour", "budget"):
            if getattr(self, name) is not None:
                yield from number_problems(name, getattr(self, name), least=0)
        yield from learning_problems("learnings", self.learnings)
        yield from whole_problems("shown", self.shown)

    @property
    def parsed_gates(self) -> tuple[Gate, ...]:
        """The gates, in order."""
        return tuple(parse_gate(text) for text in self.gates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """One config: its readings, and how it differs from the one before."""

    config: str
    readings: tuple[TargetReading, ...]
    #: Fisher's exact p against the iteration before, by metric; only of rates with counts in both
    fisher_p: Mapping[str, float]
    #: None for the first
    changes: tuple[ParameterChange, ...] | None

    @property
    def word(self) -> Word:
        """The worst of its readings."""
        return worst(self.readings)


@dataclass(frozen=True, slots=True, kw_only=True)
class AtOtherStage:
    """An iteration at a stage that is not judged here."""

    stage: str
    config: str
    readings: tuple[TargetReading, ...]

    @property
    def word(self) -> Word:
        """The worst of its readings."""
        return worst(self.readings)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetsJudged(Judged):
    """The answer, by iteration in order."""

    source: str
    options: Options
    iterations: tuple[Iteration, ...]
    #: of all that ran, at other stages and failed runs too
    ledger: tuple[LedgerRow, ...]
    notes: tuple[str, ...]
    #: at which the iterations are judged; None where nothing tells
    stage: str | None = None
    other_stages: tuple[AtOtherStage, ...] = ()
    learnings: tuple[Learning, ...] = ()
    #: of the iterations that keep samples
    samples: tuple[FlaggedSamples, ...] = ()

    @property
    def way(self) -> str:
        return "targets"

    def labels(self) -> tuple[Label, ...]:
        return tuple(Label(config=each.config, word=each.word, line=line(each)) for each in self.iterations)

    def to_json(self) -> dict[str, Any]:
        return as_object(self)

    def markdown(self) -> str:
        return document(self)

    def pages(self) -> Mapping[str, Page]:
        """One, where there are samples to look at or learnings to read."""
        return {"targets": page(self)} if self.samples or self.learnings else {}

    @property
    def exit_code(self) -> int:
        asked = self.options.iteration
        return outcome(_CODES[each.word] for each in self.iterations if asked in ("", each.config))


def judge(sample: Sample, options: Options) -> TargetsJudged:
    """Every config of `sample` against the gates. Raises UnfitRunsError for a metric nobody reports."""
    by_config = _by_config(sample)
    gates = options.parsed_gates
    _need_known(sample, by_config, gates, options)
    iterations = tuple(_iterations(by_config, gates, options))
    spent = _with(by_config, sample.elsewhere)
    found = (flagged_samples(config, runs, options.shown) for config, runs in by_config.items())
    return TargetsJudged(
        source=sample.source,
        stage=sample.stage,
        options=options,
        iterations=iterations,
        ledger=tuple(cost_ledger(spent, cost_per_hour=options.cost_per_hour, currency=options.currency)),
        notes=(*sample.notes, *_notes(sample, iterations)),
        other_stages=tuple(_other_stages(sample, gates, options)),
        learnings=learnings(options.learnings, {each.config: line(each) for each in iterations}),
        samples=tuple(samples for samples in found if samples is not None),
    )


def worst(readings: Sequence[TargetReading]) -> Word:
    """An iteration is as good as its worst metric."""
    return min((reading.word for reading in readings), key=WORDS.index)


def _with(
    by_config: Mapping[str, Sequence[JudgedRun]], elsewhere: Sequence[JudgedRun]
) -> dict[str, tuple[JudgedRun, ...]]:
    """The runs of each config with those elsewhere, configs that are only there last."""
    configs = dict.fromkeys((*by_config, *(run.config for run in elsewhere)))
    return {
        config: (*by_config.get(config, ()), *(run for run in elsewhere if run.config == config))
        for config in configs
    }


def _other_stages(sample: Sample, gates: Sequence[Gate], options: Options) -> Iterator[AtOtherStage]:
    """Every iteration at every other stage where a gate's metric was measured."""
    asked = {gate.metric for gate in gates}
    runs = [
        run for run in sample.elsewhere if run.stage not in (None, sample.stage) and asked & {*run.metrics}
    ]
    for stage, config in dict.fromkeys((str(run.stage), run.config) for run in runs):
        own = [run for run in runs if (run.stage, run.config) == (stage, config)]
        yield AtOtherStage(
            stage=stage,
            config=config,
            readings=tuple(
                read_target(gate, own, level=options.level, trials=options.trials) for gate in gates
            ),
        )


def _by_config(sample: Sample) -> dict[str, tuple[JudgedRun, ...]]:
    first = {sample.baseline[0].config: sample.baseline} if sample.baseline else {}
    return {**first, **sample.experiments}


def _need_known(
    sample: Sample,
    by_config: Mapping[str, Sequence[JudgedRun]],
    gates: Sequence[Gate],
    options: Options,
) -> None:
    known = dict.fromkeys(name for run in sample.runs for name in (*run.metrics, *run.counts))
    for name in (*(gate.metric for gate in gates), *([options.trials] if options.trials else [])):
        if name not in known:
            raise UnfitRunsError(
                f"{sample.source}: no run reports {name}; reported are {', '.join(known) or 'none'}"
            )
    if options.iteration and options.iteration not in by_config:
        raise UnfitRunsError(
            f"{sample.source}: there is no iteration {options.iteration!r}; there are {', '.join(by_config)}"
        )


def _iterations(
    by_config: Mapping[str, Sequence[JudgedRun]], gates: Sequence[Gate], options: Options
) -> Iterator[Iteration]:
    before: tuple[Sequence[JudgedRun], Sequence[TargetReading]] | None = None
    for config, runs in by_config.items():
        readings = tuple(
            read_target(gate, runs, level=options.level, trials=options.trials) for gate in gates
        )
        yield Iteration(
            config=config,
            readings=readings,
            fisher_p=_fisher(before[1], readings) if before else {},
            changes=parameter_changes(before[0], runs, options.ignored_parameters) if before else None,
        )
        before = (runs, readings)


def _fisher(before: Sequence[TargetReading], after: Sequence[TargetReading]) -> dict[str, float]:
    return {
        new.gate.metric: fisher_exact_p(
            (old.count.successes, old.count.n), (new.count.successes, new.count.n)
        )
        for old, new in zip(before, after, strict=True)
        if old.count is not None and new.count is not None
    }


def _notes(sample: Sample, iterations: Sequence[Iteration]) -> Iterator[str]:
    for before, after in itertools.pairwise(iterations):
        if after.changes and len(after.changes) > 1:
            names = ", ".join(change.name for change in after.changes)
            yield (
                f"WARNING: {len(after.changes)} parameters changed at once from {before.config} to"
                f" {after.config} ({names}): what made the difference cannot be told. Change one at a time."
            )
    for iteration in iterations:
        absent = [reading.gate.metric for reading in iteration.readings if reading.value is None]
        if absent:
            yield f"{iteration.config}: {', '.join(absent)} was not measured, which passes no gate."
    if any(reading.count and reading.runs > 1 for each in iterations for reading in each.readings):
        yield "Rates are pooled over the runs of an iteration as if every case were independent."
    if any(
        reading.value is not None and reading.interval is None
        for each in iterations
        for reading in each.readings
    ):
        yield "A mean from one run has no interval: PASS takes two runs, or counts of the rate."
    if sample.pilots:
        names = ", ".join(dict.fromkeys(run.name for run in sample.pilots))
        yield f"On another prompt set, kept and not counted: {names}."
