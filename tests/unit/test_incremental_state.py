"""What is counted at the fold is what a look at all runs would find, at every record of any life."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from fakes.world import CPU, GPU, Crash, World, checked, failed, make_round, ok, task
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies._marks import marks_of
from policies.steps import TaskView
from scheduler.decide import facts, inputs, task_ends, task_view
from scheduler.decide.facts import PROBE_STAGE
from scheduler.decide.failures import Limits, Over
from scheduler.decide.forecast import Outlook
from scheduler.decide.replay import RoundReplay
from scheduler.decide.run_marks import Pace
from scheduler.decide.state import State, count_reused, fold, open_attempts, with_loaded
from scheduler.decide.step import step
from scheduler.decide.task_plan import TaskPlan
from scheduler.decide.task_state import TaskState
from scheduler.rounds.round import BASELINE, Budget, PolicyChoice, Round, Stage

POLICIES = (
    PolicyChoice(name="threshold", options={"min_delta": 0.3}),
    PolicyChoice(name="screen_confirm"),
    PolicyChoice(name="screen_confirm", options={"weak_below": 0.3, "looks": 2}),
    PolicyChoice(name="repeat", options={"seeds": 2}),
)
STAGES = (
    ("quick",),
    ("quick", "medium"),
    ("quick", "medium", "long"),
)
FAILURES = ("nan", "crash", "oom", "network", "killed", "data")
SHARED = {"seconds": 1.0, "share": 0.5, "by": []}
LIVES = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def outcome_of(seed: int, trouble: float) -> Any:
    """Runs of a made-up search, some of which fail one way or another, or share their device."""

    def outcome(intended: facts.RunIntended) -> Mapping[str, Any] | None:
        luck = random.Random(f"{seed} {intended.attempt_id} device").random()
        ended = end_of(intended)
        return ended if luck >= trouble else {**ended, "contaminated": SHARED}

    def end_of(intended: facts.RunIntended) -> Mapping[str, Any]:
        if intended.stage == PROBE_STAGE:
            return ok(0.0, bsz=intended.bsz)
        draw = random.Random(f"{seed} {intended.attempt_id} {intended.bsz}")
        is_baseline = intended.config == BASELINE
        if draw.random() < trouble:
            kind = "network" if is_baseline and draw.random() < 0.8 else draw.choice(FAILURES)
            return failed(kind, draw.choice("ab"))
        effect = (
            0 if is_baseline else random.Random(f"{seed} {intended.config}").choice((0, -0.05, 0.03, 0.06))
        )
        value = 0.5 + effect * (not is_baseline) + draw.gauss(0.0, 0.004)
        seconds = draw.uniform(5.0, 20.0)
        return ok(value, loss=2.0 - value, scores_digest=str(value), n_eval=1000, wall_seconds=seconds)

    return outcome


def life(seed: int) -> World:
    """A daemon's life with restarts, retries and new drivers, told by its records."""
    draw = random.Random(seed)
    stages = tuple(
        Stage(name=name, budget=Budget(max_steps=10 * 4**number, time_budget_sec=60.0))
        for number, name in enumerate(draw.choice(STAGES))
    )
    made = make_round(
        task(
            variants=[f"v{number}" for number in range(draw.choice((0, 1, 3, 8, 17)))],
            policy=draw.choice(POLICIES),
            stages=stages,
            seeds=draw.choice(((0,), (0, 1), (5, 6, 7))),
            bsz=draw.choice(((), (8,), (32, 16, 8))),
        )
    )
    limits = Limits(max_attempts=draw.choice((1, 2)), baseline_check_every=draw.choice((0, 2)))
    world = World(
        outcome_of(seed, draw.choice((0.0, 0.05, 0.2))),
        device=draw.choice((CPU, GPU)),
        limits=limits,
        crash_after=draw.choice((None, draw.randrange(5, 120))),
    )
    rounds = (made, replace(made, id="again"))
    try:
        lived(world, *rounds)
    except Crash:
        world.crash_after = None
        world.device = replace(world.device, driver=draw.choice(("1", "2")))
        lived(world, *rounds)
    return world


