"""What does one task need next? Its policy says which run or decision; here that becomes a fact to record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from policies import Policy
from policies._ledger import learnt
from policies._marks import members, union
from policies.evidence import Delta, Hold, Promote, Prune, UnmatchedError
from policies.steps import Decide, Freeze, Judge, Look, Run, Step, TaskView
from scheduler.decide import facts
from scheduler.decide.continuation import state_to_go_on_from, steps_to_keep_for
from scheduler.decide.failures import (
    Again,
    InFlight,
    Limits,
    LowerBatch,
    Over,
    Park,
    Standing,
    ends_for_good,
    is_same_failure,
    standing,
)
from scheduler.decide.moves import Move, Wait, first_line, how_it_failed, parked
from scheduler.decide.probing import probe_move
from scheduler.decide.run_marks import RunMark
from scheduler.decide.state import PROBE_STAGE, Attempt, RoundState, State, TaskState
from scheduler.decide.task_baselines import TaskBaselines
from scheduler.decide.task_identity import policy_of, protocols_of
from scheduler.decide.task_results import TaskResults
from scheduler.decide.task_view import RunsOver, task_view
from scheduler.rounds.identity import Device, RunKey, content_key, run_folder, slot_seed
from scheduler.rounds.round import BASELINE


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
        due = self._due_after_ends()
        if due is not None:
            return due
        view = task_view(self.task, self._over(), self.baselines.values())
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
            ledger=learnt(tuple(self.state.lessons.values()), self.task.task.objective),
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

    def _over(self) -> RunsOver:
        """The runs that are over."""
        places: dict[tuple[str, int], int] = {}
        for mark, marked in self.task.runs.items():
            if mark.protocol == self.protocols.get(mark.stage):
                ended = marked if ends_for_good(self.task, mark, self.limits) else 0
                if mark.is_cached and (self.state.baselines.forgotten or self.state.baselines.drifts):
                    ended = sum(1 << place for place in members(ended) if self._is_over(mark, place))
                if ended:
                    places[mark.stage, mark.slot] = places.get((mark.stage, mark.slot), 0) | ended
        return RunsOver(
            protocols=self.protocols,
            end_of=self._end_of,
            places=places,
            known_by=(
                self.limits.max_attempts,
                self.state.baselines.forgotten,
                tuple(self.state.baselines.drifts.items()),
            ),
        )

    def _end_of(self, key: RunKey) -> facts.RunFinished | None:
        stands = self._standing(key)
        return stands.run if isinstance(stands, Over) else None

    def _is_over(self, mark: RunMark, place: int) -> bool:
        """Whether the run of that stage and slot is over, of the variant at `place`."""
        keys = self.task.keys[self.task.task.names[place]]
        ends = (self._end_of(key) for key in keys if key.stage == mark.stage)
        return any(end is not None and end.slot == mark.slot for end in ends)

    def _due_after_ends(self) -> Move | None:
        """What follows from how a run ended, of the first one of which anything does.

        Of the variants' runs, those that failed are looked at by how they failed, and hardly any by itself.
        """
        failed = {mark: places for mark, places in self.task.runs.items() if mark.has_failed}
        is_due = any(
            self._is_due_after_failures(mark, places, failed)
            for mark, places in failed.items()
            if mark.protocol == self.protocols.get(mark.stage)
        )
        moves = map(self._ended, self.task.attempts if is_due else self.task.keys.get(BASELINE, ()))
        return next((move for move in moves if move is not None), None)

    def _is_due_after_failures(self, mark: RunMark, places: int, failed: Mapping[RunMark, int]) -> bool:
        ends = ends_for_good(self.task, mark, self.limits)
        if ends is None:
            return True
        neighbours = union(each << 1 for other, each in failed.items() if other.stage == mark.stage)
        names = self.task.task.names
        return ends and any(
            self._ended(key) is not None
            for place in members(places & neighbours)
            for key in self.task.keys[names[place]]
        )

    def _ended(self, key: RunKey) -> Move | None:
        """What follows from how a run ended."""
        if key.stage == PROBE_STAGE:
            return None
        match self._standing(key):
            case LowerBatch(run=run, bsz=bsz):
                reason = f"out of memory at bsz={run.bsz} ({run.stage} {run.config} s{run.seed})"
                probe = self.task.probed.signature if self.task.probed is not None else ""
                return facts.TaskRebatched(
                    round=self.round_id, task=key.task, bsz=bsz, reason=reason, signature=probe
                )
            case Park(run=run, remedy=remedy):
                return parked(run, first_line(run.error), remedy)
            case Over(run=run):
                if run.has_failed or (key.config == BASELINE and run.value is None):
                    return self._breaker(key, run)
                return self.baselines.settled(run) if key.config == BASELINE else None
        return None

    def _standing(self, key: RunKey) -> Standing:
        protocol = self.protocols[key.stage]
        counted = tuple(
            attempt
            for attempt in self.task.counted(key)
            if attempt.intended.protocol == protocol and not self._is_out_of_date(attempt)
        )
        return standing(self.task, counted, len(self.task.attempts.get(key, ())), self.limits)

    def _is_out_of_date(self, attempt: Attempt) -> bool:
        """Whether it was reused, and a drift has been seen since."""
        run = attempt.finished
        if run is None or run.cached_from is None:
            return False
        return self.state.baselines.is_forgotten(run) or self.results.is_from_before_a_drift(run)

    def _breaker(self, key: RunKey, run: facts.RunFinished) -> Move | None:
        """Park the task when the failure is not the variant's alone: it would fail every variant alike."""
        if key.config == BASELINE:
            reason = f"the baseline {how_it_failed(run)}, so that nothing can be compared"
            return parked(run, reason, _baseline_remedy(run))
        place = self.task.task.places[key.config]
        if place == 0 or run.failure_class == "nan":
            return None
        before = self.task.attempts.get(replace(key, config=self.task.task.names[place - 1]), ())
        last = before[-1].finished if before else None
        if last is None or not last.has_failed or before[-1].id in self.task.forgiven:
            return None
        if not is_same_failure(last, run):
            return None
        reason = f"{last.config} and {run.config} failed alike: {first_line(run.error)}"
        return parked(run, reason, "mend what both have in common, then retry")

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
                )
            case Judge(config=config, verdict=verdict):
                numbers = asdict(verdict)
                numbers["warnings"] = (*verdict.warnings, *self.results.warnings(view, config))
                return facts.VerdictReached(**where, config=config, verdict=numbers.pop("name"), **numbers)

    def _run(self, step: Run) -> Move:
        seed = slot_seed(self.task.task.seeds, step.slot, self.protocols[step.stage])
        key = RunKey(task=self.task.task.name, stage=step.stage, config=step.config, seed=seed)
        match self._standing(key):
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


def _baseline_remedy(run: facts.RunFinished) -> str:
    if run.status == "timed_out":
        return "raise time_budget_sec, or evaluate earlier, and submit a new round"
    return "see error.txt of the run, mend its cause, then retry"
