"""What does a decision cost the daemon in a round of many variants? `step`, `fold` and `status_of`.

CPU time of a made-up round, which is driven as the daemon drives one, without files and processes: a few runs
at the start, in the middle and at the end of quick, at the promotion, in medium, at the freeze, in the
confirmation and among the verdicts. What lies between is folded.
"""

from __future__ import annotations

import argparse
import functools
import gc
import random
import statistics
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from subject import heading

from policies.evidence import BASELINE, Objective
from scheduler.decide import actions as act
from scheduler.decide import facts, inputs
from scheduler.decide.failures import Limits
from scheduler.decide.progress import status_of
from scheduler.decide.state import State, fold
from scheduler.decide.step import step, why_nothing_runs
from scheduler.decide.task_state import TaskState
from scheduler.rounds.identity import Device, content_key, protocol_of, run_folder
from scheduler.rounds.round import Budget, PolicyChoice, Round, Stage, Task, TrainerIdentity, Variant

DEMAND_DECISION_MS = 5.0
DEMAND_EVALUATION_MS = 2.0
#: the demands are those of a round of so many variants
DEMANDED_VARIANTS = 10_000
#: rows of the table that a demand is made of: what comes once a round is told beside them
DEMANDED_PLACES = ("quick, start", "quick, middle", "quick, end", "medium", "confirm")
SIZES = (100, 1_000, DEMANDED_VARIANTS)
POLICIES = {
    "screen_confirm": PolicyChoice(name="screen_confirm"),
    "threshold": PolicyChoice(name="threshold", options={"min_delta": 0.3}),
}
#: the share of variants that screening ends is WEAK of TEN
WEAK, TEN = 4, 10
EVALUATIONS = 8
LIMITS = Limits()
DEVICE = Device(id="cpu", name="made up")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
Result = TypeVar("Result")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=int, nargs="*", default=SIZES)
    parser.add_argument("--policy", choices=POLICIES, nargs="*", default=list(POLICIES))
    parser.add_argument("--runs", type=int, default=30, help="runs driven at each place (default 30)")
    options = parser.parse_args()
    print(heading())
    print("CPU milliseconds: median / 95 % / most\n")
    missed = []
    for policy in options.policy:
        print(f"| {policy} | variants | a decision | a start | an evaluation | `status_of` |")
        print("|---|---|---|---|---|---|")
        for variants in options.variants:
            missed += report(policy, variants, options.runs)
        print()
    for each in missed:
        print(f"missed: {each}")
    sys.exit(bool(missed))


def report(policy: str, variants: int, runs: int) -> Iterator[str]:
    """Print the rows of one round; yields the demands that were missed."""
    driven = Driven(made_round(policy, variants))
    for place, tally in JOURNEYS[policy](driven, runs):
        print(f"| {place} | {variants:,} | {tally.row} |", flush=True)
        if variants != DEMANDED_VARIANTS or place not in DEMANDED_PLACES:
            continue
        for what, measured, demand in (
            ("a decision", tally.decisions, DEMAND_DECISION_MS),
            ("an evaluation", tally.evaluations, DEMAND_EVALUATION_MS),
        ):
            if percentile_95(measured) > demand:
                yield f"{policy}, {place}: {what} takes {percentile_95(measured):.1f} ms, not {demand:g}"
    folded = driven.folded
    print(
        f"| fold, a fact | {variants:,} | {1000 * sum(folded) / len(folded):.0f} microseconds on average,"
        f" {len(folded):,} facts | | | |"
    )
    print(f"| memory, a finished run | {variants:,} | {driven.bytes_a_run():,.0f} bytes | | | |", flush=True)


@dataclass(slots=True)
class Tally:
    """CPU milliseconds at one place."""

    #: from the result of a run to the intent of the next
    decisions: list[float] = field(default_factory=list)
    #: of GateOpened: the first prediction of the run after the one that has got going
    starts: list[float] = field(default_factory=list)
    evaluations: list[float] = field(default_factory=list)
    statuses: list[float] = field(default_factory=list)

    @property
    def row(self) -> str:
        return " | ".join(
            told(each) for each in (self.decisions, self.starts, self.evaluations, self.statuses)
        )


