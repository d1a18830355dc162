"""How does a policy of three questions go through a task? Variant after variant, each through its stages.

A policy that decides about each variant by itself inherits `VariantByVariant` and answers `slots`, `after`
and `verdict`. The baseline runs at a stage when the first variant needs it there.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator

from policies._assessment import TaskRuns
from policies._guards import STOPPED_AS_NO_OP, broken_class
from policies._ledger import Lesson, lesson_of
from policies._marks import Marks, members
from policies.evidence import (
    BASELINE,
    Decision,
    Observation,
    TaskEvidence,
    Verdict,
)
from policies.steps import Decide, Judge, PossibleRun, Run, Step, TaskView


class VariantByVariant:
    """Pure code that decides about one variant at a time."""

    __slots__ = ()

    @abstractmethod
    def slots(self, stage: str, listed: int) -> tuple[int, ...]:
        """The slots whose seeds run at `stage`, given how many seeds the task lists."""

    @abstractmethod
    def after(self, stage: str, evidence: TaskEvidence) -> Decision:
        """What becomes of a variant whose runs at `stage`, and the baseline's, have ended."""

    @abstractmethod
    def verdict(self, evidence: TaskEvidence) -> Verdict:
        """How a variant fared that was pruned or held. An infrastructure failure is never a LOSER."""

    def next(self, view: TaskView) -> Step | None:
        """The next run, decision or verdict; None when every variant has its verdict."""
        marks = view.marks
        for place in members(_unfinished(view.stages, marks)):
            step = self._variant_step(view, marks.names[place])
            if step is not None:
                return step
        if marks.names:
            return None
        stages = (self._missing_run(view, stage, BASELINE) for stage in view.stages)
        return next((run for run in stages if run is not None), None)

    def possible_runs(self, view: TaskView) -> Iterator[PossibleRun]:
        """Every run that may still come: a variant is promoted as often as the task's others were so far."""
        if not view.variants:
            for stage in view.stages:
                yield from self._possible(view, stage, BASELINE, 1.0)
        share = promotion_share(view)
        arriving = dict.fromkeys(view.stages, 1.0)
        open_variants = dict(_open_variants(view))
        for current in open_variants.values():
            for index in range(current, len(view.stages)):
                arriving[view.stages[index]] *= 1.0 - share ** (index - current)
        begun: set[str] = set()
        for config, current in open_variants.items():
            for index in range(current, len(view.stages)):
                stage = view.stages[index]
                if stage not in begun:
                    begun.add(stage)
                    yield from self._possible(view, stage, BASELINE, 1.0 - arriving[stage])
                yield from self._possible(view, stage, config, share ** (index - current))

    def runs_ahead(self, view: TaskView) -> Iterator[PossibleRun]:
        """The same runs, those of variants in the same stage together."""
        marks, share = view.marks, promotion_share(view)
        by_stage = _open_by_stage(view.stages, marks)
        for index, stage in enumerate(view.stages):
            coming = {share ** (index - at): places for at, places in by_stage.items() if at <= index}
            if coming or not marks.names:
                nobody = math.prod((1.0 - chance) ** places.bit_count() for chance, places in coming.items())
                yield from self._possible(view, stage, BASELINE, 1.0 - nobody if marks.names else 1.0)
            for slot in self.slots(stage, view.listed_seeds) if coming else ():
                for chance, places in coming.items():
                    left = (places & ~marks.has_run(stage, slot)).bit_count()
                    if left:
                        yield PossibleRun(
                            stage=stage, config="(variants)", slot=slot, chance=chance, count=left
                        )

    def lesson(self, view: TaskView) -> Lesson:
        """What the baseline's seeds tell of the noise; those of the variants selected, and are no measure."""
        screens, confirms = view.stages[0], view.stages[min(1, len(view.stages) - 1)]
        alone = TaskRuns(
            objective=view.objective, baseline=view.baseline, variants={}, quick=screens, medium=confirms
        )
        return lesson_of(alone, only_measures=not view.variants)

    def _possible(self, view: TaskView, stage: str, config: str, chance: float) -> Iterator[PossibleRun]:
        for slot in self.slots(stage, view.listed_seeds):
            if view.run(stage, config, slot) is None:
                yield PossibleRun(stage=stage, config=config, slot=slot, chance=chance)

    def _variant_step(self, view: TaskView, config: str) -> Step | None:
        """The variant's next step; None when nothing is left to do for it."""
        for stage in view.stages:
            decided = view.decided(config, stage)
            if decided is None:
                return (
                    self._missing_run(view, stage, BASELINE)
                    or self._missing_run(view, stage, config)
                    or self._decide(view, config, stage)
                )
            if decided != "promoted":
                break
        if config in view.verdicts:
            return None
        return Judge(config=config, verdict=self.verdict(view.evidence(config)))

    def _missing_run(self, view: TaskView, stage: str, config: str) -> Run | None:
        for slot in self.slots(stage, view.listed_seeds):
            run = view.run(stage, config, slot)
            if run is None:
                return Run(stage=stage, config=config, slot=slot)
            if is_final(run):
                return None  # further seeds of a broken variant would only break again
        return None

    def _decide(self, view: TaskView, config: str, stage: str) -> Decide:
        evidence = view.evidence(config)
        return Decide(
            config=config, stage=stage, decision=self.after(stage, evidence), delta=evidence.delta(stage)
        )


def is_final(run: Observation) -> bool:
    """Whether further seeds would only repeat what a run showed: its variant is broken, or does nothing."""
    return broken_class([run]) is not None or run.stopped_by == STOPPED_AS_NO_OP


def promotion_share(view: TaskView) -> float:
    """The share of decided variants that was promoted, as if one had been promoted and one pruned before."""
    marks = view.marks
    promoted, pruned = marks.times("promoted"), marks.times("pruned")
    return (promoted + 1) / (promoted + pruned + 2)


def _unfinished(stages: Iterable[str], marks: Marks) -> int:
    """Variants without a verdict, and those of which something is open again that was decided before."""
    going_on, ended = marks.everyone, 0
    for stage in stages:
        ended |= going_on & (marks.was("pruned", stage) | marks.was("held", stage))
        going_on &= marks.was("promoted", stage)
    return marks.everyone & ~((ended | going_on) & marks.with_verdict)


def _open_variants(view: TaskView) -> Iterator[tuple[str, int]]:
    """Variants nothing final is decided about, each with the index of the stage it is in."""
    marks = view.marks
    stage_of = {
        place: current
        for current, places in _open_by_stage(view.stages, marks).items()
        for place in members(places)
    }
    return ((marks.names[place], stage_of[place]) for place in sorted(stage_of))


def _open_by_stage(stages: Iterable[str], marks: Marks) -> dict[int, int]:
    """The same as sets, by the index of the stage."""
    at = {0: marks.everyone & ~marks.with_verdict}
    for stage in stages:
        promoted, ended = marks.was("promoted", stage), marks.was("pruned", stage) | marks.was("held", stage)
        moved: dict[int, int] = {}
        for current, places in at.items():
            for index, part in ((current, places & ~promoted & ~ended), (current + 1, places & promoted)):
                moved[index] = moved.get(index, 0) | part
        at = moved
    return {current: places for current, places in at.items() if places}
