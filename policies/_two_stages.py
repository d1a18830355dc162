"""What do searches share that screen at one stage and confirm at another?"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from policies._marks import Marks
from policies.evidence import BASELINE, Hold
from policies.steps import Decide, Run, Step, TaskView


@dataclass(frozen=True, kw_only=True)
class TwoStages:
    """One task, by the stage that screens, the one that confirms on fresh seeds, and those after it."""

    view: TaskView

    @functools.cached_property
    def stages(self) -> tuple[str, ...]:
        """`confirm` is medium on fresh seeds, and no stage of its own."""
        return tuple(stage for stage in self.view.stages if stage != "confirm")

    @property
    def quick(self) -> str:
        return self.stages[0]

    @property
    def medium(self) -> str:
        """The stage that confirms; a task with one stage screens and confirms there."""
        return self.stages[min(1, len(self.stages) - 1)]

    @functools.cached_property
    def marks(self) -> Marks:
        return self.view.marks

    def _missing(self, stage: str, config: str, slots: tuple[int, ...]) -> Run | None:
        missing = (slot for slot in slots if self.view.run(stage, config, slot) is None)
        return next((Run(stage=stage, config=config, slot=slot) for slot in missing), None)

    def _listed_baselines(self) -> Step | None:
        """A task without variants measures: every listed seed, at every stage."""
        slots = tuple(range(self.view.listed_seeds))
        runs = (self._missing(stage, BASELINE, slots) for stage in self.stages)
        return next((run for run in runs if run is not None), None)

    def _long(self) -> Step | None:
        """Winners alone go on to the stages after medium, with a baseline of their own there."""
        if not self.stages[2:] or not self.marks.judged.get("WINNER"):
            return None
        winners = [name for name, verdict in self.view.verdicts.items() if verdict == "WINNER"]
        for stage in self.stages[2:]:
            for name in winners:
                if self.view.decided(name, stage) is not None:
                    continue
                missing = self._missing(stage, BASELINE, (1,)) or self._missing(stage, name, (1,))
                if missing is not None:
                    return missing
                claim = Hold(reason=f"one seed at {stage}: a claim of its own, beside the verdict")
                delta = self.view.evidence(name).delta(stage)
                return Decide(config=name, stage=stage, decision=claim, delta=delta)
        return None