def told(milliseconds: list[float]) -> str:
    if not milliseconds:
        return "-"
    figures = (statistics.median(milliseconds), percentile_95(milliseconds), max(milliseconds))
    return f"{' / '.join(f'{each:.2f}' for each in figures)} ({len(milliseconds)})"


def percentile_95(values: list[float]) -> float:
    if len(values) < 2:
        return max(values, default=0.0)
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def measured(call: Callable[[], Result]) -> tuple[Result, float]:
    begun = time.process_time()
    result = call()
    return result, 1000 * (time.process_time() - begun)


def made_round(policy: str, variants: int) -> Round:
    names = [f"width-{i % 100}_rate-{i}" for i in range(variants)]
    task = Task(
        name="sums",
        trainer="command",
        seeds=(0,),
        bsz=(),
        objective=Objective(),
        policy=POLICIES[policy],
        stages=(
            Stage(name="quick", budget=Budget(max_steps=80, time_budget_sec=60.0)),
            Stage(name="medium", budget=Budget(max_steps=320, time_budget_sec=240.0)),
        ),
        args={"argv": ["true"]},
        baseline=Variant(name=BASELINE, changes={}, config={"rate": 0, "width": 64}),
        variants=tuple(
            Variant(name=name, changes={"rate": i}, config={"rate": i, "width": 64})
            for i, name in enumerate(names, start=1)
        ),
        costliest=BASELINE,
        has_steps=True,
        identity=TrainerIdentity(source="s", data="d"),
    )
    return Round(id="night", title="", priority=0, after=(), tasks=(task,))


def accepted(made: Round) -> facts.RoundAccepted:
    return facts.RoundAccepted(
        round=made.id, sha256="0" * 64, file="night.toml", suffix=".toml", spec=made.to_json()
    )


def score(stage: str, config: str, slot: int) -> float:
    """A raw accuracy: some are far below the baseline, a few far above, and the others near it."""
    draw = random.Random(f"{stage} {config} {slot}")
    gain = 0.0 if config == BASELINE else effect(config)
    return 0.5 + (4.0 * (stage == "medium") + gain + draw.gauss(0.0, 0.3)) / 100


def effect(config: str) -> float:
    number = int(config.rpartition("-")[2])
    if number % TEN < WEAK:
        return -8.0
    return 8.0 if number in (4, 15, 26, 37) else 2.0 + (number % 97) / 97


