"""Workers without processes: each does one thing at a time, and only when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from fakes.world import failed

from scheduler.decide import inputs
from scheduler.decide.facts import PROBE_STAGE, RunIntended
from scheduler.decide.inputs import EndedBy, LookKind

#: accuracies beside the baseline's; what is not named here does as the baseline does
EFFECTS = {"good": 0.03, "bad": -0.02, "null": 0.0005, "late": 0.01}
#: evaluations of a run, at equal distances
EVALUATIONS = 4
#: far more than any run takes
FREE_MIB = 1e6


@dataclass(slots=True, kw_only=True)
class Child:
    """A worker's process, as the machine sees it."""

    intended: RunIntended
    #: the attempt that the process was made for
    made_for: str
    phase: Literal["preparing", "at the gate", "training", "over"] = "preparing"
    evaluated: int = 0
    #: whether it still says that it lives, and whether it gets on
    is_hung: bool = False
    is_stuck: bool = False
    is_told_to_stop: bool = False
    is_told_to_go: bool = False
    #: somebody else's process computes on its device
    is_disturbed: bool = False
    ended_by: EndedBy | None = None
    #: of the processor, so far
    cpu_seconds: float = 0.0

    @property
    def attempt_id(self) -> str:
        return self.intended.attempt_id

    @property
    def steps(self) -> int:
        """Of its evaluations so far."""
        return int(self.intended.budget["max_steps"] or 100) * self.evaluated // EVALUATIONS

    @property
    def acc(self) -> float:
        """At its last evaluation: a function of the run alone, so that a retry is like the first try."""
        run = self.intended
        final = 0.5 + EFFECTS.get(run.config, 0.0) + 0.001 * (run.seed % 3) + 0.04 * (run.stage != "quick")
        return final * self.evaluated / EVALUATIONS

    @property
    def digest(self) -> str:
        run = self.intended
        config = "baseline" if run.config == "copy" else run.config
        return f"{config} {run.stage} {run.seed} {self.evaluated}"


