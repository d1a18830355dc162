"""How do conditions compare? All of them seed by seed, so that a campaign cut short has whole pairs.

The stages before the last are for finding out what does not work: every config runs them with its first seed.
At the last stage all run the first seed, then all the second, and so on; nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from policies._measured import Measured
from policies.evidence import BASELINE
from policies.steps import Judge, PossibleRun, Run, Step, TaskView
from policies.variant_by_variant import is_final

#: further seeds beyond those listed that anyone has use for
MOST_MORE_SEEDS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(Measured):
    """Run every condition on the same seeds, interleaved."""

    #: seeds beyond the listed ones at the last stage; declared here, never added because of a result
    more_seeds: int = 0

    def __post_init__(self) -> None:
        if type(self.more_seeds) is not int or not 0 <= self.more_seeds <= MOST_MORE_SEEDS:
            raise ValueError(
                f"more_seeds: must be a whole number from 0 to {MOST_MORE_SEEDS} (found {self.more_seeds!r})"
            )

    def next(self, view: TaskView) -> Step | None:
        """The next run by stage, seed and config; decisions after each stage, verdicts at the end."""
        alive = list(view.variants)
        for stage in view.stages:
            run = next(self._missing(view, stage, alive), None)
            if run is not None:
                return run
            for config in alive:
                if view.decided(config, stage) is None:
                    return self._decide(view, config, stage)
            alive = [config for config in alive if view.decided(config, stage) == "promoted"]
            if not alive and view.variants:
                break
        for config in view.variants:
            if config not in view.verdicts:
                return Judge(config=config, verdict=self.verdict(view.evidence(config)))
        return None

    def slots(self, stage: str, listed: int) -> tuple[int, ...]:
        """Those of the last stage."""
        return tuple(range(listed + self.more_seeds))

    def possible_runs(self, view: TaskView) -> Iterator[PossibleRun]:
        """Every run that is left, in its order; nothing but a config that breaks can spare one."""
        alive = [config for config in view.variants if not self._has_ended(view, config)]
        if view.variants and not alive:
            return
        for stage in view.stages:
            for run in self._missing(view, stage, alive):
                yield PossibleRun(stage=run.stage, config=run.config, slot=run.slot, chance=1.0)

    def runs_ahead(self, view: TaskView) -> Iterator[PossibleRun]:
        """The same: there are few conditions, and their order tells them apart."""
        return self.possible_runs(view)

    def _missing(self, view: TaskView, stage: str, alive: list[str]) -> Iterator[Run]:
        """The runs of a stage that are not over, seed by seed, the baseline first."""
        is_last = stage == view.stages[-1]
        for slot in self.slots(stage, view.listed_seeds) if is_last else (0,):
            for config in (BASELINE, *alive):
                is_over = view.run(stage, config, slot) is not None
                # further seeds of a broken config would only break again
                if not is_over and not any(is_final(run) for run in view.runs(config) if run.stage == stage):
                    yield Run(stage=stage, config=config, slot=slot)

    def _has_ended(self, view: TaskView, config: str) -> bool:
        return config in view.verdicts or any(
            view.decided(config, stage) not in (None, "promoted") for stage in view.stages
        )
