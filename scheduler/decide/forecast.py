"""How much is still to do? Runs and seconds of a task or round: at least, as expected, and at most.

At least: every undecided variant is pruned at the stage it is in. At most: every one is promoted to the end.
Expected: a variant is promoted with the share seen so far in its task, where the share starts at one half
as if one had been promoted and one pruned. A run is expected to last as long as the finished ones of its
task and stage did on average; without one, as its steps suggest from another stage or from the probe;
without that, half its time budget. At most, it lasts as the slowest finished one, half as long again as its
steps suggest, or its whole time budget.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import orjson

from policies import Policy, make_policy
from scheduler.decide import facts
from scheduler.decide.state import PROBE_STAGE, RoundState, TaskState
from scheduler.rounds.round import BASELINE, Budget, Task

#: share of its time budget that a run takes when nothing is known
UNKNOWN_BUDGET_SHARE = 0.5
#: how much longer than its steps suggest a run may last, while none of its stage has been measured
STEPS_MARGIN = 1.5
#: outcomes after which a run is not started again
_ENDED = frozenset({"ok", "timed_out", "pruned", "failed"})


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
    #: whether it only happens if a variant is promoted
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
    """Every run the task may still take, in order: a variant goes through its stages before the next begins.

    The baseline of a later stage comes before the first variant that reaches it, and only once.
    """
    outlook = Outlook.of(task)
    stages = [stage.name for stage in task.task.stages]
    if outlook.is_baseline_alone:
        for stage in stages:
            yield from outlook.planned(stage, BASELINE, is_conditional=False)
    baselines: set[str] = set()
    for config, current in outlook.open_variants.items():
        for index in range(current, len(stages)):
            if stages[index] not in baselines:
                baselines.add(stages[index])
                yield from outlook.planned(stages[index], BASELINE, is_conditional=index > current)
            yield from outlook.planned(stages[index], config, is_conditional=index > current)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a forecast needs to know of a task, gathered in one pass over its attempts."""

    task: TaskState
    #: slots whose run has ended at the batch size in force, by stage and config
    slots_done: Mapping[tuple[str, str], frozenset[int]]
    #: durations by stage of runs that were trained here, not taken from the cache
    measured_seconds: Mapping[str, tuple[float, ...]]
    #: variants nothing final is decided about, each with the index of the stage it is in
    open_variants: Mapping[str, int]
    promotion_share: float
    #: a task without variants runs its baseline at every stage
    is_baseline_alone: bool

    @classmethod
    def of(cls, task: TaskState) -> Outlook:
        """The outlook of `task`. Nothing of a finished or parked task is open."""
        is_closed = task.is_finished or task.parked is not None
        runs = list(_last_ends(task))
        return cls(
            task=task,
            slots_done=_slots_done(runs, task.bsz),
            measured_seconds=_measured_seconds(runs),
            open_variants={} if is_closed else dict(_open_variants(task)),
            promotion_share=_promotion_share(task),
            is_baseline_alone=not is_closed and not task.task.variants,
        )

    @property
    def runs_done(self) -> int:
        return sum(len(slots) for slots in self.slots_done.values())

    def forecast(self) -> Forecast:
        """What the task still takes, over all stages."""
        stages = total(self._forecast_stage(index) for index in range(len(self.task.task.stages)))
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

    def planned(self, stage: str, config: str, *, is_conditional: bool) -> Iterator[PlannedRun]:
        """The runs of `config` at `stage` that have not ended, in slot order."""
        seeds = self.task.task.seeds
        for slot in self._slots_left(stage, config):
            yield PlannedRun(
                stage=stage,
                config=config,
                slot=slot,
                seed=seeds[slot] if slot < len(seeds) else None,
                bsz=self.task.bsz,
                budget=self.task.budget(stage),
                likely_seconds=self.likely_seconds(stage),
                is_conditional=is_conditional,
            )

    def _slots_left(self, stage: str, config: str) -> tuple[int, ...]:
        done = self.slots_done.get((stage, config), frozenset())
        return tuple(slot for slot in _slots(self.task.task, stage) if slot not in done)

    def _forecast_stage(self, index: int) -> Forecast:
        """What is left at one stage: of variants that are there or may arrive, and of the baseline."""
        stage = self.task.task.stages[index].name
        least, expected, most = 0, 0.0, 0
        nobody_arrives = 0.0 if self.is_baseline_alone else 1.0
        for config, current in self.open_variants.items():
            if current > index:
                continue
            left = len(self._slots_left(stage, config))
            chance = self.promotion_share ** (index - current)
            least += left if current == index else 0
            expected += chance * left
            most += left
            nobody_arrives *= 1.0 - chance
        baseline = len(self._slots_left(stage, BASELINE)) if nobody_arrives < 1.0 else 0
        least += baseline if nobody_arrives == 0.0 else 0
        expected += (1.0 - nobody_arrives) * baseline
        return self._in_seconds(stage, least, expected, most + baseline)

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


def _open_variants(task: TaskState) -> Iterator[tuple[str, int]]:
    stages = [stage.name for stage in task.task.stages]
    for variant in task.task.variants:
        decisions = task.decisions.get(variant.name, ())
        last = decisions[-1] if decisions else None
        if variant.name in task.verdicts or isinstance(last, facts.VariantPruned | facts.VariantHeld):
            continue
        yield variant.name, stages.index(last.to_stage) if isinstance(last, facts.VariantPromoted) else 0


def _promotion_share(task: TaskState) -> float:
    decisions = [decision for made in task.decisions.values() for decision in made]
    promoted = sum(isinstance(decision, facts.VariantPromoted) for decision in decisions)
    pruned = sum(isinstance(decision, facts.VariantPruned) for decision in decisions)
    return (promoted + 1) / (promoted + pruned + 2)


def _last_ends(task: TaskState) -> Iterator[facts.RunFinished]:
    """The end of each run whose last attempt that counts has ended, without probes."""
    for key, attempts in task.attempts.items():
        # Naming an attempt takes longer than all the rest, and hardly ever is one forgiven.
        counted = task.counted(key) if task.forgiven else attempts
        if key.stage != PROBE_STAGE and counted and counted[-1].finished is not None:
            yield counted[-1].finished


def _slots_done(runs: Iterable[facts.RunFinished], bsz: int | None) -> dict[tuple[str, str], frozenset[int]]:
    done: dict[tuple[str, str], set[int]] = {}
    for run in runs:
        if run.status in _ENDED and run.bsz == bsz:
            done.setdefault((run.stage, run.config), set()).add(run.slot)
    return {key: frozenset(slots) for key, slots in done.items()}


def _measured_seconds(runs: Iterable[facts.RunFinished]) -> dict[str, tuple[float, ...]]:
    durations: dict[str, list[float]] = {}
    for run in runs:
        if run.status not in ("ok", "timed_out") or run.cached_from is not None:
            continue
        seconds = run.wall_seconds if run.wall_seconds is not None else run.train_seconds
        if seconds is not None and math.isfinite(seconds):
            durations.setdefault(run.stage, []).append(seconds)
    return {stage: tuple(seconds) for stage, seconds in durations.items()}


def _slots(task: Task, stage: str) -> tuple[int, ...]:
    options = orjson.dumps(task.policy.options, option=orjson.OPT_SORT_KEYS)
    return _policy(task.policy.name, options).slots(stage, len(task.seeds))


@functools.lru_cache(maxsize=64)
def _policy(name: str, options: bytes) -> Policy:
    return make_policy(name, orjson.loads(options))