@dataclass(slots=True, kw_only=True)
class Crew:
    """All processes of a home. Those that train are still there when their daemon is gone."""

    #: what a daemon hears; nobody when there is none
    post: Callable[[inputs.Input], None]
    #: a run's result, onto the disk
    publish: Callable[[RunIntended, Mapping[str, Any]], None]
    boot_id: str = "boot 0"
    children: dict[str, Child] = field(default_factory=dict)
    #: the evaluations that each of them told, as a result lists them
    told: dict[str, list[list[Any]]] = field(default_factory=dict)

    # What a daemon asks for

    def start(self, intended: RunIntended) -> None:
        name = intended.attempt_id
        assert name not in self.children, f"a second process for {name}"
        self.children[name] = Child(intended=intended, made_for=name)

    def go_on(self, attempt_id: str, following: RunIntended) -> None:
        before = self.children.pop(attempt_id, None)
        if before is None:
            self.start(following)
            return
        assert before.phase == "over", f"{attempt_id} is asked for more while it is {before.phase}"
        assert following.attempt_id not in self.children, f"a second process for {following.attempt_id}"
        self.children[following.attempt_id] = Child(intended=following, made_for=before.made_for)

    def go(self, attempt_id: str) -> None:
        """Open the gate; of all that there is, only this one may train."""
        if child := self.children.get(attempt_id):
            assert child.phase == "at the gate", f"the gate of {attempt_id} opens while it is {child.phase}"
            child.phase = "training"
        training = [each.attempt_id for each in self.children.values() if each.phase == "training"]
        assert len(training) <= 1, f"more than one run on the device: {training}"

    def stop(self, attempt_id: str) -> None:
        if child := self.children.get(attempt_id):
            child.is_told_to_stop = True

    def release(self, attempt_id: str) -> None:
        if child := self.children.get(attempt_id):
            assert child.phase != "training", f"{attempt_id} is let go while it trains"
            child.is_told_to_go = True

    def end(self, attempt_id: str, ended_by: EndedBy) -> None:
        if child := self.children.get(attempt_id):
            child.ended_by = child.ended_by or ended_by

    def look_at(self, attempt_id: str, kind: LookKind) -> None:
        if child := self.children.get(attempt_id):
            told = {"attempt_id": attempt_id, "kind": kind, "cpu_seconds": child.cpu_seconds}
            self.post(inputs.WorkerLookedAt(**told))

    # What happens to a worker

    def live_on(self, seconds: float) -> None:
        """Time goes by; whoever can says that it lives."""
        for child in self.children.values():
            child.cpu_seconds += 0.0 if child.is_stuck else seconds
            if not child.is_hung:
                self.post(inputs.WorkerBeat(attempt_id=child.attempt_id, cpu_seconds=child.cpu_seconds))

    def may_go_on(self, child: Child) -> bool:
        """Whether anything comes of it by itself."""
        if child.ended_by is not None:
            return True
        is_waiting = child.phase in ("at the gate", "over") and not child.is_told_to_go
        return not (child.is_hung or child.is_stuck or is_waiting)

    def go_ahead(self, child: Child) -> None:
        """What a sound worker does next."""
        if child.ended_by is not None or (child.is_told_to_go and child.phase != "training"):
            self.exit(child, -15 if child.ended_by else 0)
        elif child.phase == "preparing":
            self.prepared(child)
        elif child.evaluated < EVALUATIONS and not (child.is_told_to_stop and child.evaluated > 1):
            self.evaluate(child)
        else:
            self.finish(child, "pruned" if child.is_told_to_stop else "ok")

    def prepared(self, child: Child) -> None:
        child.phase = "at the gate"
        self.post(
            inputs.WorkerPrepared(
                attempt_id=child.attempt_id,
                pid=2,
                start_time=0.0,
                boot_id=self.boot_id,
                identity={},
                keep_step=child.intended.keep_for_steps and child.intended.budget["max_steps"],
            )
        )

    def evaluate(self, child: Child) -> None:
        child.evaluated += 1
        loss = 2.0 - child.acc
        told = self.told.setdefault(child.attempt_id, [])
        told.append([child.steps, loss, child.acc, child.digest])
        self.post(
            inputs.RunEvaluated(
                attempt_id=child.attempt_id,
                step=child.steps,
                loss=loss,
                acc=child.acc,
                value=child.acc,
                train_seconds=float(child.steps),
                scores_digest=child.digest,
                n_eval=100,
            )
        )

    def finish(self, child: Child, status: str) -> None:
        """The run ends with what it has: its result is on the disk before anybody hears of it."""
        self._report(child, self._result(child, status))

    def fail(self, child: Child, failure_class: str) -> None:
        """The run ends, or cannot be prepared."""
        self._report(child, failed(failure_class, f"{failure_class} it was"))

    def exit(self, child: Child, returncode: int, *, kept_memory: str | None = None) -> None:
        """The process is gone, and whoever made it hears of it."""
        del self.children[child.attempt_id]
        self.post(
            inputs.WorkerEnded(
                attempt_id=child.attempt_id,
                returncode=returncode,
                ended_by=child.ended_by,
                kept_memory=kept_memory,
            )
        )

    def _report(self, child: Child, result: Mapping[str, Any]) -> None:
        result = orjson.loads(orjson.dumps(result))  # it comes through a pipe
        was_training = child.phase == "training"
        child.phase = "over"
        if was_training:
            self.publish(child.intended, result)
        self.post(inputs.RunResult(attempt_id=child.attempt_id, result=result, free_memory_mib=FREE_MIB))

    def _result(self, child: Child, status: str) -> dict[str, Any]:
        run = child.intended
        if run.stage == PROBE_STAGE:
            return {"status": "ok", "bsz": 64, "extra": {}}
        if child.evaluated == 0:
            return {"status": status}
        told = self.told.get(child.attempt_id, [])
        result = {
            "status": status,
            "value": child.acc,
            "acc": child.acc,
            "loss": 2.0 - child.acc,
            "steps": child.steps,
            "n_eval": 100,
            "train_seconds": float(child.steps),
            "peak_memory_mib": 10.0,
            "scores_digest": child.digest,
            "evaluations": told,
            "curve": [[step, acc] for step, _, acc, _ in told],
        }
        if child.is_disturbed:
            result["contaminated"] = {"seconds": 1.0, "share": 0.5, "by": []}
        if run.keep_for_steps is not None and status == "ok":
            result["kept"] = {"step": child.steps, "bytes": 1}
        if run.continue_from is not None:
            result["inherited_steps"] = run.continue_from["step"]
        return result

    # What happens to all of them

    def lose_daemon(self, *, do_finish: bool) -> None:
        """Whoever waits sees the end of file; whoever trains may come to its end first."""
        for child in list(self.children.values()):
            if child.phase != "training":
                del self.children[child.attempt_id]
            elif do_finish and not child.is_hung:
                while child.evaluated < EVALUATIONS:
                    self.evaluate(child)
                self.finish(child, "ok")
                del self.children[child.attempt_id]

    def lose_power(self, boot_id: str) -> None:
        """All processes are gone; what they published is on the disk."""
        self.children.clear()
        self.boot_id = boot_id

    def kill_orphan(self, made_for: str) -> None:
        self.children = {name: each for name, each in self.children.items() if each.made_for != made_for}
