"""What does one task need next? Its policy says which run or decision; here that becomes a fact to record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from policies import Policy
from policies._ledger import learnt
from policies.evidence import Delta, Hold, Promote, Prune, UnmatchedError
from policies.steps import Decide, Freeze, Judge, Look, Run, Step, TaskView
from scheduler.decide import facts
from scheduler.decide.continuation import state_to_go_on_from, steps_to_keep_for
from scheduler.decide.failures import Again, InFlight, Limits
from scheduler.decide.moves import Move, Wait
from scheduler.decide.probing import probe_move
from scheduler.decide.state import RoundState, State
from scheduler.decide.task_baselines import TaskBaselines
from scheduler.decide.task_ends import TaskEnds
from scheduler.decide.task_identity import policy_of, protocols_of
from scheduler.decide.task_results import TaskResults
from scheduler.decide.task_state import TaskState
from scheduler.decide.task_view import task_view
from scheduler.rounds.identity import Device, RunKey, content_key, run_folder, slot_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlan:
    """The plan of one task, with what it needs at hand."""

    state: State
    current: RoundState
    task: TaskState
    device: Device
    policy: Policy
    #: protocol by stage, as things are now
    protocols: Mapping[str, str]
    limits: Limits

    @classmethod
    def of(cls, state: State, current: RoundState, task: TaskState, limits: Limits) -> TaskPlan:
        """The plan on the home's device."""
        device = next(iter(state.devices.values()))
        if current.round.fresh:
            limits = replace(limits, reuse_baselines=False, reuse_results=False)
        return cls(
            state=state,
            current=current,
            task=task,
            device=device,
            policy=policy_of(task.task),
            protocols=protocols_of(task, device),
            limits=limits,
        )

    @property
    def baselines(self) -> TaskBaselines:
        """What is stored of the task's baseline."""
        return TaskBaselines(state=self.state, task=self.task, protocols=self.protocols, limits=self.limits)

    @property
    def results(self) -> TaskResults:
        """What earlier rounds have of the task's runs."""
        return TaskResults(
            state=self.state,
            task=self.task,
            device=self.device,
            protocols=self.protocols,
            limits=self.limits,
        )

    @property
    def ends(self) -> TaskEnds:
        """The runs that ended."""
        return TaskEnds(
            round_id=self.round_id,
            state=self.state,
            task=self.task,
            results=self.results,
            protocols=self.protocols,
            limits=self.limits,
        )

    @property
    def round_id(self) -> str:
        return self.current.round.id

    def next_move(self) -> Move:
        """The task's next fact, or the run that is under way."""
        in_flight = self.task.in_flight
        if in_flight is not None:
            return Wait(reason=f"running {in_flight.id}")
        if self.task.probed is None:
            move = probe_move(self.round_id, self.task, self.device, self.limits, self.results)
            if move is not None:
                return move
        if self.task.begun is None:
            return self._begin()
        ends = self.ends
        due = ends.due()
        if due is not None:
            return due
        view = task_view(self.task, ends.over(), self.baselines.values())
        try:
            step = self.policy.next(view)
        except UnmatchedError as error:
            return self._incomparable(error)
        return self._finish(view) if step is None else self._fact(step, view)

    def _begin(self) -> facts.TaskBegun:
        """What is known is frozen; an equal task's runs are no news, and it begins as that one did."""
        signature = self.results.signature()
        earlier = self.results.beginning(signature)
        where: dict[str, Any] = {"round": self.round_id, "task": self.task.task.name}
        if earlier is not None:
            return replace(earlier, **where, taken_from=f"{earlier.round}/{earlier.task}")
        return facts.TaskBegun(
            **where,
            ledger=learnt(
                tuple(self.state.lessons.values()),
                self.task.task.objective,
                frozenset(self.protocols.values()),
            ),
            stored=self.baselines.fresh(),
            signature=signature,
        )

    def _incomparable(self, error: UnmatchedError) -> facts.TaskParked:
        """Runs of one protocol that were scored differently: no policy can go on from there."""
        return facts.TaskParked(
            round=self.round_id,
            task=self.task.task.name,
            failure_class="data",
            reason=str(error),
            remedy="let the trainer score every run alike, and submit the round under another id",
        )

    def _fact(self, step: Step, view: TaskView) -> Move:
        """The fact that a step of the policy becomes."""
        where: dict[str, Any] = {"round": self.round_id, "task": self.task.task.name}
        match step:
            case Run():
                return self._run(step)
            case Decide():
                return self._decision(step)
            case Freeze(stage=stage, confirm_set=confirm_set):
                return facts.ConfirmSetFrozen(**where, protocol=self.protocols[stage], **asdict(confirm_set))
            case Look(stage=stage):
                return facts.LookTaken(
                    **where,
                    protocol=self.protocols[stage],
                    look=step.look,
                    readings={name: asdict(each) for name, each in step.candidates.items()},
                    rejected=step.rejected,
                    futile=step.futile,
                    reasons=step.reasons,
                )
            case Judge(config=config, verdict=verdict):
                numbers = asdict(verdict)
                numbers["warnings"] = (*verdict.warnings, *self.results.warnings(view, config))
                return facts.VerdictReached(**where, config=config, verdict=numbers.pop("name"), **numbers)

    def _run(self, step: Run) -> Move:
        seed = slot_seed(self.task.task.seeds, step.slot, self.protocols[step.stage])
        key = RunKey(task=self.task.task.name, stage=step.stage, config=step.config, seed=seed)
        match self.ends.standing_of(key):
            case Again(attempt=attempt):
                wanted = self._intended(key, step.slot, attempt)
                return self.baselines.stored_end(wanted) or self.results.earlier_end(wanted) or wanted
            case InFlight(attempt=in_flight):
                return Wait(reason=f"running {in_flight.id}")
            case other:
                raise AssertionError(f"the policy asks for {key}, which is {type(other).__name__}")

    def _intended(self, key: RunKey, slot: int, attempt: int) -> facts.RunIntended:
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
            keep_for_steps=steps_to_keep_for(self.task, key.stage, slot),
            continue_from=state_to_go_on_from(self.task, key, self.protocols),
            drifts=self.state.baselines.drifts.get(protocol, 0),
        )

    def _decision(self, step: Decide) -> facts.VariantFact:
        common: dict[str, Any] = {
            "round": self.round_id,
            "task": self.task.task.name,
            "stage": step.stage,
            "config": step.config,
            "protocol": self.protocols[step.stage],
            "reason": step.decision.reason,
            "chance": step.chance,
            **_numbers(step.delta),
        }
        match step.decision:
            case Prune():
                return facts.VariantPruned(**common)
            case Promote():
                return facts.VariantPromoted(**common, to_stage=step.to_stage or self._after(step.stage))
            case Hold():
                return facts.VariantHeld(**common)

    def _after(self, stage: str) -> str:
        stages = list(self.protocols)
        return stages[stages.index(stage) + 1]

    def _finish(self, view: TaskView) -> facts.Fact:
        """The task's lesson for later rounds, and then its end."""
        source = f"{self.round_id}/{self.task.task.name}"
        lesson = self.policy.lesson(view)
        # one that equals another's is of the same runs, bit for bit: a repeated seed is no evidence
        if lesson.is_empty or lesson in self.state.lessons.values():
            return facts.TaskFinished(round=self.round_id, task=self.task.task.name)
        return facts.LessonLearnt(source=source, lesson=lesson)


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