class Driven:
    """A daemon's decisions without its effects; every call of `step` is timed."""

    def __init__(self, made: Round) -> None:
        self.made = made
        self.task = made.tasks[0]
        self.protocols = {
            stage.name: protocol_of(self.task, stage.budget, None, DEVICE) for stage in self.task.stages
        }
        self.tally = Tally()
        #: of each fact that was only folded
        self.folded: list[float] = []
        #: of the decision that is being made; None while a run is in flight
        self.deciding: float | None = None
        self.recorded: list[facts.Fact] = []
        #: verdicts that are due are not recorded
        self.holds_verdicts = False
        self.inbox: deque[inputs.Input] = deque()
        self.state = State()
        self.bytes_before = 0
        for fact in (
            facts.DaemonStarted(pid=1, version="0", boot_id="b", devices=(DEVICE,)),
            accepted(made),
        ):
            self.state = fold(self.state, fact)
        self.give(inputs.RequestMade(id="1", verb="pause"))
        self.give(inputs.Recovered())
        self.run_baselines()

    @property
    def now(self) -> TaskState:
        return self.state.rounds[self.made.id].tasks[self.task.name]

    def run_baselines(self) -> None:
        """Up to the first run of a variant, which is then in flight."""
        self.give(inputs.RequestMade(id="2", verb="resume"))
        self.drive(lambda: self.in_flight is not None and self.in_flight.config != BASELINE)

    @property
    def in_flight(self) -> facts.RunIntended | None:
        return next((fact for fact in reversed(self.recorded) if isinstance(fact, facts.RunIntended)), None)

    # What the daemon does

    def give(self, event: inputs.Input) -> None:
        self.inbox.append(event)
        while self.inbox and not isinstance(self.inbox[0], inputs.RunResult):
            self._step(self.inbox.popleft())

    def _step(self, event: inputs.Event) -> None:
        (self.state, actions), milliseconds = measured(lambda: step(self.state, event, LIMITS))
        if self.deciding is not None:
            self.deciding += milliseconds
        elif isinstance(event, inputs.RunEvaluated):
            self.tally.evaluations.append(milliseconds)
        elif isinstance(event, inputs.GateOpened):
            self.tally.starts.append(milliseconds)
        if isinstance(event, facts.RunIntended) and self.deciding is not None:
            self.tally.decisions.append(self.deciding)
            self.deciding = None
        for action in actions:
            self._perform(action)

    def _perform(self, action: act.Action) -> None:
        match action:
            case act.Record(fact=facts.VerdictReached()) if self.holds_verdicts:
                # Thousands follow, without a run between them. Nothing waits for what is never recorded.
                self.state = replace(self.state, live=replace(self.state.live, unrecorded=0))
            case act.Record(fact=fact):
                self.recorded.append(fact)
                self._step(fact)
            case (
                act.StartWorker(intended=intended)
                | act.PrepareAhead(start=act.StartWorker(intended=intended))
            ):
                self.inbox.append(
                    inputs.WorkerPrepared(
                        attempt_id=intended.attempt_id, pid=2, start_time=0.0, boot_id="b", identity={}
                    )
                )
            case act.OpenGate(intended=intended):
                self.inbox.append(inputs.GateOpened(attempt_id=intended.attempt_id))
                self._train(intended)
            case act.ReleaseWorker(attempt_id=attempt_id) | act.EndWorker(attempt_id=attempt_id):
                self.inbox.append(inputs.WorkerEnded(attempt_id=attempt_id, returncode=0))

    def _train(self, intended: facts.RunIntended) -> None:
        points = evaluations(intended)
        for at, loss, acc, digest in points:
            self.inbox.append(
                inputs.RunEvaluated(
                    attempt_id=intended.attempt_id,
                    step=at,
                    loss=loss,
                    acc=acc,
                    value=acc,
                    train_seconds=0.1 * at,
                    scores_digest=digest,
                    n_eval=5000,
                )
            )
        self.inbox.append(inputs.RunResult(attempt_id=intended.attempt_id, result=result(intended)))

    def drive(self, is_enough: Callable[[], bool]) -> None:
        """Let runs end one after the other, until that is so, or nothing is left to do."""
        while self.inbox and not is_enough():
            event = self.inbox.popleft()
            if isinstance(event, inputs.RunResult):
                _, milliseconds = measured(self._status)
                self.tally.statuses.append(milliseconds)
                self.deciding = 0.0
            self._step(event)
            if self.deciding is not None and not self.inbox:
                self.tally.decisions.append(self.deciding)
                self.deciding = None

    def _status(self) -> None:
        why = why_nothing_runs(self.state, LIMITS)
        status_of(self.state, now=NOW, pid=1, wait_reason=why, gpu=None)

    # What a benchmark does with it

    def measure(self, runs: int, is_enough: Callable[[], bool] = lambda: False) -> Tally:
        """Drive so many runs, and tell what they took."""
        gc.collect()
        self.tally = Tally()
        self.drive(lambda: len(self.tally.decisions) >= runs or is_enough())
        return self.tally

    def decide(self, decisions: int) -> Tally:
        """So many decisions without a run between them, each with the plan that leads to the next."""
        self.tally = Tally()
        for _ in range(decisions):
            (_, actions), milliseconds = measured(self._plan)
            made = [action.fact for action in actions if isinstance(action, act.Record)]
            if not made or isinstance(made[0], facts.RunIntended | facts.TaskFinished):
                break
            self.tally.decisions.append(milliseconds)
            self.fold(made)
        return self.tally

    def _plan(self) -> tuple[State, tuple[act.Action, ...]]:
        return step(self.state, inputs.WorkerBeat(attempt_id="nobody"), LIMITS)

    def fold(self, known: Iterable[facts.Fact]) -> None:
        """Let facts count without asking what follows from them."""
        for fact in known:
            self.state, milliseconds = measured(functools.partial(fold, self.state, fact))
            self.folded.append(milliseconds)
            self.recorded.append(fact)

    def settle(self) -> None:
        """End the run in flight, without asking what follows from it."""
        self.inbox.clear()
        intended = self.in_flight
        assert intended is not None
        self.fold([finished(intended)])
        live = replace(self.state.live, workers={}, spare=None)
        self.state = replace(self.state, live=live)

    def resume(self) -> None:
        """Go on deciding, after facts were folded."""
        self.give(inputs.WorkerBeat(attempt_id="nobody"))

    def ran(self, stage: str, config: str, slot: int = 0) -> tuple[facts.Fact, ...]:
        """The facts of a run that went well."""
        variant = self.task.variant(config) if config == BASELINE else self._variants[config]
        where: dict[str, Any] = {
            "round": self.made.id,
            "task": self.task.name,
            "stage": stage,
            "config": config,
            "seed": slot,
            "attempt": 1,
        }
        protocol = self.protocols[stage]
        intended = facts.RunIntended(
            **where,
            slot=slot,
            device=DEVICE.id,
            bsz=None,
            budget=asdict(next(each.budget for each in self.task.stages if each.name == stage)),
            protocol=protocol,
            content_key=content_key(protocol, variant.config, slot),
            run_dir="",
        )
        intended = replace(intended, run_dir=run_folder(intended.key, 1))
        started = facts.RunStarted(**where, device=DEVICE.id, pid=2, start_time=0.0, boot_id="b")
        return intended, started, finished(intended)

    @functools.cached_property
    def _variants(self) -> dict[str, Variant]:
        return {variant.name: variant for variant in self.task.variants}

    def decided(self, kind: type[facts.VariantFact], stage: str, config: str, **more: Any) -> facts.Fact:
        return kind(
            round=self.made.id,
            task=self.task.name,
            stage=stage,
            config=config,
            protocol=self.protocols[stage],
            reason="made up",
            **more,
        )

    def bytes_a_run(self) -> float:
        """What the state holds of a finished run of a variant, with the facts it was folded from."""
        names = [variant.name for variant in self.task.variants]
        state = fold(State(), facts.DaemonStarted(pid=1, version="0", boot_id="b", devices=(DEVICE,)))
        spec = self.made.to_json()
        state = fold(
            state,
            facts.RoundAccepted(round="night", sha256="0", file="night.toml", suffix=".toml", spec=spec),
        )
        tracemalloc.start()
        try:
            for name in names:
                for fact in self.ran("quick", name):
                    state = fold(state, fact)
            gc.collect()
            return tracemalloc.get_traced_memory()[0] / len(names)
        finally:
            tracemalloc.stop()


