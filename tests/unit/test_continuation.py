"""A promoted run goes on from its own shorter one, and no state outlives its use."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.world import Crash, World, checked, make_round, ok, play, task, watched

from scheduler.decide import actions as act
from scheduler.decide import facts, inputs
from scheduler.rounds.round import Budget, PolicyChoice, Stage

ACCURACIES = {"baseline": 0.5, "good": 0.6, "better": 0.7, "bad": 0.4}
IN_PLACE = ("good", "better", "bad")


def kept(intended: facts.RunIntended) -> dict[str, Any]:
    """A trainer that keeps its state where it is asked to, and goes on from one where it is given one."""
    steps = intended.budget["max_steps"]
    keeps = {"step": 8, "bytes": 100} if intended.keep_for_steps else None
    inherits = intended.continue_from["step"] if intended.continue_from else 0
    return ok(ACCURACIES[intended.config], steps=steps, kept=keeps, inherited_steps=inherits)


def runs(world: World) -> dict[tuple[str, str, int], facts.RunIntended]:
    """The last intent of every run."""
    return {(f.stage, f.config, f.slot): f for f in world.facts if isinstance(f, facts.RunIntended)}


def dropped(world: World) -> list[str]:
    return [name for a in world.performed if isinstance(a, act.DropStates) for name in a.run_dirs]


def test_a_promoted_run_goes_on_from_its_quick_state() -> None:
    intended = runs(play(kept, make_round()))
    for config in ("baseline", "good"):
        assert intended["quick", config, 0].keep_for_steps == 40
        assert intended["quick", config, 0].continue_from is None
        origin = {"run_dir": intended["quick", config, 0].run_dir, "step": 8}
        assert intended["medium", config, 0].continue_from == origin
        assert intended["medium", config, 0].keep_for_steps is None


def started(world: World) -> dict[tuple[str, str], facts.RunStarted]:
    return {(f.stage, f.config): f for f in world.facts if isinstance(f, facts.RunStarted)}


def test_a_run_that_is_promoted_at_once_goes_on_in_the_same_worker() -> None:
    world = play(kept, make_round(task(variants=IN_PLACE)), keep_step=8)
    quick, medium = (f"night/sums.{stage}.better.s0.a1" for stage in ("quick", "medium"))
    [continued] = [a for a in world.performed if isinstance(a, act.ContinueWorker)]
    assert (continued.attempt_id, continued.start.intended.attempt_id) == (quick, medium)
    assert started(world)["medium", "better"].made_for == quick
    begun = next(
        i
        for i, a in enumerate(world.performed)
        if isinstance(a, act.OpenGate) and a.started.attempt_id == quick
    )
    released = {a.attempt_id for a in world.performed[begun:] if isinstance(a, act.ReleaseWorker)}
    assert medium in released
    assert quick not in released


def test_a_run_that_has_to_wait_for_its_baseline_goes_on_from_the_disk() -> None:
    world = play(kept, make_round(task(variants=IN_PLACE)), keep_step=8)
    assert started(world)["medium", "good"].made_for is None
    assert runs(world)["medium", "good", 0].continue_from is not None


def test_what_was_prepared_for_the_other_decision_is_kept_for_after_the_continuation() -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        looks = (
            (5, 1.0, 0.3, f"{intended.config} 5"),
            (10, 1.0, ACCURACIES[intended.config], intended.config),
        )
        steps = intended.budget["max_steps"]
        return {**watched(ACCURACIES[intended.config], *looks), **kept(intended), "steps": steps}

    world = play(outcome, make_round(task(variants=IN_PLACE)), keep_step=8)
    bad = "night/sums.quick.bad.s0.a1"
    ahead = [a.start.intended.attempt_id for a in world.performed if isinstance(a, act.PrepareAhead)]
    assert ahead.count(bad) == 1
    assert started(world)["quick", "bad"].is_prepared_ahead


def test_a_worker_that_died_meanwhile_leaves_its_run_to_another() -> None:
    world = World(kept, keep_step=8)
    world.start()

    def act_on(effect: act.Action) -> None:
        if isinstance(effect, act.ContinueWorker) and effect.start.intended.attempt == 1:
            end = inputs.WorkerEnded(attempt_id=effect.start.intended.attempt_id, returncode=-9)
            world.inbox.append(end)
        else:
            World._act(world, effect)

    world._act = act_on  # type: ignore[method-assign]
    world.give(checked(make_round(task(variants=IN_PLACE))))
    ends = [f for f in world.facts if isinstance(f, facts.RunFinished) and f.config == "better"]
    assert [(end.stage, end.attempt, end.status) for end in ends] == [
        ("quick", 1, "ok"),
        ("medium", 1, "failed"),
        ("medium", 2, "ok"),
    ]
    assert started(world)["medium", "better"].made_for is None


def test_what_was_inherited_is_recorded() -> None:
    world = play(kept, make_round())
    ends = [fact for fact in world.facts if isinstance(fact, facts.RunFinished)]
    told = {(end.stage, end.config): (end.steps, end.inherited_steps, end.kept_step) for end in ends}
    assert told["medium", "good"] == (40, 8, None)
    assert told["quick", "good"] == (10, 0, 8)


def test_a_state_goes_when_it_was_used_or_its_variant_pruned() -> None:
    world = play(kept, make_round())
    intended = runs(world)
    assert {intended["quick", config, 0].run_dir for config in ("baseline", "good", "bad")} <= set(
        dropped(world)
    )
    pruned = world.performed.index(
        act.DropStates(round="night", run_dirs=(intended["quick", "bad", 0].run_dir,))
    )
    assert pruned < len(world.performed) - 1


def test_a_trainer_that_keeps_nothing_is_asked_for_nothing_more() -> None:
    world = play(lambda intended: ok(ACCURACIES[intended.config]), make_round())
    assert all(run.continue_from is None for run in runs(world).values())
    assert dropped(world) == []


def test_a_state_in_memory_alone_is_gone_with_its_worker() -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        return {**kept(intended), "kept": {"step": 8, "bytes": None}}

    assert all(run.continue_from is None for run in runs(play(outcome, make_round())).values())


def test_fresh_seeds_begin_at_their_first_step() -> None:
    screened = task(variants=("good", "bad"), policy=PolicyChoice(name="screen_confirm", options={}))

    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        return {**kept(intended), "scores_digest": f"{intended.stage} {intended.config} {intended.seed}"}

    intended = runs(play(outcome, make_round(screened)))
    fresh = [run for (stage, _, slot), run in intended.items() if stage == "medium" and slot > 0]
    assert fresh
    assert all(run.continue_from is None and run.keep_for_steps is None for run in fresh)
    assert intended["medium", "good", 0].continue_from is not None


@pytest.mark.parametrize(
    "stages",
    [
        pytest.param((10, 10), id="the same steps"),
        pytest.param((None, None), id="no steps"),
        pytest.param((40, 10), id="fewer steps"),
    ],
)
def test_nothing_is_kept_where_no_longer_run_follows(stages: tuple[int | None, int | None]) -> None:
    budgets = [Budget(max_steps=steps, time_budget_sec=60.0) for steps in stages]
    made = task(
        stages=tuple(
            Stage(name=name, budget=b) for name, b in zip(("quick", "medium"), budgets, strict=True)
        ),
        has_steps=False,
    )
    world = play(lambda intended: ok(ACCURACIES[intended.config]), make_round(made))
    assert {run.keep_for_steps for run in runs(world).values()} == {None}


def test_a_smaller_batch_size_goes_on_from_nothing_of_the_larger() -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        if intended.stage == "probe":
            return {"status": "ok", "bsz": 64, "extra": {}}
        if intended.stage == "medium" and intended.bsz == 64:
            failure = {"class": "oom", "message": "out of memory", "text": "out of memory"}
            return {"status": "failed", "failure": failure}
        return {**kept(intended), "bsz": intended.bsz}

    world = play(outcome, make_round(task(variants=("good",), bsz=(64, 32))))
    for run in world.facts:
        if isinstance(run, facts.RunIntended) and run.continue_from is not None:
            origin = next(
                f
                for f in world.facts
                if isinstance(f, facts.RunFinished) and f.run_dir == run.continue_from["run_dir"]
            )
            assert origin.bsz == run.bsz
    assert runs(world)["medium", "good", 0].bsz == 32


@pytest.mark.parametrize("crash_after", range(1, 30))
def test_a_crash_changes_nothing_of_what_goes_on_from_what(crash_after: int) -> None:
    whole = play(kept, make_round())
    world = World(kept, crash_after=crash_after)
    try:
        world.start()
        world.give(checked(make_round()))
    except Crash:
        world.crash_after = None
        world.start()
        world.give(checked(make_round()))
    for key, run in runs(whole).items():
        again = runs(world)[key]
        assert (again.keep_for_steps, again.continue_from is None) == (
            run.keep_for_steps,
            run.continue_from is None,
        )
