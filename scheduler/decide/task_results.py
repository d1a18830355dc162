"""What do earlier rounds mean for one task? Runs, a probe and a beginning that it may take over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TypeVar

from policies.steps import TaskView
from scheduler.decide import facts
from scheduler.decide.actions import FetchResult
from scheduler.decide.baseline_store import family_of, reused
from scheduler.decide.failures import Limits
from scheduler.decide.result_cache import Shelf, needs_scores, rules_of
from scheduler.decide.state import State
from scheduler.decide.task_state import TaskState
from scheduler.rounds.identity import Device, RunKey, content_key, digest
from scheduler.rounds.round import BASELINE

Origin = TypeVar("Origin", Shelf, facts.TaskProbed, facts.TaskBegun)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResults:
    """The results of all rounds, as one task sees them."""

    state: State
    task: TaskState
    device: Device
    #: by stage, as things are now
    protocols: Mapping[str, str]
    limits: Limits

    def earlier_end(self, wanted: facts.RunIntended) -> facts.RunFinished | FetchResult | None:
        """The end of an equal run, or how to look it up; None where the run has to be made."""
        shelf = self.shelf_of(wanted.config, wanted.stage, wanted.seed)
        if shelf is None:
            return None
        found = self.state.live.fetched.get(wanted.content_key)
        if found is not None and found.round == shelf.round and found.run is not None:
            return reused(found.run, wanted)
        return FetchResult(
            round=shelf.round,
            content_key=wanted.content_key,
            status=shelf.status,
            needs_scores=self._needs_scores,
        )

    def shelf_of(self, config: str, stage: str, seed: int) -> Shelf | None:
        """Where the newest equal run lies that may be reused; a whole one before one that was stopped."""
        protocol = self.protocols[stage]
        if not self._is_asked(config, protocol, seed):
            return None
        key = content_key(protocol, self.task.task.variant(config).config, seed)
        drifts, spoiled = self.state.baselines.drifts.get(protocol, 0), self.state.live.spoiled
        shelves = [
            shelf
            for shelf in self.state.results.find(key)
            if self._is_fit(shelf, drifts) and (shelf.round, key) not in spoiled
        ]
        whole = [shelf for shelf in shelves if shelf.status == "ok"]
        return self._newest(whole or shelves)

    def is_from_before_a_drift(self, run: facts.RunFinished) -> bool:
        """Whether a run that was reused is one that would not be any more."""
        return run.config != BASELINE and run.drifts < self.state.baselines.drifts.get(run.protocol, 0)

    def probe_signature(self) -> str:
        """Digest of all that a probe of the task depends on; empty where nobody can tell."""
        task = self.task.task
        if not task.identity.is_complete:
            return ""
        told = {
            "trainer": task.trainer,
            "identity": asdict(task.identity),
            "args": task.args,
            "config": task.variant(task.costliest).config,
            "bsz": task.bsz,
            "stages": [[stage.name, asdict(stage.budget)] for stage in task.stages],
            "device": asdict(self.device),
        }
        return digest(told)

    def probed(self, signature: str) -> facts.TaskProbed | None:
        """What the newest probe of an equal task found."""
        if not signature or not self.limits.reuse_results:
            return None
        return self._newest(self.state.results.probed(signature))

    def signature(self) -> str:
        """Digest of all that the task's decisions depend on, its runs aside; empty where nobody can tell."""
        task = self.task.task
        if not task.identity.is_complete:
            return ""
        drifts = self.state.baselines.drifts
        told = {
            "rules": rules_of(task, ask_others=True),
            "stages": [(stage.name, stage.independent_examples) for stage in task.stages],
            "protocols": [(name, drifts.get(name, 0)) for name in self.protocols.values()],
        }
        return digest(told)

    def beginning(self, signature: str) -> facts.TaskBegun | None:
        """With what the newest equal task began, of which this one can reuse every run."""
        if not signature or not self.limits.reuse_results:
            return None
        return self._newest(self.state.results.begun(signature))

    def warnings(self, view: TaskView, config: str) -> tuple[str, ...]:
        """What is to be said of a verdict that no new run has a part in."""
        own = view.runs(config)
        stages = {run.stage for run in own}
        runs = [*own, *(run for run in view.baseline if run.stage in stages)]
        if not own or not all(run.is_reused for run in runs):
            return ()
        keys = (
            RunKey(task=self.task.task.name, stage=run.stage, config=run.config, seed=run.seed) for run in own
        )
        ends = (attempt.finished for key in keys for attempt in self.task.attempts.get(key, ())[-1:])
        rounds = sorted({end.made_by for end in ends if end is not None and end.made_by is not None})
        return (f"rests on runs of round {', '.join(rounds)}; no new evidence",)

    @property
    def _needs_scores(self) -> bool:
        return needs_scores(self.task.task)

    def _is_asked(self, config: str, protocol: str, seed: int) -> bool:
        """Whether an earlier run counts. Of a stored baseline the store decides: a check may be due."""
        task = self.task.task
        if not task.identity.is_complete or not self.limits.reuse_results:
            return False
        if config != BASELINE:
            return True
        family = family_of(protocol, task.baseline.config, task.objective.metric)
        return self.limits.reuse_baselines and self.state.baselines.find(family, seed) is None

    def _is_fit(self, shelf: Shelf, drifts: int) -> bool:
        task = self.task.task
        if shelf.metric != task.objective.metric or shelf.drifts != drifts:
            return False
        if self._needs_scores and not shelf.has_scores:
            return False
        return shelf.status == "ok" or shelf.rules in (
            rules_of(task, ask_others=False),
            rules_of(task, ask_others=True),
        )

    def _newest(self, found: Iterable[Origin]) -> Origin | None:
        """Of the round that was accepted last. The order in which they ended is not the same in a replay."""
        known = list(found)
        if len(known) < 2:
            return known[0] if known else None
        place = {name: number for number, name in enumerate(self.state.accepted)}
        return max(known, key=lambda each: place.get(each.round, -1))