def evaluations(intended: facts.RunIntended) -> list[tuple[int, float, float, str]]:
    steps, value = intended.budget["max_steps"], score(intended.stage, intended.config, intended.slot)
    return [
        (
            steps * i // EVALUATIONS,
            3.0 - 2.0 * value * i / EVALUATIONS,
            value * i / EVALUATIONS,
            f"{intended.stage} {intended.config} {intended.slot} {i}",
        )
        for i in range(1, EVALUATIONS + 1)
    ]


def result(intended: facts.RunIntended) -> dict[str, Any]:
    points = evaluations(intended)
    step, loss, acc, digest = points[-1]
    return {
        "status": "ok",
        "value": acc,
        "acc": acc,
        "loss": loss,
        "n_eval": 5000,
        "steps": step,
        "scores_digest": digest,
        "curve": [[at, acc] for at, _, acc, _ in points],
        "evaluations": [list(each) for each in points],
        "train_seconds": 0.1 * step,
        "wall_seconds": 0.1 * step + 0.5,
    }


def finished(intended: facts.RunIntended) -> facts.RunFinished:
    """As `scheduler.decide.ending` reads it."""
    told = result(intended)
    own = {name: getattr(intended, name) for name in facts.AssignmentFact.__dataclass_fields__}
    curve = tuple((at, value) for at, value in told.pop("curve"))
    points = tuple(tuple(each) for each in told.pop("evaluations"))
    return facts.RunFinished(**own, **told, curve=curve, evaluations=points)


# The way through a round, place by place. Runs between two places are folded.


