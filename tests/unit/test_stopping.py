"""When is a run stopped before its end, and what becomes of its variant?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from fakes.world import Crash, World, checked, make_round, play, task, watched

from scheduler.decide import actions as act
from scheduler.decide import facts, inputs
from scheduler.rounds.round import PolicyChoice

BASELINE = (0.30, 0.40, 0.45, 0.50)
FAR_BEHIND = (0.28, 0.10, 0.10, 0.10)


def outcome_of(**curves: Sequence[float]) -> Any:
    """Runs with those accuracies by quarter of their steps; equal accuracies have equal scores."""

    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        accs, steps = {"baseline": BASELINE, **curves}[intended.config], intended.budget["max_steps"]
        seen = [(steps * number // 4, 2.0 - acc, acc, f"{acc}") for number, acc in enumerate(accs, start=1)]
        return watched(accs[-1], *seen)

    return outcome


def threshold(**options: Any) -> PolicyChoice:
    return PolicyChoice(name="threshold", options=options)


def one(policy: PolicyChoice, *variants: str, **changes: Any) -> Any:
    return make_round(task("sums", variants=variants, policy=policy, **changes))


def stops(world: World) -> list[facts.StopDecided]:
    return [fact for fact in world.facts if isinstance(fact, facts.StopDecided)]


def ends(world: World, config: str) -> list[facts.RunFinished]:
    return [fact for fact in world.facts if isinstance(fact, facts.RunFinished) and fact.config == config]


def verdicts(world: World) -> dict[str, tuple[str, str]]:
    found = (fact for fact in world.facts if isinstance(fact, facts.VerdictReached))
    return {fact.config: (fact.verdict, fact.reason) for fact in found}


def test_a_no_op_is_stopped_at_its_first_look_and_ends_at_the_next_evaluation() -> None:
    world = play(outcome_of(copy=BASELINE), one(threshold(), "copy"))
    (stop,) = stops(world)
    assert (stop.config, stop.stage, stop.rule, stop.step) == ("copy", "quick", "noop", 2)
    (end,) = ends(world, "copy")
    assert (end.status, end.stopped_by, end.value) == ("pruned", "noop", 0.40)
    assert verdicts(world)["copy"][0] == "NEUTRAL"


def test_the_stop_is_recorded_before_the_worker_hears_of_it() -> None:
    world = play(outcome_of(copy=BASELINE), one(threshold(), "copy"))
    told = [each for each in world.performed if isinstance(each, act.Record | act.StopRun)]
    index = next(i for i, each in enumerate(told) if isinstance(each, act.StopRun))
    before = told[index - 1]
    assert isinstance(before, act.Record)
    assert isinstance(before.fact, facts.StopDecided)


def test_what_follows_a_stopped_run_is_prepared_while_it_ends() -> None:
    world = play(outcome_of(copy=BASELINE, better=(0.4, 0.5, 0.6, 0.7)), one(threshold(), "copy", "better"))
    stop = next(i for i, each in enumerate(world.performed) if isinstance(each, act.StopRun))
    ahead = [each for each in world.performed[: stop + 2] if isinstance(each, act.PrepareAhead)][-1]
    assert (ahead.start.intended.stage, ahead.start.intended.config) == ("quick", "better")
    started = [fact for fact in world.facts if isinstance(fact, facts.RunStarted) and fact.config == "better"]
    assert started[0].is_prepared_ahead


def test_a_run_is_told_to_stop_once() -> None:
    world = World(outcome_of(copy=BASELINE))
    world.start()
    world.give(checked(one(threshold(), "copy")))
    assert sum(isinstance(each, act.StopRun) for each in world.performed) == 1


def test_a_stopped_run_that_ended_unheard_is_known_by_its_rule() -> None:
    """The daemon dies after it told the run to stop; the run ends, and its result is found."""
    made = one(threshold(), "copy")
    unbroken = play(outcome_of(copy=BASELINE), made)
    decided = next(i for i, fact in enumerate(unbroken.facts, 1) if isinstance(fact, facts.StopDecided))
    world = World(outcome_of(copy=BASELINE), crash_after=decided)
    world.start()
    with pytest.raises(Crash):
        world.give(checked(made))
    attempt_id = stops(world)[0].attempt_id
    world.published[attempt_id] = unbroken.published[attempt_id]
    world.crash_after = None
    world.start()
    (end,) = ends(world, "copy")
    assert (end.attempt, end.status, end.stopped_by, end.is_recovered) == (1, "pruned", "noop", True)
    assert verdicts(world) == verdicts(unbroken)


def test_further_seeds_of_a_no_op_do_not_run() -> None:
    world = play(outcome_of(copy=BASELINE), one(threshold(), "copy", seeds=(0, 1, 2)))
    assert len(ends(world, "copy")) == 1


def test_no_rule_is_asked_where_none_is_wanted() -> None:
    world = play(outcome_of(copy=BASELINE), one(threshold(stops=[]), "copy"))
    assert stops(world) == []
    assert {end.status for end in ends(world, "copy")} == {"ok"}


def test_the_baseline_is_never_stopped() -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        seen = [(step, 10.0 * step, 0.1, "same") for step in (2, 5, 7, 10)]
        return watched(0.1, *seen)

    world = play(outcome, one(threshold(stops=["broken", "hopeless"]), "v"))
    assert stops(world) == []


def test_a_hopeless_run_is_stopped_only_where_the_rule_is_named() -> None:
    assert stops(play(outcome_of(lost=FAR_BEHIND), one(threshold(), "lost"))) == []
    sure = threshold(stops=["hopeless"], stop_options={"hopeless": {"audit_share": 0.0}})
    world = play(outcome_of(lost=FAR_BEHIND), one(sure, "lost"))
    (stop,) = stops(world)
    assert (stop.rule, stop.step, stop.is_audit) == ("hopeless", 5, False)
    assert verdicts(world)["lost"][0] == "INCONCLUSIVE"


def test_an_audited_run_goes_on_to_its_end_and_is_decided_once() -> None:
    audited = threshold(stops=["hopeless"], stop_options={"hopeless": {"audit_share": 1.0}})
    world = play(outcome_of(lost=FAR_BEHIND), one(audited, "lost"))
    (stop,) = stops(world)
    assert stop.is_audit
    (end,) = ends(world, "lost")
    assert (end.status, end.stopped_by) == ("ok", None)
    assert not any(isinstance(each, act.StopRun) for each in world.performed)


def test_seeds_that_judge_are_never_stopped() -> None:
    """Fresh seeds of a candidate may equal the baseline's or be far behind: they run to their end."""

    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        is_fresh = intended.slot > 0 and intended.config == "good"
        shift = 0.0 if intended.config == "baseline" else 0.2
        steps = intended.budget["max_steps"]
        accs = FAR_BEHIND if is_fresh else tuple(acc + shift for acc in BASELINE)
        noise = 0.001 * (intended.seed % 7)
        seen = [
            (steps * number // 4, 2.0 - acc, acc + noise, f"{acc}{noise}")
            for number, acc in enumerate(accs, start=1)
        ]
        return watched(accs[-1] + noise, *seen)

    policy = PolicyChoice(
        name="screen_confirm",
        options={"stops": ["noop", "broken", "hopeless"], "stop_options": {"hopeless": {"audit_share": 0.0}}},
    )
    world = play(outcome, one(policy, "good", "other"))
    fresh = [end for end in ends(world, "good") if end.slot > 0]
    assert fresh
    assert {end.status for end in fresh} == {"ok"}
    assert not any(stop.config == "good" for stop in stops(world))


def test_a_rule_that_sees_it_at_the_last_evaluation_stops_nothing() -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        steps = intended.budget["max_steps"]
        return watched(0.5, (steps, 1.0, 0.5, "same"))

    world = play(outcome, one(threshold(), "copy"))
    assert stops(world) == []
    assert verdicts(world)["copy"][0] == "NEUTRAL"


# Advice


def advised(**more: Any) -> PolicyChoice:
    return threshold(stops=["optuna:MedianPruner"], **more)


class Halted(World):
    """A world in which a run stays in flight after its second evaluation, until it is told how to go on."""

    def _train(self, intended: facts.RunIntended) -> None:
        super()._train(intended)
        if intended.config == "v":
            coming = inputs.RunEvaluated | inputs.RunResult
            mine = [e for e in self.inbox if isinstance(e, coming) and e.attempt_id == intended.attempt_id]
            self.held = mine[2:]
            self.inbox = type(self.inbox)(each for each in self.inbox if each not in self.held)

    def go_on(self) -> None:
        self.inbox.extend(self.held)
        self.give()

    def _stop(self, attempt_id: str) -> None:
        self.inbox.extend(self.held)
        super()._stop(attempt_id)


def halted(policy: PolicyChoice) -> Halted:
    world = Halted(outcome_of(v=FAR_BEHIND, earlier=(0.3, 0.41, 0.45, 0.5)))
    world.start()
    world.give(checked(one(policy, "earlier", "v")))
    return world


def questions(world: World) -> list[Any]:
    return [each.question for each in world.performed if isinstance(each, act.AskAdvice)]


def test_a_pruner_is_asked_with_all_screening_runs_of_the_stage() -> None:
    asked = [each for each in questions(halted(advised())) if each.attempt_id == "night/sums.quick.v.s0.a1"]
    assert [each.step for each in asked] == [2, 5]
    runs = asked[-1].runs
    assert [(run.run_dir, run.outcome) for run in runs] == [
        ("sums.quick.baseline.s0.a1", "complete"),
        ("sums.quick.earlier.s0.a1", "complete"),
        ("sums.quick.v.s0.a1", "running"),
    ]
    assert runs[-1].points == ((2, 0.28), (5, 0.10))
    assert runs[0].points == ((2, 0.30), (5, 0.40), (7, 0.45), (10, 0.50))
    assert asked[-1].rules[0].name == "optuna:MedianPruner"


def test_the_baseline_is_asked_about_never() -> None:
    assert all("baseline" not in each.attempt_id for each in questions(halted(advised())))


def test_an_advice_is_recorded_and_the_run_ends() -> None:
    world = halted(advised())
    attempt_id = questions(world)[-1].attempt_id
    said = inputs.StopAdvised(attempt_id=attempt_id, rule="optuna:MedianPruner", reason="low", step=5)
    world.give(said, said)
    (stop,) = stops(world)
    assert (stop.rule, stop.reason, stop.step, stop.is_audit) == ("optuna:MedianPruner", "low", 5, False)
    (end,) = ends(world, "v")
    assert (end.status, end.stopped_by, end.steps) == ("pruned", "optuna:MedianPruner", 7)
    assert verdicts(world)["v"][0] == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("attempt_id", "rule"),
    [
        ("night/sums.quick.v.s0.a1", "optuna:HyperbandPruner"),
        ("night/sums.quick.earlier.s0.a1", "optuna:MedianPruner"),
        ("night/sums.quick.baseline.s0.a1", "optuna:MedianPruner"),
        ("night/nothing", "optuna:MedianPruner"),
    ],
    ids=["a rule that was not asked", "a run that has ended", "the baseline", "nobody"],
)
def test_an_advice_that_is_out_of_place_does_nothing(attempt_id: str, rule: str) -> None:
    world = halted(advised())
    world.give(inputs.StopAdvised(attempt_id=attempt_id, rule=rule, reason="low", step=5))
    assert stops(world) == []


def test_an_advice_that_comes_after_the_last_evaluation_does_nothing() -> None:
    world = halted(advised())
    last = world.held.pop(-2)
    assert isinstance(last, inputs.RunEvaluated)
    assert last.step == 10
    end = world.held.pop()
    world.give(last)
    attempt_id = last.attempt_id
    world.give(inputs.StopAdvised(attempt_id=attempt_id, rule="optuna:MedianPruner", reason="low", step=7))
    assert stops(world) == []
    world.give(end)
    assert ends(world, "v")[0].status == "ok"
