"""How much is still to do? Runs and seconds of a task or round: at least, as expected, and at most.

The policy says which runs may still come, each with its chance: at least those that nothing can prevent, at
most all of them. A run is expected to last as long as the finished ones of its task and stage did on average;
without one, as its steps suggest from another stage or from the probe; without that, half its time budget. At
most, it lasts as the slowest finished one, half as long again as its steps suggest, or its whole time budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from policies import Policy
from policies.steps import PossibleRun, TaskView
from scheduler.decide import facts
from scheduler.decide.ended import ENDED
from scheduler.decide.state import RoundState
from scheduler.decide.task_identity import policy_of
from scheduler.decide.task_state import TaskState
from scheduler.decide.task_view import RunsOver, task_view
from scheduler.rounds.identity import RunKey
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
    """What a forecast needs to know of a task; none of it takes longer the more runs have ended."""

    task: TaskState
    policy: Policy
    view: TaskView
    #: the baseline's runs at these stages and slots take nothing: they are reused
    stored: Collection[tuple[str, int]] = ()
    #: possible runs that take nothing either: earlier rounds have made them
    made: Collection[PossibleRun] = ()

    @classmethod
    def of(cls, task: TaskState, stored: Collection[tuple[str, int]] = ()) -> Outlook:
        """The outlook of `task`."""
        return cls(
            task=task,
            policy=policy_of(task.task),
            view=task_view(task, _over(task)),
            stored=stored,
        )

    @property
    def runs_done(self) -> int:
        """Runs that have ended and count."""
        return len(self.view.baseline) + sum(places.bit_count() for places in self.view.marks.over.values())

    @property
    def possible(self) -> Iterator[PossibleRun]:
        """What may still run, in the likely order. Nothing of a finished or parked task."""
        return self._open(self.policy.possible_runs)

    def _open(self, ask: Callable[[TaskView], Iterable[PossibleRun]]) -> Iterator[PossibleRun]:
        if self.task.is_finished or self.task.parked is not None:
            return
        if self.made:
            ask = self.policy.possible_runs  # one by one: those that are alike may not all have been made
        for run in ask(self.view):
            if run in self.made:
                continue
            if run.config != BASELINE or (run.stage, run.slot) not in self.stored:
                yield run

    def forecast(self) -> Forecast:
        """What the task still takes, over all stages."""
        chances: dict[str, list[tuple[float, int]]] = {}
        for run in self._open(self.policy.runs_ahead):
            chances.setdefault(run.stage, []).append((run.chance, run.count))
        stages = total(self._forecast_stage(stage, of_stage) for stage, of_stage in chances.items())
        return Forecast(runs_done=self.runs_done) + stages

    def likely_seconds(self, stage: str) -> float:
        """How long a run of `stage` is expected to last."""
        if stage in self.task.paces:
            return self.task.paces[stage].mean_seconds
        by_steps = self._seconds_by_steps(stage)
        return UNKNOWN_BUDGET_SHARE * self._budget_seconds(stage) if by_steps is None else by_steps

    def most_seconds(self, stage: str) -> float:
        """How long a run of `stage` may last, as far as can be expected; never beyond its time budget."""
        if stage in self.task.paces:
            return self.task.paces[stage].most_seconds
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

    def _forecast_stage(self, stage: str, chances: Iterable[tuple[float, int]]) -> Forecast:
        """Of runs with their chances, so many each."""
        certain = sum(count for chance, count in chances if chance == 1.0)
        expected = math.fsum(chance * count for chance, count in chances)
        return self._in_seconds(stage, certain, expected, sum(count for _, count in chances))

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
        for measured, pace in self.task.paces.items():
            steps = self.task.budget(measured).max_steps
            if steps:
                per_step = pace.mean_seconds / steps
        if per_step is None and self.task.probed is not None:
            per_step = self.task.probed.seconds_per_step
        if wanted is None or per_step is None:
            return None
        return min(wanted * per_step, self._budget_seconds(stage))


def _over(task: TaskState) -> RunsOver:
    """The runs that have ended, whether they may be tried again or not; lost ones are."""

    def end_of(key: RunKey) -> facts.RunFinished | None:
        counted = task.counted(key)
        end = counted[-1].finished if counted else None
        counts = end is not None and end.status in ENDED and end.protocol == task.protocols.get(key.stage)
        return end if counts else None

    places: dict[tuple[str, int], int] = {}
    for mark, marked in task.runs.items():
        if mark.status in ENDED and mark.protocol == task.protocols.get(mark.stage):
            places[mark.stage, mark.slot] = places.get((mark.stage, mark.slot), 0) | marked
    return RunsOver(protocols=task.protocols, end_of=end_of, places=places)
