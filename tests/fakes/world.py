"""A world without files and processes: it performs the actions of `step` at once and can crash anywhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from policies.evidence import Objective
from scheduler.decide import actions as act
from scheduler.decide import codec, facts, inputs
from scheduler.decide.failures import Limits
from scheduler.decide.replay import Replay, RoundReplay
from scheduler.decide.state import RoundState, State
from scheduler.decide.step import step
from scheduler.effects.records import decode, encode
from scheduler.rounds.identity import Device
from scheduler.rounds.round import Budget, PolicyChoice, Round, Stage, Task, TrainerIdentity, Variant

CPU = Device(id="cpu", name="a processor", threads=1)
GPU = Device(id="cuda:0", name="a graphics card", driver="1")


class Crash(Exception):
    """The daemon is gone, as by kill -9."""


Outcome = Callable[[facts.RunIntended], Mapping[str, Any] | None]


def task(name: str = "sums", variants: Iterable[str] = ("good", "bad"), **changes: Any) -> Task:
    """A task of the stages quick and medium, with named variants."""
    fields: dict[str, Any] = {
        "name": name,
        "trainer": "command",
        "seeds": (0,),
        "bsz": (),
        "objective": Objective(),
        "policy": PolicyChoice(name="threshold", options={"min_delta": 0.3}),
        "stages": (
            Stage(name="quick", budget=Budget(max_steps=10, time_budget_sec=60.0)),
            Stage(name="medium", budget=Budget(max_steps=40, time_budget_sec=240.0)),
        ),
        "args": {"argv": ["true", name]},
        "baseline": Variant(name="baseline", changes={}, config={"x": "baseline"}),
        "variants": tuple(Variant(name=v, changes={"x": v}, config={"x": v}) for v in variants),
        "costliest": "baseline",
        "has_steps": True,
        "identity": TrainerIdentity(source="s", data="d"),
    }
    return Task(**{**fields, **changes})


def make_round(*tasks: Task, id: str = "night", **changes: Any) -> Round:
    fields: dict[str, Any] = {"title": "", "priority": 0, "after": (), **changes}
    return Round(id=id, tasks=tasks or (task(),), **fields)


def checked(made: Round, sha256: str = "0" * 64) -> inputs.SpecChecked:
    """The round as the intake would hand it over."""
    return inputs.SpecChecked(file=f"{made.id}.toml", sha256=sha256, suffix=".toml", spec=made.to_json())


def ok(acc: float, steps: int = 10, loss: float = 1.0, **more: Any) -> dict[str, Any]:
    """The result of a run that went well."""
    result = {"status": "ok", "acc": acc, "value": acc, "loss": loss, "steps": steps, "n_eval": 100}
    return {**result, "curve": [[steps, acc]], "train_seconds": 1.0, "wall_seconds": 1.5, **more}


def watched(acc: float, *seen: tuple[int, float, float, str], **more: Any) -> dict[str, Any]:
    """The result of a run that tells of evaluations (step, loss, acc, digest) before it ends well."""
    step, loss, _, digest = seen[-1]
    curve = [[step, acc] for step, _, acc, _ in seen]
    evaluations = [list(each) for each in seen]
    fields = {"curve": curve, "evaluations": evaluations, "scores_digest": digest, **more}
    return ok(acc, step, loss, **fields)


def failed(failure_class: str, message: str = "it broke") -> dict[str, Any]:
    failure = {"class": failure_class, "message": message, "text": message}
    return {"status": "failed", "failure": failure}


class World:
    """Everything around the decisions. `outcome` tells how a run ends; None means its worker is just gone."""

    def __init__(
        self,
        outcome: Outcome,
        *,
        device: Device = CPU,
        limits: Limits | None = None,
        crash_after: int | None = None,
        recovers_results: bool = True,
        keep_step: int | None = None,
    ) -> None:
        self.outcome = outcome
        self.device = device
        self.limits = limits or Limits()
        self.crash_after = crash_after
        self.recovers_results = recovers_results
        #: what workers say beforehand of the state they will keep
        self.keep_step = keep_step
        #: the disk: what survives a crash
        self.lines: list[bytes] = []
        self.published: dict[str, Mapping[str, Any]] = {}
        self.inputs: list[inputs.Input] = []
        self.performed: list[act.Action] = []
        self.is_running = False
        #: rounds whose runs cannot be read any more
        self.damaged: set[str] = set()
        self.state = State()
        self.intended: dict[str, facts.RunIntended] = {}

    @property
    def records(self) -> list[dict[str, Any]]:
        return [decode(line) for line in self.lines]

    @property
    def facts(self) -> list[facts.Fact]:
        facts = (codec.from_record(record) for record in self.records)
        return [fact for fact in facts if fact is not None]

    def round(self, round_id: str = "night") -> RoundState:
        """All of a round, as its records tell it; the state forgets the runs of one that has ended."""
        return whole_round(self.facts, round_id)

    def start(self) -> None:
        """Replay the records and recover, as a fresh daemon does."""
        self.inbox: deque[inputs.Event] = deque()
        replay = Replay()
        for fact in self.facts:
            replay.take(fact)
        self.state = replay.state()
        self.is_running = True
        started = facts.DaemonStarted(pid=1, version="0", boot_id="b", devices=(self.device,))
        self._perform((act.Record(fact=started),))
        results = self.published if self.recovers_results else {}
        self.give(inputs.Recovered(results=results))

    def give(self, *events: inputs.Input) -> None:
        """Let the inputs happen, and all that follows from them."""
        self.inbox.extend(events)
        while self.inbox:
            event = self.inbox.popleft()
            if isinstance(event, inputs.RunResult):
                self.published[event.attempt_id] = event.result  # a worker publishes before it tells
            self.state, actions = step(self.state, event, self.limits)
            self._perform(actions)

    def _record(self, fact: facts.Fact) -> tuple[act.Action, ...]:
        record = {"v": 1, "seq": len(self.lines) + 1, "ts": "2026-01-01T00:00:00Z", **codec.to_fields(fact)}
        self.lines.append(encode(record))
        if self.crash_after is not None and len(self.lines) == self.crash_after:
            self.is_running = False
            raise Crash
        self.state, actions = step(self.state, fact, self.limits)
        return actions

    def _perform(self, actions: Iterable[act.Action]) -> None:
        """All records first, as the daemon does it, and then the rest."""
        todo, effects = deque(actions), []
        while todo:
            action = todo.popleft()
            self.performed.append(action)
            if isinstance(action, act.Record):
                todo.extendleft(reversed(self._record(action.fact)))
            elif isinstance(action, act.LoadRound):
                loaded = inputs.RoundLoaded(request=action.request, current=self.round(action.round))
                self.state, following = step(self.state, loaded, self.limits)
                todo.extendleft(reversed(following))
            else:
                effects.append(action)
        for effect in effects:
            self._act(effect)

    def _act(self, effect: act.Action) -> None:
        match effect:
            case (
                act.StartWorker(intended=intended)
                | act.PrepareAhead(start=act.StartWorker(intended=intended))
                | act.ContinueWorker(start=act.StartWorker(intended=intended))
            ):
                self.intended[intended.attempt_id] = intended
                self.inbox.append(
                    inputs.WorkerPrepared(
                        attempt_id=intended.attempt_id,
                        pid=2,
                        start_time=0.0,
                        boot_id="b",
                        identity={},
                        keep_step=self.keep_step if intended.keep_for_steps else None,
                    )
                )
            case act.OpenGate(intended=intended):
                self.inbox.append(inputs.GateOpened(attempt_id=intended.attempt_id))
                self._train(intended)
            case act.StopRun(attempt_id=attempt_id):
                self._stop(attempt_id)
            case act.FetchResult():
                self.inbox.append(self._fetched(effect))
            case act.ReleaseWorker(attempt_id=attempt_id):
                self.inbox.append(inputs.WorkerEnded(attempt_id=attempt_id, returncode=0))
            case act.EndWorker(attempt_id=attempt_id, ended_by=ended_by):
                self.inbox.append(
                    inputs.WorkerEnded(attempt_id=attempt_id, returncode=-15, ended_by=ended_by)
                )
            case act.LookAtWorker(attempt_id=attempt_id, kind=kind):
                self.inbox.append(inputs.WorkerLookedAt(attempt_id=attempt_id, kind=kind, cpu_seconds=0.0))
            case act.Exit():
                self.is_running = False

    def _train(self, intended: facts.RunIntended) -> None:
        result = self.outcome(intended)
        if result is None:
            self.inbox.append(inputs.WorkerEnded(attempt_id=intended.attempt_id, returncode=-9))
            return
        evaluations = result.get("evaluations", ())
        if not evaluations:
            self.published[intended.attempt_id] = result  # it ends before anything else happens
        for at_step, loss, acc, digest in evaluations:
            self.inbox.append(
                inputs.RunEvaluated(
                    attempt_id=intended.attempt_id,
                    step=at_step,
                    loss=loss,
                    acc=acc,
                    value=acc,
                    train_seconds=float(at_step),
                    scores_digest=digest,
                    n_eval=100,
                )
            )
        self.inbox.append(inputs.RunResult(attempt_id=intended.attempt_id, result=result))

    def _fetched(self, wanted: act.FetchResult) -> inputs.ResultFetched:
        """The run as its round's records have it."""
        ends = (fact for fact in self.facts if isinstance(fact, facts.RunFinished))
        run = next(
            end
            for end in ends
            if (end.round, end.content_key, end.status) == (wanted.round, wanted.content_key, wanted.status)
            and end.cached_from is None
            and end.contaminated is None
        )
        if wanted.round in self.damaged:
            run = None
        return inputs.ResultFetched(
            round=wanted.round, content_key=wanted.content_key, run=run, problem="" if run else "damaged"
        )

    def _stop(self, attempt_id: str) -> None:
        """The run ends at the next evaluation that is still to come."""
        coming = inputs.RunEvaluated | inputs.RunResult
        mine = [each for each in self.inbox if isinstance(each, coming) and each.attempt_id == attempt_id]
        seen = [each for each in mine if isinstance(each, inputs.RunEvaluated)]
        end = mine[-1]
        if len(seen) < 2:
            return  # the next evaluation is the last one anyway
        assert isinstance(end, inputs.RunResult)
        last = seen[0].step
        kept = [each for each in end.result["evaluations"] if each[0] <= last]
        curve = [[step, acc] for step, _, acc, _ in kept]
        result = watched(kept[-1][2], *map(tuple, kept), status="pruned", curve=curve)
        dropped = {id(event) for event in (*seen[1:], end)}
        self.inbox = deque(event for event in self.inbox if id(event) not in dropped)
        self.inbox.append(inputs.RunResult(attempt_id=attempt_id, result=result))


class Training(World):
    """Workers that say nothing after the gate has opened."""

    #: the attempt that trains
    training = ""

    def _train(self, intended: facts.RunIntended) -> None:
        self.training = intended.attempt_id


def whole_round(told: Iterable[facts.Fact], round_id: str = "night") -> RoundState:
    """All of a round after what was told of it."""
    replay = RoundReplay()
    for fact in told:
        if isinstance(fact, facts.RoundFact) and fact.round == round_id:
            replay.take(fact)
    return replay.current


def play(outcome: Outcome, *rounds: Round, **options: Any) -> World:
    """A daemon's life from an empty home until nothing is left to do."""
    world = World(outcome, **options)
    world.start()
    world.give(*(checked(made) for made in rounds))
    return world
