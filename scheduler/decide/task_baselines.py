"""What does the baseline store mean for one task? Runs it may take, runs it adds, and the noise they tell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from policies._stop_rules import StopRules
from policies._variance import noise_kind
from scheduler.decide import baseline_store, facts
from scheduler.decide.failures import Limits
from scheduler.decide.state import State, count_reused
from scheduler.decide.task_identity import families_of
from scheduler.decide.task_state import TaskState
from scheduler.rounds.identity import slot_seed
from scheduler.rounds.round import BASELINE


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskBaselines:
    """The store, as one task sees it."""

    state: State
    task: TaskState
    #: by stage, as things are now
    protocols: Mapping[str, str]
    limits: Limits

    def stored_end(self, wanted: facts.RunIntended) -> facts.RunFinished | None:
        """The end of an equal run of the baseline that is stored; None where it has to be run."""
        if wanted.config != BASELINE or not self.limits.reuse_baselines:
            return None
        kept = self.state.baselines.find(self._family(wanted.stage), wanted.seed)
        if kept is None or (self._needs_scores and not kept.has_scores) or self._is_check_due():
            return None
        return baseline_store.reused(kept.run, wanted)

    def settled(self, run: facts.RunFinished) -> facts.LedgerFact | None:
        """What later rounds are to know of a baseline's run that is over; None when they know it already."""
        is_whole = run.status == "ok" and run.value is not None and math.isfinite(run.value)
        is_sound = is_whole and run.contaminated is None
        if not is_sound or not self.task.task.identity.is_complete or self.state.baselines.is_settled(run):
            return None
        is_checking = self.limits.baseline_check_every > 0
        return baseline_store.settled_by(
            self.state.baselines,
            run,
            family=self._family(run.stage),
            objective=self.task.task.objective,
            has_scores=self._needs_scores,
            is_checking=is_checking,
            expected=self._expected(run) if is_checking else None,
        )

    def values(self) -> dict[str, Mapping[int, float]]:
        """The metric of every stored run of the baseline, raw, by stage and seed."""
        store = self.state.baselines
        return {stage: store.values(self._family(stage)) for stage in self.protocols}

    def fresh(self) -> dict[str, dict[str, float]]:
        """Those that may tell of noise, by protocol and seed: slot 0 selects, and stays out of verdicts."""
        found = {}
        for stage, values in self.values().items() if self.limits.reuse_baselines else ():
            protocol = self.protocols[stage]
            screening = slot_seed(self.task.task.seeds, 0, protocol)
            found[protocol] = {str(seed): value for seed, value in values.items() if seed != screening}
        return {protocol: values for protocol, values in found.items() if values}

    def _expected(self, run: facts.RunFinished) -> tuple[float, float] | None:
        """Where the run should have ended, by what is stored."""
        if self.task.begun is None:
            return None
        stages = [stage.name for stage in self.task.task.stages if stage.name != "confirm"]
        return baseline_store.expected_value(
            self.state.baselines.values(self._family(run.stage)),
            run.seed,
            objective=self.task.task.objective,
            stage=noise_kind(run.stage, stages[0], stages[min(1, len(stages) - 1)]),
            ledger=self.task.begun.ledger,
        )

    def _is_check_due(self) -> bool:
        """Whether this reuse is the one in so many that is run anew instead."""
        every = self.limits.baseline_check_every
        return every > 0 and (count_reused(self.state) + self.state.baselines.checks + 1) % every == 0

    def _family(self, stage: str) -> str:
        return families_of(self.task.task, self.protocols)[stage]

    @property
    def _needs_scores(self) -> bool:
        """Whether a rule of the task reads the scores of every evaluation in a run's folder."""
        return StopRules.of(self.task.task.policy.options).needs_scores
