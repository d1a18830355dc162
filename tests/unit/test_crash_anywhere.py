"""A daemon that dies after any record reaches, once started again, the decisions it would have reached."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from fakes.world import GPU, Crash, World, checked, failed, make_round, ok, play, task, watched

from policies.evidence import Objective
from scheduler.decide import facts
from scheduler.rounds.round import PolicyChoice, Round

SCORES = {"baseline": 0.50, "good": 0.53, "bad": 0.49, "null": 0.5005, "late": 0.52}


def scripted_rounds() -> dict[str, Round]:
    """Small rounds, each with its own kinds of decisions: every crash replays a whole one."""
    two_seeds = task("two-seeds", variants=("good", "bad", "null"), seeds=(0, 7))
    moody = task("moody", variants=("good", "crashing", "late"), seeds=(0,))
    batches = task("batches", variants=("good",), bsz=(64, 32))
    shared = task("shared", variants=("good", "bad"))
    alone = task("alone", variants=(), seeds=(1, 2, 3))
    lossy = task(
        "lossy",
        objective=Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01),
        policy=PolicyChoice(name="threshold", options={"min_delta": 0.01}),
    )
    screened = task(
        "screened",
        variants=("good", "bad", "null", "late"),
        policy=PolicyChoice(name="screen_confirm", options={"looks": 2}),
    )
    raced = task(
        "raced",
        variants=("good", "bad", "late"),
        policy=PolicyChoice(name="race"),
    )
    stopped = task(
        "stopped",
        variants=("good", "copy", "wild", "lost"),
        policy=PolicyChoice(
            name="threshold",
            options={
                "stops": ["noop", "broken", "hopeless"],
                "stop_options": {"hopeless": {"audit_share": 0.0}},
            },
        ),
    )
    return {
        "two seeds": make_round(two_seeds),
        "two tasks": make_round(moody, batches),
        "alone and lossy": make_round(alone, lossy),
        "screened": make_round(screened),
        "raced": make_round(raced),
        "stopped": make_round(stopped),
        "shared": make_round(shared),
    }


#: accuracies by quarter of the steps
CURVES = {
    "baseline": (0.30, 0.40, 0.45, 0.50),
    "copy": (0.30, 0.40, 0.45, 0.50),
    "good": (0.31, 0.42, 0.47, 0.53),
    "wild": (0.10, 0.10, 0.10, 0.10),
    "lost": (0.28, 0.10, 0.10, 0.10),
}


def watched_outcome(intended: facts.RunIntended) -> dict[str, Any]:
    """A run whose evaluations are heard while it goes on."""
    accs, steps = CURVES[intended.config], intended.budget["max_steps"]
    scale = 9.0 if intended.config == "wild" else 1.0
    name = "baseline" if intended.config == "copy" else intended.config
    seen = [
        (steps * number // 4, scale * (2.0 - acc), acc, f"{name}{number}")
        for number, acc in enumerate(accs, start=1)
    ]
    return watched(accs[-1], *seen)


def outcome(intended: facts.RunIntended) -> dict[str, Any] | None:
    """How a run ends: a function of the run and its attempt alone, so that a retry is like the first try."""
    if intended.stage == "probe":
        return {"status": "ok", "bsz": 64, "extra": {}}
    if intended.config == "crashing":
        return failed("crash", "boom")
    if intended.task == "batches" and intended.stage == "medium" and intended.bsz == 64:
        return failed("oom", "CUDA out of memory")
    if intended.task == "stopped":
        return watched_outcome(intended)
    stage = 0.04 if intended.stage == "medium" else 0.0
    effect = SCORES[intended.config] - 0.5
    acc = (
        0.5
        + effect * (3 if intended.task in ("screened", "raced") else 1)
        + stage
        + 0.001 * (intended.seed % 3)
    )
    ended = ok(acc, loss=2.0 - acc, value=2.0 - acc if intended.task == "lossy" else acc)
    if intended.task == "shared" and intended.attempt == 1:
        return {**ended, "contaminated": {"seconds": 1.0, "share": 0.5, "by": []}}
    return ended


def run_with_crash(name: str, crash_after: int, recovers_results: bool) -> World:
    world = World(outcome, device=GPU, crash_after=crash_after, recovers_results=recovers_results)
    dropped = checked(ROUNDS[name])
    try:
        world.start()
        world.give(dropped)
    except Crash:
        world.crash_after = None
        world.start()
        world.give(dropped)  # the file is still in the queue, or comes again: idempotent
    return world


def decisions(world: World) -> list[facts.Fact]:
    kinds = (
        facts.VariantFact
        | facts.VerdictReached
        | facts.TaskBegun
        | facts.ConfirmSetFrozen
        | facts.LookTaken
        | facts.LessonLearnt
        | facts.TaskProbed
        | facts.TaskRebatched
        | facts.TaskParked
        | facts.TaskFinished
        | facts.RoundFinished
    )
    return [fact for fact in world.facts if isinstance(fact, kinds)]


def stops(world: World) -> set[tuple[str, str, str, int]]:
    """What was stopped, where and why; an attempt that was lost is stopped again like the first."""
    return {
        (fact.config, fact.stage, fact.rule, fact.step)
        for fact in world.facts
        if isinstance(fact, facts.StopDecided)
    }


def finished_well(world: World) -> Counter[Any]:
    """What counts; of a run that is made once more because it shared its device, the second time."""
    ends = (fact for fact in world.facts if isinstance(fact, facts.RunFinished))
    runs = (end for end in ends if end.status == "ok" and end.contaminated is None)
    return Counter((run.task, run.stage, run.config, run.seed, run.bsz, run.value) for run in runs)


ROUNDS = scripted_rounds()
UNBROKEN = {name: play(outcome, made, device=GPU) for name, made in ROUNDS.items()}
CRASHES = [(name, number) for name, world in UNBROKEN.items() for number in range(1, len(world.lines) + 1)]


@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="after any record of a round, whether the run in flight got to its end or not",
    outcome="the same decisions and the same finished runs as without it",
)
@pytest.mark.parametrize("recovers_results", [True, False], ids=["recovered", "lost"])
@pytest.mark.parametrize(("name", "crash_after"), CRASHES)
def test_a_crash_after_any_record_changes_no_decision(
    name: str, crash_after: int, recovers_results: bool
) -> None:
    world = run_with_crash(name, crash_after, recovers_results)
    assert decisions(world) == decisions(UNBROKEN[name])
    assert finished_well(world) == finished_well(UNBROKEN[name])
    assert stops(world) == stops(UNBROKEN[name])


def test_the_scripted_rounds_have_every_kind_of_decision() -> None:
    kinds = {type(fact) for world in UNBROKEN.values() for fact in decisions(world)}
    assert kinds == {
        facts.VariantPruned,
        facts.VariantPromoted,
        facts.VariantHeld,
        facts.ConfirmSetFrozen,
        facts.LookTaken,
        facts.VerdictReached,
        facts.TaskBegun,
        facts.TaskProbed,
        facts.TaskRebatched,
        facts.LessonLearnt,
        facts.TaskFinished,
        facts.RoundFinished,
    }
    assert len(CRASHES) > 80


def test_the_scripted_rounds_have_runs_that_are_stopped() -> None:
    assert stops(UNBROKEN["stopped"]) == {
        ("copy", "quick", "noop", 2),
        ("wild", "quick", "broken", 2),
        ("lost", "quick", "hopeless", 5),
    }
    ends = [f for f in UNBROKEN["stopped"].facts if isinstance(f, facts.RunFinished) and f.status == "pruned"]
    assert [(end.config, end.stopped_by, end.curve[-1][0]) for end in ends] == [
        ("copy", "noop", 5),
        ("wild", "broken", 5),
        ("lost", "hopeless", 7),
    ]


def test_no_run_is_done_twice_for_one_protocol() -> None:
    for world in UNBROKEN.values():
        keys = Counter(
            fact.content_key
            for fact in world.facts
            if isinstance(fact, facts.RunFinished) and fact.status == "ok" and fact.stage != "probe"
            if fact.contaminated is None
        )
        assert set(keys.values()) == {1}


def test_an_attempt_in_flight_at_the_crash_is_lost_and_tried_again() -> None:
    told = enumerate(UNBROKEN["two seeds"].facts, start=1)
    started = next(number for number, fact in told if isinstance(fact, facts.RunStarted))
    world = run_with_crash("two seeds", started, recovers_results=False)
    ends = [fact for fact in world.facts if isinstance(fact, facts.RunFinished)]
    assert [(end.attempt, end.status) for end in ends[:2]] == [(1, "lost"), (2, "ok")]
    assert replace(ends[0], attempt=2).key == ends[1].key
