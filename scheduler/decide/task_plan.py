"""What does one task need next? Its variants go through their stages one after the other; the baseline runs
at a stage when the first variant needs it there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from policies import Policy, make_policy
from policies.evidence import BROKEN_CLASSES, Delta, Hold, Promote, Prune, TaskEvidence
from scheduler.decide import facts
from scheduler.decide.failures import (
    Again,
    InFlight,
    Limits,
    LowerBatch,
    Over,
    Park,
    Standing,
    is_same_failure,
    standing,
)
from scheduler.decide.moves import Move, Wait, first_line, how_it_failed, parked
from scheduler.decide.probing import probe_move
from scheduler.decide.state import RoundState, State, TaskState
from scheduler.rounds.identity import Device, RunKey, content_key, protocol_of, run_folder, slot_seed
from scheduler.rounds.round import BASELINE


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlan:
    """The plan of one task, with what it needs at hand."""

    current: RoundState
    task: TaskState
    device: Device
    policy: Policy
    #: protocol by stage, as things are now
    protocols: dict[str, str]
    limits: Limits

    @classmethod
    def of(cls, state: State, current: RoundState, task: TaskState, limits: Limits) -> TaskPlan:
        """The plan on the home's device."""
        device = next(iter(state.devices.values()))
        protocols = {
            stage.name: protocol_of(task.task, task.budget(stage.name), task.bsz, device)
            for stage in task.task.stages
        }
        return cls(
            current=current,
            task=task,
            device=device,
            policy=make_policy(task.task.policy.name, task.task.policy.options),
            protocols=protocols,
            limits=limits,
        )

    @property
    def stages(self) -> tuple[str, ...]:
        return tuple(self.protocols)

    def next_move(self) -> Move:
        """The task's next fact, or the run that is under way."""
        if self.task.probed is None:
            move = probe_move(self.round_id, self.task, self.device, self.limits)
            if move is not None:
                return move
        for variant in self.task.task.variants:
            move = self._variant_move(variant.name)
            if move is not None:
                return move
        if not self.task.task.variants:
            for stage in self.stages:
                move = self._runs_move(stage, BASELINE)
                if move is not None:
                    return move
        return facts.TaskFinished(round=self.round_id, task=self.task.task.name)

    @property
    def round_id(self) -> str:
        return self.current.round.id

    def evidence(self, config: str) -> TaskEvidence:
        """Runs of `config` and of the baseline in the protocols of now."""
        current = set(self.protocols.items())
        return TaskEvidence(
            objective=self.task.task.objective,
            stages=self.stages,
            variant=tuple(o for o in self.task.observations(config) if (o.stage, o.protocol) in current),
            baseline=tuple(o for o in self.task.observations(BASELINE) if (o.stage, o.protocol) in current),
        )

    def _variant_move(self, config: str) -> Move | None:
        """The variant's next fact; None when nothing is left to do for it."""
        for stage in self.stages:
            decision = self._decision(config, stage)
            if decision is None:
                return (
                    self._runs_move(stage, BASELINE)
                    or self._runs_move(stage, config)
                    or self._decide(config, stage)
                )
            if not isinstance(decision, facts.VariantPromoted):
                break
        if config in self.task.verdicts:
            return None
        verdict = self.policy.verdict(self.evidence(config))
        return facts.VerdictReached(
            round=self.round_id,
            task=self.task.task.name,
            config=config,
            verdict=verdict.name,
            reason=verdict.reason,
        )

    def _decision(self, config: str, stage: str) -> facts.VariantFact | None:
        """The decision about `config` after `stage` in the protocol of now."""
        for fact in self.task.decisions.get(config, ()):
            if fact.stage == stage and fact.protocol == self.protocols[stage]:
                return fact
        return None

    def _runs_move(self, stage: str, config: str) -> Move | None:
        """What the runs of `config` at `stage` still need; None when all have ended."""
        slots = self.policy.slots(stage, len(self.task.task.seeds))
        for slot in slots:
            seed = slot_seed(self.task.task.seeds, slot, self.protocols[stage])
            key = RunKey(task=self.task.task.name, stage=stage, config=config, seed=seed)
            now = self._standing(key, self.protocols[stage])
            move = self._run_move(key, slot, now)
            if move is not None:
                return move
            if isinstance(now, Over) and now.run.failure_class in BROKEN_CLASSES:
                return None  # further seeds of a broken variant would only break again
        return None

    def _standing(self, key: RunKey, protocol: str) -> Standing:
        counted = tuple(a for a in self.task.counted(key) if a.intended.protocol == protocol)
        return standing(self.task, counted, len(self.task.attempts.get(key, ())), self.limits)

    def _run_move(self, key: RunKey, slot: int, now: Standing) -> Move | None:
        match now:
            case Again(attempt=attempt):
                return self._intend(key, slot, attempt)
            case InFlight(attempt=in_flight):
                return Wait(reason=f"running {in_flight.id}")
            case LowerBatch(run=run, bsz=bsz):
                reason = f"out of memory at bsz={run.bsz} ({run.stage} {run.config} s{run.seed})"
                return facts.TaskRebatched(round=self.round_id, task=key.task, bsz=bsz, reason=reason)
            case Park(run=run, remedy=remedy):
                return parked(run, first_line(run.error), remedy)
            case Over(run=run) if run.has_failed or (key.config == BASELINE and run.value is None):
                return self._breaker(key, run)
            case Over():
                return None

    def _breaker(self, key: RunKey, run: facts.RunFinished) -> Move | None:
        """Park the task when the failure is not the variant's alone: it would fail every variant alike."""
        if key.config == BASELINE:
            reason = f"the baseline {how_it_failed(run)}, so that nothing can be compared"
            return parked(run, reason, _baseline_remedy(run))
        names = [variant.name for variant in self.task.task.variants]
        position = names.index(key.config)
        if position == 0 or run.failure_class == "nan":
            return None
        before = self.task.attempts.get(replace(key, config=names[position - 1]), ())
        last = before[-1].finished if before else None
        if last is None or not last.has_failed or before[-1].id in self.task.forgiven:
            return None
        if not is_same_failure(last, run):
            return None
        reason = f"{last.config} and {run.config} failed alike: {first_line(run.error)}"
        return parked(run, reason, "mend what both have in common, then retry")

    def _intend(self, key: RunKey, slot: int, attempt: int) -> facts.RunIntended:
        protocol = self.protocols[key.stage]
        config = self.task.task.variant(key.config).config
        return facts.RunIntended(
            round=self.round_id,
            **asdict(key),
            attempt=attempt,
            slot=slot,
            device=self.device.id,
            bsz=self.task.bsz,
            budget=asdict(self.task.budget(key.stage)),
            protocol=protocol,
            content_key=content_key(protocol, config, key.seed),
            run_dir=run_folder(key, attempt),
        )

    def _decide(self, config: str, stage: str) -> facts.VariantFact:
        evidence = self.evidence(config)
        decision = self.policy.after(stage, evidence)
        common: dict[str, Any] = {
            "round": self.round_id,
            "task": self.task.task.name,
            "stage": stage,
            "config": config,
            "protocol": self.protocols[stage],
            "reason": decision.reason,
            **_numbers(evidence.delta(stage)),
        }
        match decision:
            case Prune():
                return facts.VariantPruned(**common)
            case Promote():
                following = self.stages[self.stages.index(stage) + 1]
                return facts.VariantPromoted(**common, to_stage=following)
            case Hold():
                return facts.VariantHeld(**common)


def _numbers(delta: Delta | None) -> dict[str, Any]:
    """The numbers of a decision, as its record carries them."""
    if delta is None:
        return {}
    return {
        "d_acc": delta.mean,
        "sd": delta.sd,
        "per_seed": delta.per_seed,
        "signs": delta.signs,
        "variant_mean": delta.variant_mean,
        "baseline_mean": delta.baseline_mean,
        "is_speed_effect": delta.is_speed_effect,
    }


def _baseline_remedy(run: facts.RunFinished) -> str:
    if run.status == "timed_out":
        return "raise time_budget_sec, or evaluate earlier, and submit a new round"
    return "see error.txt of the run, mend its cause, then retry"
