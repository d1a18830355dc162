"""How much is still to do? Runs and seconds of a task or round: at least, as expected, and at most.

The policy says which runs may still come, each with its chance: at least those that nothing can prevent, at
most all of them. A run is expected to last as long as the finished ones of its task and stage did on average;
without one, as its steps suggest from another stage or from the probe; without that, half its time budget. At
most, it lasts as the slowest finished one, half as long again as its steps suggest, or its whole time budget.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from policies import make_policy
from policies.steps import PossibleRun
from scheduler.decide import facts
from scheduler.decide.ended import last_ends, runs_over
from scheduler.decide.state import RoundState, TaskState
from scheduler.decide.task_view import task_view
from scheduler.rounds.round import BASELINE, Budget

#: share of its time budget that a run takes when nothing is known
UNKNOWN_BUDGET_SHARE = 0.5
#: how much longer than its steps suggest a run may last, while none of its stage has been measured
STEPS_MARGIN = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is still to do, as ranges. All zero when nothing is."""

    #: runs that have ended and count
    runs_done: int = 0
    runs_least: int = 0
    runs_expected: float = 0.0
    runs_most: int = 0
    #: with expected durations: every undecided variant pruned
    seconds_least: float = 0.0
    seconds_expected: float = 0.0
    #: every variant promoted, and every run as slow as can be expected
    seconds_most: float = 0.0
    #: every variant promoted and every run at its time budget
    seconds_worst: float = 0.0

    def __add__(self, other: Forecast) -> Forecast:
        return Forecast(
            runs_done=self.runs_done + other.runs_done,
            runs_least=self.runs_least + other.runs_least,
            runs_expected=self.runs_expected + other.runs_expected,
            runs_most=self.runs_most + other.runs_most,
            seconds_least=self.seconds_least + other.seconds_least,
            seconds_expected=self.seconds_expected + other.seconds_expected,
            seconds_most=self.seconds_most + other.seconds_most,
            seconds_worst=self.seconds_worst + other.seconds_worst,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """One run that a round may still take, in the order in which it would start."""

    stage: str
    config: str
    slot: int
    #: None for a slot whose seed follows from the protocol
    seed: int | None
    bsz: int | None
    budget: Budget
    likely_seconds: float
    #: whether something has to come first that may not: a promotion, a look that leaves it open
    is_conditional: bool


def forecast_round(round_state: RoundState) -> Forecast:
    """What the round still takes; nothing once it is finished or cancelled."""
    tasks = [Outlook.of(task) for task in round_state.tasks.values()]
    if not round_state.is_open:
        return total(Forecast(runs_done=outlook.runs_done) for outlook in tasks)
    return total(outlook.forecast() for outlook in tasks)


def forecast_task(task: TaskState) -> Forecast:
    """What the task still takes; nothing while it is parked."""
    return Outlook.of(task).forecast()


def total(forecasts: Iterable[Forecast]) -> Forecast:
    """All of `forecasts`, one after the other, as on one device."""
    return sum(forecasts, Forecast())


def planned_runs(task: TaskState) -> Iterator[PlannedRun]:
    """Every run the task may still take, in the likely order."""
    yield from Outlook.of(task).planned()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a forecast needs to know of a task, gathered in one pass over its attempts."""

    task: TaskState
    runs_done: int
    #: what may still run, in the likely order
    possible: tuple[PossibleRun, ...]
    #: durations by stage of runs that were trained here, not taken from the cache
    measured_seconds: Mapping[str, tuple[float, ...]]

    @classmethod
    def of(cls, task: TaskState, stored: Collection[tuple[str, int]] = ()) -> Outlook:
        """The outlook of `task`. Nothing of a finished or parked task is open.

        The baseline's runs at the stages and slots in `stored` take nothing: they are reused.
        """
        is_closed = task.is_finished or task.parked is not None
        runs = list(last_ends(task))
        over = runs_over(task, runs)
        protocols = {run.stage: run.protocol for run in over}
        view = task_view(task, over, protocols)
        policy = make_policy(task.task.policy.name, task.task.policy.options)
        return cls(
            task=task,
            runs_done=len(over),
            possible=tuple(
                run
                for run in (() if is_closed else policy.possible_runs(view))
                if run.config != BASELINE or (run.stage, run.slot) not in stored
            ),
            measured_seconds=_measured_seconds(runs),
        )

    def forecast(self) -> Forecast:
        """What the task still takes, over all stages."""
        stages = total(self._forecast_stage(stage.name) for stage in self.task.task.stages)
        return Forecast(runs_done=self.runs_done) + stages

    def likely_seconds(self, stage: str) -> float:
        """How long a run of `stage` is expected to last."""
        if stage in self.measured_seconds:
            return statistics.fmean(self.measured_seconds[stage])
        by_steps = self._seconds_by_steps(stage)
        return UNKNOWN_BUDGET_SHARE * self._budget_seconds(stage) if by_steps is None else by_steps

    def most_seconds(self, stage: str) -> float:
        """How long a run of `stage` may last, as far as can be expected; never beyond its time budget."""
        if stage in self.measured_seconds:
            return max(self.measured_seconds[stage])
        by_steps = self._seconds_by_steps(stage)
        budget_seconds = self._budget_seconds(stage)
        return budget_seconds if by_steps is None else min(STEPS_MARGIN * by_steps, budget_seconds)

    def planned(self) -> Iterator[PlannedRun]:
        """The runs that may still come, with what they would take."""
        seeds = self.task.task.seeds
        for run in self.possible:
            yield PlannedRun(
                stage=run.stage,
                config=run.config,
                slot=run.slot,
                seed=seeds[run.slot] if run.slot < len(seeds) else None,
                bsz=self.task.bsz,
                budget=self.task.budget(run.stage),
                likely_seconds=self.likely_seconds(run.stage),
                is_conditional=run.chance < 1.0,
            )

    def _forecast_stage(self, stage: str) -> Forecast:
        chances = [run.chance for run in self.possible if run.stage == stage]
        certain = sum(chance == 1.0 for chance in chances)
        return self._in_seconds(stage, certain, math.fsum(chances), len(chances))

    def _in_seconds(self, stage: str, least: int, expected: float, most: int) -> Forecast:
        likely = self.likely_seconds(stage)
        return Forecast(
            runs_least=least,
            runs_expected=expected,
            runs_most=most,
            seconds_least=least * likely,
            seconds_expected=expected * likely,
            seconds_most=most * self.most_seconds(stage),
            seconds_worst=most * max(self._budget_seconds(stage), self.most_seconds(stage)),
        )

    def _budget_seconds(self, stage: str) -> float:
        return self.task.budget(stage).time_budget_sec

    def _seconds_by_steps(self, stage: str) -> float | None:
        """From the steps of `stage` and the pace of any measured stage, else of the probe."""
        wanted, per_step = self.task.budget(stage).max_steps, None
        for measured, seconds in self.measured_seconds.items():
            steps = self.task.budget(measured).max_steps
            if steps:
                per_step = statistics.fmean(seconds) / steps
        if per_step is None and self.task.probed is not None:
            per_step = self.task.probed.seconds_per_step
        if wanted is None or per_step is None:
            return None
        return min(wanted * per_step, self._budget_seconds(stage))


def _measured_seconds(runs: Iterable[facts.RunFinished]) -> dict[str, tuple[float, ...]]:
    durations: dict[str, list[float]] = {}
    for run in runs:
        if run.status not in ("ok", "timed_out") or run.cached_from is not None:
            continue
        seconds = run.wall_seconds if run.wall_seconds is not None else run.train_seconds
        if seconds is not None and math.isfinite(seconds):
            durations.setdefault(run.stage, []).append(seconds)
    return {stage: tuple(seconds) for stage, seconds in durations.items()}
