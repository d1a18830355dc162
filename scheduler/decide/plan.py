"""What comes next? One fact to record: a decision that is due, or the run to make; or the reason to wait.

A round goes through its tasks in order, a task through its variants in order, a variant through its stages;
the baseline runs at a stage when the first variant needs it there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from policies import Policy, make_policy
from policies.evidence import BROKEN_CLASSES, Delta, Hold, Promote, Prune, TaskEvidence
from scheduler.decide import events
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
from scheduler.decide.state import PROBE_CONFIG, PROBE_STAGE, RoundState, State, TaskState
from scheduler.rounds.identity import Device, RunKey, content_key, protocol_of, run_folder, slot_seed
from scheduler.rounds.round import BASELINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing can be recorded now."""

    reason: str
    #: True when nothing is left to do at all
    is_idle: bool = False


Move = events.Fact | Wait


def next_move(state: State, limits: Limits) -> Move:
    """The next fact that is due, or why there is none."""
    if not state.devices:
        return Wait(reason="no device")
    waits = []
    for round_state in _in_order(state):
        move = _round_move(state, round_state, limits)
        if not isinstance(move, Wait):
            return move
        waits.append(move)
        if _needs_the_device(move):
            break
    return waits[0] if waits else Wait(reason="the queue is empty", is_idle=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _DeviceWait(Wait):
    """A run is due and its device cannot take it; nothing else could start either."""


def _needs_the_device(wait: Wait) -> bool:
    return isinstance(wait, _DeviceWait)


def _in_order(state: State) -> Iterator[RoundState]:
    """Unfinished rounds: higher priority first, then in order of acceptance."""
    unfinished = [r for r in state.rounds.values() if r.finished is None]
    yield from sorted(unfinished, key=lambda r: -r.round.priority)


def _round_move(state: State, current: RoundState, limits: Limits) -> Move:
    if current.cancelled is not None:
        return _cancelled_round_move(current)
    missing = [r for r in current.round.after if r not in state.rounds or state.rounds[r].finished is None]
    if missing:
        return Wait(reason=f"round {current.round.id} waits for {', '.join(missing)} to finish")
    waits: list[Wait] = []
    for task in current.tasks.values():
        if task.parked is not None or task.is_finished:
            continue
        if f"{current.round.id}/{task.task.name}" in state.live.backing_off:
            waits.append(
                Wait(reason=f"task {task.task.name} waits before another try after a network failure")
            )
            continue
        move = TaskPlan.of(state, current, task, limits).next_move()
        if isinstance(move, events.RunIntended):
            wait = _why_no_start(state, move.device)
            return move if wait is None else _DeviceWait(reason=wait)
        return _DeviceWait(reason=move.reason) if isinstance(move, Wait) else move
    if waits:
        return waits[0]
    is_parked = any(task.parked is not None for task in current.tasks.values())
    return events.RoundFinished(round=current.round.id, outcome="parked" if is_parked else "finished")


def _cancelled_round_move(current: RoundState) -> Move:
    in_flight = any(
        attempt.finished is None
        for task in current.tasks.values()
        for attempts in task.attempts.values()
        for attempt in attempts
    )
    if in_flight:
        return Wait(reason=f"round {current.round.id} is being cancelled")
    return events.RoundFinished(round=current.round.id, outcome="cancelled")


def _why_no_start(state: State, device: str) -> str | None:
    """Why no run may start on `device` now; None when one may."""
    if state.live.stopping is not None:
        return f"the daemon is stopping: {state.live.stopping}"
    if state.draining is not None:
        return f"draining: {state.draining}"
    if state.paused is not None:
        return f"paused: {state.paused}"
    if device in state.dirty:
        return f"{device} is dirty: {state.dirty[device]}"
    if state.live.waits:
        return "; ".join(state.live.waits.values())
    if any(worker.device == device for worker in state.live.workers.values()):
        return "the previous run's process is ending"
    return None


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
        if self.task.probed is None and self._needs_probe():
            return self._probe_move()
        for variant in self.task.task.variants:
            move = self._variant_move(variant.name)
            if move is not None:
                return move
        if not self.task.task.variants:
            for stage in self.stages:
                move = self._runs_move(stage, BASELINE)
                if move is not None:
                    return move
        return events.TaskFinished(round=self.round_id, task=self.task.task.name)

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
            if not isinstance(decision, events.VariantPromoted):
                break
        if config in self.task.verdicts:
            return None
        verdict = self.policy.verdict(self.evidence(config))
        return events.VerdictReached(
            round=self.round_id,
            task=self.task.task.name,
            config=config,
            verdict=verdict.name,
            reason=verdict.reason,
        )

    def _decision(self, config: str, stage: str) -> events.VariantFact | None:
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
                return events.TaskRebatched(round=self.round_id, task=key.task, bsz=bsz, reason=reason)
            case Park(run=run, remedy=remedy):
                return self._park(run, _first_line(run.error), remedy)
            case Over(run=run) as over if over.is_failure or (key.config == BASELINE and run.value is None):
                return self._breaker(key, run)
            case Over():
                return None

    def _breaker(self, key: RunKey, run: events.RunFinished) -> Move | None:
        """Park the task when the failure is not the variant's alone: it would fail every variant alike."""
        if key.config == BASELINE:
            reason = f"the baseline {_how(run)}, so that nothing can be compared"
            return self._park(run, reason, _baseline_remedy(run))
        names = [variant.name for variant in self.task.task.variants]
        position = names.index(key.config)
        if position == 0 or run.failure_class == "nan":
            return None
        before = self.task.attempts.get(replace(key, config=names[position - 1]), ())
        last = before[-1].finished if before else None
        if last is None or last.status not in ("failed", "lost") or before[-1].id in self.task.forgiven:
            return None
        if not is_same_failure(last, run):
            return None
        reason = f"{last.config} and {run.config} failed alike: {_first_line(run.error)}"
        return self._park(run, reason, "mend what both have in common, then retry")

    def _park(self, run: events.RunFinished, reason: str, remedy: str) -> events.TaskParked:
        return events.TaskParked(
            round=self.round_id,
            task=self.task.task.name,
            failure_class=run.failure_class or run.status,
            reason=reason,
            remedy=remedy,
        )

    def _intend(self, key: RunKey, slot: int, attempt: int) -> events.RunIntended:
        protocol = self.protocols[key.stage]
        config = self.task.task.variant(key.config).config
        return events.RunIntended(
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

    def _decide(self, config: str, stage: str) -> events.VariantFact:
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
                return events.VariantPruned(**common)
            case Promote():
                following = self.stages[self.stages.index(stage) + 1]
                return events.VariantPromoted(**common, to_stage=following)
            case Hold():
                return events.VariantHeld(**common)

    def _uncalibrated(self) -> list[str]:
        """Stages whose budget is given in seconds only, where steps mean something to the trainer."""
        if not self.task.task.has_steps:
            return []
        return [stage.name for stage in self.task.task.stages if stage.budget.max_steps is None]

    def _needs_probe(self) -> bool:
        return len(self.task.task.bsz) > 1 or bool(self._uncalibrated())

    def _probe_move(self) -> Move:
        """Freeze batch size and steps: by a probe where it takes one, at once where it does not."""
        bsz = self.task.task.bsz
        if self.device.id == "cpu" and not self._uncalibrated():
            return self._probed(bsz[0], "the CPU takes the first")
        key = RunKey(task=self.task.task.name, stage=PROBE_STAGE, config=PROBE_CONFIG, seed=0)
        match standing(self.task, self.task.counted(key), len(self.task.attempts.get(key, ())), self.limits):
            case Again(attempt=attempt):
                return self._intend_probe(key, attempt)
            case InFlight(attempt=in_flight):
                return Wait(reason=f"running {in_flight.id}")
            case Over(run=run) if run.status == "ok":
                return self._probed_by(run)
            case Over(run=run) | Park(run=run):
                return self._park(run, f"the probe {_how(run)}", "see error.txt of the probe, then retry")
            case LowerBatch():
                raise AssertionError("a probe lowers the batch size itself")

    def _intend_probe(self, key: RunKey, attempt: int) -> events.RunIntended:
        budgets = [stage.budget for stage in self.task.task.stages]
        return events.RunIntended(
            round=self.round_id,
            **asdict(key),
            attempt=attempt,
            slot=0,
            device=self.device.id,
            bsz=self.task.bsz,
            budget={
                "max_steps": None,
                "time_budget_sec": max(600.0, *(budget.time_budget_sec for budget in budgets)),
                "eval_every": None,
                "n_eval": None,
            },
            protocol="",
            content_key="",
            run_dir=run_folder(key, attempt),
        )

    def _probed(self, bsz: int | None, reason: str) -> events.TaskProbed:
        return events.TaskProbed(round=self.round_id, task=self.task.task.name, bsz=bsz, reason=reason)

    def _probed_by(self, run: events.RunFinished) -> events.TaskProbed:
        prefix = "max_steps."
        return replace(
            self._probed(run.bsz, "the largest that fits" if run.bsz else "calibrated"),
            max_steps={
                name.removeprefix(prefix): int(steps)
                for name, steps in run.extra.items()
                if name.startswith(prefix)
            },
            peak_memory_mib=run.peak_memory_mib,
            seconds_per_step=run.extra.get("seconds_per_step"),
        )


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


def _how(run: events.RunFinished) -> str:
    """`failed (crash): message`, or how else a run ended without a value."""
    if run.status in ("failed", "lost"):
        return f"failed ({run.failure_class}): {_first_line(run.error)}"
    return f"was ended by its time budget of {run.budget['time_budget_sec']:g} s before its first evaluation"


def _baseline_remedy(run: events.RunFinished) -> str:
    if run.status == "timed_out":
        return "raise time_budget_sec, or evaluate earlier, and submit a new round"
    return "see error.txt of the run, mend its cause, then retry"


def _first_line(error: str | None) -> str:
    lines = (error or "").strip().splitlines()
    return lines[0] if lines else "no message"
