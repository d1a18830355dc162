"""What does a round say? Its records, ordered as a person reads them: per task what was compared with what.

Everything here follows from recorded facts, so that a summary can be made again byte for byte.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from policies.evidence import Objective
from scheduler.decide import facts
from scheduler.decide.failures import RULES
from scheduler.decide.state import RoundState
from scheduler.decide.task_state import TaskState
from scheduler.report import numbers
from scheduler.report.device_notes import notes_of
from scheduler.report.printable import first_line, one_line
from scheduler.report.runs import Totals, failed_runs, runs_at, superseded_runs, totals
from scheduler.report.stops import Stops, stops_of
from scheduler.report.unmatched import UnmatchedBox, unmatched_boxes
from scheduler.rounds.round import BASELINE


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineReading:
    """The baseline at one stage, over its seeds: those that select, or the fresh ones that judge."""

    #: `medium`, or `medium, fresh seeds`
    stage: str
    #: mean of the objective's metric, raw
    value: float
    loss: float | None
    sd: float | None
    seeds: tuple[int, ...]
    bsz: int | None
    n_eval: int | None
    #: runs that an earlier round made, by that round
    reused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantReading:
    """A variant after one stage: the decision about it, and the numbers that led to it."""

    fact: facts.VariantFact
    #: mean loss over the compared seeds; None where it is unknown or is the objective itself
    loss: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureReading:
    """A run that did not end well."""

    run: facts.RunFinished
    attempts: int
    message: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReading:
    """One task, in the order of its summary."""

    state: TaskState
    baselines: tuple[BaselineReading, ...]
    survivors: tuple[VariantReading, ...]
    pruned: tuple[VariantReading, ...]
    #: decided at the first stage without being pruned or promoted
    held: tuple[VariantReading, ...]
    #: matched readings by later stage
    confirmed: Mapping[str, tuple[VariantReading, ...]]
    undecided: tuple[str, ...]
    failures: tuple[FailureReading, ...]
    #: what happened on the device while runs trained
    device_notes: tuple[str, ...]
    unmatched: tuple[UnmatchedBox, ...]
    #: runs that count no more, by their batch size
    superseded: Mapping[int | None, int]

    @property
    def name(self) -> str:
        return self.state.task.name

    @property
    def objective(self) -> Objective:
        return self.state.task.objective

    @property
    def rebatched(self) -> str:
        """Why the batch is smaller now, and which runs count no more; empty where all of them do."""
        if not self.superseded or self.state.probed is None:
            return ""
        kept = (f"{numbers.count(number, 'run')} at bsz={bsz}" for bsz, number in self.superseded.items())
        why = one_line(self.state.probed.reason)
        return f"bsz={self.state.bsz} since {why}; superseded, and kept: {', '.join(kept)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundReading:
    """A whole round, in the order of its summary."""

    state: RoundState
    tasks: tuple[TaskReading, ...]
    totals: Totals
    stops: Stops

    @property
    def outcome(self) -> str:
        """`finished`, `parked` or `cancelled`; `in progress` while the records do not say."""
        if self.state.finished is not None:
            return self.state.finished.outcome
        return "cancelled" if self.state.cancelled is not None else "in progress"

    @property
    def verdicts(self) -> Mapping[str, int]:
        """How many variants got each verdict, over all tasks, by name."""
        facts = (fact for task in self.state.tasks.values() for fact in task.verdicts.values())
        return dict(sorted(Counter(fact.verdict for fact in facts).items()))


def read_round(round_state: RoundState) -> RoundReading:
    """The reading of a round, finished or not."""
    return RoundReading(
        state=round_state,
        tasks=tuple(read_task(task) for task in round_state.tasks.values()),
        totals=totals(round_state),
        stops=stops_of(round_state),
    )


def read_task(task: TaskState) -> TaskReading:
    """The reading of one task, finished or not. Best delta first in every list."""
    first, *later = [stage.name for stage in task.task.stages]
    return TaskReading(
        state=task,
        baselines=tuple(_baselines(task)),
        survivors=_variants(task, first, facts.VariantPromoted),
        pruned=_variants(task, first, facts.VariantPruned),
        held=_variants(task, first, facts.VariantHeld),
        confirmed={stage: _variants(task, stage, facts.VariantFact) for stage in later},
        undecided=tuple(v.name for v in task.task.variants if not task.decisions.get(v.name)),
        failures=tuple(_failures(task)),
        device_notes=notes_of(task),
        unmatched=tuple(unmatched_boxes(task)),
        superseded=superseded_runs(task),
    )


def _baselines(task: TaskState) -> Iterator[BaselineReading]:
    for stage in task.task.stages:
        runs = runs_at(task, stage.name, BASELINE)
        # What selected and what judged are never told as one, once there are candidates.
        frozen = task.confirm_set
        judging = [run for run in runs if frozen and run.protocol == frozen.protocol and run.slot > 0]
        selecting = [run for run in runs if run not in judging]
        for name, part in ((stage.name, selecting), (f"{stage.name}, fresh seeds", judging)):
            if part:
                yield _baseline(task, name, part)


def _baseline(task: TaskState, name: str, runs: Sequence[facts.RunFinished]) -> BaselineReading:
    values = [run.value for run in runs if run.value is not None]
    return BaselineReading(
        stage=name,
        value=statistics.fmean(values),
        loss=_mean_loss(task, runs),
        sd=statistics.stdev(values) if len(values) > 1 else None,
        seeds=tuple(run.seed for run in runs),
        bsz=runs[-1].bsz,
        n_eval=runs[-1].n_eval,
        reused=Counter(run.made_by for run in runs if run.made_by is not None),
    )


def _variants(task: TaskState, stage: str, kind: type[facts.VariantFact]) -> tuple[VariantReading, ...]:
    readings = [
        VariantReading(fact=fact, loss=_mean_loss(task, _compared(task, fact)))
        for config, facts in task.decisions.items()
        for fact in facts
        if fact.stage == stage and isinstance(fact, kind)
    ]
    # A variant without a delta comes last; equal deltas keep the order of the file.
    return tuple(sorted(readings, key=lambda r: float("inf") if r.fact.d_acc is None else -r.fact.d_acc))


def _compared(task: TaskState, fact: facts.VariantFact) -> tuple[facts.RunFinished, ...]:
    """The variant's runs behind the numbers of a decision."""
    seeds = {seed for seed, _ in fact.per_seed}
    return tuple(run for run in runs_at(task, fact.stage, fact.config) if run.seed in seeds)


def _mean_loss(task: TaskState, runs: Sequence[facts.RunFinished]) -> float | None:
    losses = [run.loss for run in runs if run.loss is not None]
    if task.task.objective.metric == "loss" or not losses:
        return None
    return statistics.fmean(losses)


def _failures(task: TaskState) -> Iterator[FailureReading]:
    for run, attempts in failed_runs(task):
        rule = RULES.get(run.failure_class or "lost")
        yield FailureReading(
            run=run,
            attempts=attempts,
            message=first_line(run.error or "") or "no message",
            remedy=rule.remedy if rule is not None else "see error.txt of the run",
        )