def lived(world: World, *rounds: Round) -> None:
    """From a start until nothing is left to do, with another try at what failed."""
    world.start()
    world.give(*(checked(made, sha256=str(number) * 64) for number, made in enumerate(rounds)))
    for made in rounds:
        for _ in range(3):
            world.give(inputs.DeadlinePassed(attempt_id=f"{made.id}/sums", kind="backoff"))
        world.give(inputs.RequestMade(id="r", verb="retry", round=made.id))


def states(world: World, limits: Limits) -> Iterator[tuple[State, TaskState]]:
    """Some of the states on the way, with each of their tasks."""
    draw = random.Random(len(world.lines))
    state = State()
    recorded = world.facts
    told = set(draw.sample(range(len(recorded)), min(12, len(recorded)))) | {len(recorded) - 1}
    wholes: dict[str, RoundReplay] = {}
    for number, fact in enumerate(recorded):
        if isinstance(fact, facts.TaskRetried) and fact.round in state.ended:
            state = with_loaded(state, wholes[fact.round].current)
        state = fold(state, fact)
        if isinstance(fact, facts.RoundFact):
            wholes.setdefault(fact.round, RoundReplay()).take(fact)
        if number in told:
            yield from ((state, each.tasks["sums"]) for each in state.rounds.values())


@LIVES
@given(st.integers(0, 10_000))
def test_what_is_kept_beside_the_runs_follows_from_them(seed: int) -> None:
    world = life(seed)
    for state, current in states(world, world.limits):
        tries = [attempt for attempts in current.attempts.values() for attempt in attempts]
        unended = [attempt for attempt in tries if attempt.finished is None]
        assert sorted(a.id for a in current.open_attempts) == sorted(a.id for a in unended)
        configs = {key.config for key in current.attempts}
        assert {config: [key for key in current.attempts if key.config == config] for config in configs} == {
            config: list(keys) for config, keys in current.keys.items()
        }
        assert current.paces == paces(current)
        reused = [
            attempt
            for each in state.rounds.values()
            for key, attempts in each.tasks["sums"].attempts.items()
            for attempt in attempts
            if key.config == BASELINE and attempt.finished is not None and attempt.finished.cached_from
        ]
        of_ended = sum(ended.runs_reused for ended in state.ended.values())
        assert count_reused(state) == len(reused) + of_ended
        assert [a.id for *_, a in open_attempts(state) if a in tries] == [a.id for a in unended]


def paces(current: TaskState) -> dict[str, Pace]:
    """By a look at every run; how slow the slowest was may be that of a run that no longer counts."""
    seconds: dict[str, list[float]] = {}
    for key in current.attempts:
        counted = current.counted(key)
        end = counted[-1].finished if counted else None
        is_whole = end is not None and end.status == "ok" and end.contaminated is None
        if key.stage != PROBE_STAGE and end is not None and is_whole and end.cached_from is None:
            assert end.wall_seconds is not None
            seconds.setdefault(key.stage, []).append(end.wall_seconds)
    for stage, each in seconds.items():
        assert current.paces[stage].mean_seconds == pytest.approx(statistics.fmean(each))
        assert current.paces[stage].most_seconds >= max(each)
    return {
        stage: Pace(
            runs=len(each),
            total_nanoseconds=sum(round(second * 1e9) for second in each),
            most_seconds=current.paces[stage].most_seconds,
        )
        for stage, each in seconds.items()
    }