def through_screen_confirm(driven: Driven, runs: int) -> Iterator[tuple[str, Tally]]:
    names = [variant.name for variant in driven.task.variants]
    yield from _through_quick(driven, names, runs, _screened)
    if driven.inbox:
        driven.settle()
    yield "promotion, its first decision", driven.decide(1)
    yield "promotion, the next", driven.decide(runs)
    decided = {config for config, made in driven.now.decisions.items() if made}
    survivors = [name for name in names if name not in decided]
    best = sorted([name for name in names if effect(name) > 0], key=lambda name: -score("quick", name, 0))
    kept = set(best[: len(names) // 2])
    for name in survivors:
        kind = facts.VariantPromoted if name in kept else facts.VariantHeld
        more = {"to_stage": "medium"} if name in kept else {}
        driven.fold([driven.decided(kind, "quick", name, **more)])
    driven.fold(driven.ran("medium", BASELINE))
    promoted = [name for name in names if _kind(driven, name) is facts.VariantPromoted]
    last = promoted[-runs - 1 :]
    for name in promoted[: -runs - 1]:
        driven.fold(driven.ran("medium", name))
    driven.resume()
    yield "medium", driven.measure(runs)
    if driven.inbox:
        driven.settle()
    for name in last:
        if not any(key.config == name and key.stage == "medium" for key in driven.now.attempts):
            driven.fold(driven.ran("medium", name))
    yield "freeze", driven.decide(1)
    yield "after the freeze", driven.decide(runs)
    frozen = driven.now.confirm_set
    assert frozen is not None
    for name in promoted:
        if any(fact.stage == "medium" for fact in driven.now.decisions.get(name, ())):
            continue
        is_candidate = name in frozen.candidates
        kind = facts.VariantPromoted if is_candidate else facts.VariantHeld
        more = {"to_stage": "confirm"} if is_candidate else {}
        driven.fold([driven.decided(kind, "medium", name, **more)])
    driven.holds_verdicts = True
    driven.resume()
    yield "confirm", driven.measure(10 * runs)
    yield "verdicts, the first", driven.decide(1)
    yield "verdicts, the next", driven.decide(runs)


def _kind(driven: Driven, name: str) -> type[facts.VariantFact]:
    return type(driven.now.decisions[name][0])


def through_threshold(driven: Driven, runs: int) -> Iterator[tuple[str, Tally]]:
    names = [variant.name for variant in driven.task.variants]
    yield from _through_quick(driven, names, runs, _judged)


def _through_quick(
    driven: Driven, names: list[str], runs: int, facts_of: Callable[[Driven, str], Iterator[facts.Fact]]
) -> Iterator[tuple[str, Tally]]:
    yield "quick, start", driven.measure(runs)
    for place, until in (("middle", len(names) // 2), ("end", len(names) - runs // 3)):
        driven.settle()
        done = {key.config for key in driven.now.attempts}
        for name in names[:until]:
            if name not in done:
                driven.fold(facts_of(driven, name))
            elif name not in driven.now.decisions:
                driven.fold(each for each in facts_of(driven, name) if not _is_of_a_run(each))
        driven.resume()
        yield f"quick, {place}", driven.measure(runs, lambda: _is_last(driven, names[-1]))


def _is_of_a_run(fact: facts.Fact) -> bool:
    return isinstance(fact, facts.AttemptFact)


def _is_last(driven: Driven, name: str) -> bool:
    intended = driven.in_flight
    return intended is not None and intended.config == name


def _screened(driven: Driven, name: str) -> Iterator[facts.Fact]:
    yield from driven.ran("quick", name)
    if effect(name) < 0:
        yield driven.decided(facts.VariantPruned, "quick", name)


def _judged(driven: Driven, name: str) -> Iterator[facts.Fact]:
    """Pruned at once, so that every variant counts once."""
    yield from driven.ran("quick", name)
    yield driven.decided(facts.VariantPruned, "quick", name)
    yield facts.VerdictReached(
        round=driven.made.id, task=driven.task.name, config=name, verdict="INCONCLUSIVE", reason="made up"
    )


JOURNEYS: dict[str, Callable[[Driven, int], Iterator[tuple[str, Tally]]]] = {
    "screen_confirm": through_screen_confirm,
    "threshold": through_threshold,
}

if __name__ == "__main__":
    main()