@LIVES
@given(st.integers(0, 10_000))
def test_the_sets_of_a_view_say_what_its_variants_say(seed: int) -> None:
    world = life(seed)
    for state, current in states(world, world.limits):
        assert_alike(Outlook.of(current).view)
        if state.devices and current.in_flight is None and (current.probed or len(current.task.bsz) < 2):
            round_state = next(each for each in state.rounds.values() if each.tasks["sums"] is current)
            plan = TaskPlan.of(state, round_state, current, world.limits)
            moves = [plan.ends._ended(key) for key in current.attempts]
            due = next((move for move in moves if move is not None), None)
            assert plan.ends.due() == due
            if due is None:
                view = task_view.task_view(current, plan.ends.over())
                assert_alike(view)
                assert dict(view.variants) == observed(current, plan)


def assert_alike(view: TaskView) -> None:
    """The sets that the planner kept, and those read off the variants."""
    read, kept = marks_of(view.variants, view.decisions, view.verdicts), view.marks
    assert kept.names == read.names
    for sets, others in ((kept.over, read.over), (kept.decided, read.decided), (kept.judged, read.judged)):
        assert {name: places for name, places in sets.items() if places} == others


def observed(current: TaskState, plan: TaskPlan) -> dict[str, tuple[Any, ...]]:
    """The runs that are over, in the order in which they were first tried."""
    runs: dict[str, list[Any]] = {variant.name: [] for variant in current.task.variants}
    for key in current.attempts:
        stands = plan.ends.standing_of(key) if key.stage != PROBE_STAGE else None
        if isinstance(stands, Over) and key.config in runs:
            runs[key.config].append(task_view.observation(stands.run))
    return {name: tuple(seen) for name, seen in runs.items()}


@LIVES
@given(st.integers(0, 10_000))
def test_runs_that_are_alike_are_as_many_as_they_are_one_by_one(seed: int) -> None:
    world = life(seed)
    for _, current in states(world, world.limits):
        outlook = Outlook.of(current)
        one_by_one: dict[tuple[str, int, float], int] = {}
        for run in outlook.possible:
            place = (run.stage, run.slot, round(run.chance, 9))
            one_by_one[place] = one_by_one.get(place, 0) + 1
        together: dict[tuple[str, int, float], int] = {}
        for run in () if current.is_finished or current.parked else outlook.policy.runs_ahead(outlook.view):
            place = (run.stage, run.slot, round(run.chance, 9))
            together[place] = together.get(place, 0) + run.count
        assert together == one_by_one


@pytest.mark.parametrize("policy", POLICIES[:2], ids=lambda policy: policy.name)
def test_a_decision_reads_as_many_runs_in_a_large_round_as_in_a_small_one(
    policy: PolicyChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = {number: runs_read(policy, number, monkeypatch) for number in (20, 200)}
    assert read[200] == read[20]
    assert 0 < read[20] < 20


def runs_read(policy: PolicyChoice, variants: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many runs a plan looks at, when all but the last two variants have run and been pruned."""
    names = [f"v{number}" for number in range(variants)]
    made = make_round(task(variants=names, policy=policy))
    before_last = names[-2]

    class Enough(Exception):
        pass

    def outcome(intended: facts.RunIntended) -> Mapping[str, Any]:
        if intended.config == before_last:
            raise Enough
        value = 0.5 if intended.config == BASELINE else 0.2 + 1e-4 * len(intended.config)
        return ok(value + 1e-3 * random.Random(intended.config).random(), loss=2.0, n_eval=1000)

    world = World(outcome, limits=Limits(prepare_ahead=False))
    world.start()
    with pytest.raises(Enough):
        world.give(checked(made))
    [(_, _, flight)] = open_attempts(world.state)
    count = 0
    standing = task_ends.standing

    def counted(*given: Any) -> Any:
        nonlocal count
        count += 1
        return standing(*given)

    with monkeypatch.context() as patched:
        patched.setattr(task_ends, "standing", counted)
        step(world.state, inputs.RunResult(attempt_id=flight.id, result=ok(0.2)), world.limits)
        end = facts.RunFinished(
            **{name: getattr(flight.intended, name) for name in facts.AssignmentFact.__dataclass_fields__},
            status="ok",
            value=0.2,
            loss=2.0,
            n_eval=1000,
        )
        step(world.state, end, world.limits)
    return count
