"""What the daemon decides, told as given and then, in a world without files and processes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes.world import CPU, GPU, Training, World, checked, failed, make_round, ok, play, task

from scheduler.decide import actions as act
from scheduler.decide import facts, inputs
from scheduler.decide.failures import Limits
from scheduler.decide.prediction import STAND_BACK_SECONDS
from scheduler.decide.step import is_idle, why_nothing_runs
from scheduler.rounds.round import Budget, PolicyChoice, Stage


def by_config(scores: dict[str, float]) -> Any:
    """An outcome that depends on the config alone; medium is better than quick by 10 pp for everybody."""

    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        return ok(scores[intended.config] + (0.10 if intended.stage == "medium" else 0.0))

    return outcome


PLAIN = by_config({"baseline": 0.5, "good": 0.53, "bad": 0.4})


def runs(world: World) -> list[tuple[str, str, int, str]]:
    ends = (fact for fact in world.facts if isinstance(fact, facts.RunFinished))
    return [(end.stage, end.config, end.attempt, end.status) for end in ends]


def facts_of(world: World, kind: type[Any]) -> list[Any]:
    return [fact for fact in world.facts if isinstance(fact, kind)]


def test_the_baseline_runs_at_a_stage_when_the_first_variant_needs_it_there() -> None:
    world = play(PLAIN, make_round())
    assert [(stage, config) for stage, config, *_ in runs(world)] == [
        ("quick", "baseline"),
        ("quick", "good"),
        ("medium", "baseline"),
        ("medium", "good"),
        ("quick", "bad"),
    ]


def test_without_a_survivor_there_is_no_medium_baseline() -> None:
    world = play(by_config({"baseline": 0.5, "good": 0.5, "bad": 0.4}), make_round())
    assert {stage for stage, *_ in runs(world)} == {"quick"}


def test_the_delta_of_a_stage_is_matched_to_the_baseline_of_that_stage() -> None:
    world = play(PLAIN, make_round())
    [held] = facts_of(world, facts.VariantHeld)
    assert (held.stage, held.config) == ("medium", "good")
    assert held.d_acc == pytest.approx(3.0)
    assert held.baseline_mean == pytest.approx(0.6)


def test_the_page_is_made_again_after_every_run_and_at_once_at_the_end() -> None:
    world = play(PLAIN, make_round())
    reports = [action for action in world.performed if isinstance(action, act.WriteReport)]
    assert sum(report.is_live for report in reports) == len(runs(world))
    assert not reports[-1].is_live


def test_a_higher_priority_goes_first_and_equals_go_in_order_of_acceptance() -> None:
    # The first round's baseline is in flight before the others arrive.
    late = [make_round(id="second"), make_round(id="urgent", priority=5), make_round(id="third")]
    world = play(PLAIN, make_round(id="first"), *late)
    finished = [fact.round for fact in facts_of(world, facts.RoundFinished)]
    assert finished == ["urgent", "first", "second", "third"]


def test_a_round_waits_for_the_rounds_it_comes_after() -> None:
    world = play(PLAIN, make_round(id="b", after=("a",)))
    assert runs(world) == []
    assert why_nothing_runs(world.state, world.limits) == "round b waits for a to finish"
    world.give(checked(make_round(id="a"), sha256="1" * 64))
    assert [fact.round for fact in facts_of(world, facts.RoundFinished)] == ["a", "b"]


@pytest.mark.parametrize(
    ("request_made", "reason"),
    [
        (inputs.RequestMade(id="1", verb="pause", reason="lunch"), "paused: lunch"),
        (inputs.GateChanged(source="gpu", wait_reason="GPU busy: x (pid 1)"), "GPU busy: x (pid 1)"),
    ],
)
def test_nothing_starts_while_something_forbids_it(request_made: Any, reason: str) -> None:
    world = World(PLAIN)
    world.start()
    world.give(request_made, checked(make_round()))
    assert runs(world) == []
    assert why_nothing_runs(world.state, world.limits) == reason


def test_what_was_held_back_goes_on_when_the_way_is_free() -> None:
    world = World(PLAIN)
    world.start()
    world.give(inputs.RequestMade(id="1", verb="pause"), checked(make_round()))
    world.give(inputs.RequestMade(id="2", verb="resume"))
    assert len(runs(world)) == 5
    assert is_idle(world.state, world.limits)


def test_a_pause_outlives_a_restart() -> None:
    world = World(PLAIN)
    world.start()
    world.give(inputs.RequestMade(id="1", verb="pause", reason="lunch"))
    world.start()
    world.give(checked(make_round()))
    assert why_nothing_runs(world.state, world.limits) == "paused: lunch"


def test_the_same_bytes_again_are_no_news_and_other_bytes_are_a_conflict() -> None:
    world = play(PLAIN, make_round())
    before = len(world.lines)
    world.give(checked(make_round()))
    assert isinstance(world.performed[-1], act.MoveSpec)
    world.give(checked(make_round(title="changed"), sha256="f" * 64))
    rejected = world.performed[-1]
    assert isinstance(rejected, act.RejectSpec)
    assert "another id" in rejected.rejected.problems[0]
    assert [record["event"] for record in world.records[before:]] == ["spec_rejected"]


def crashing(config: str, stage: str = "quick", failure: Any = None) -> Any:
    failure = failed("crash", "boom") if failure is None else failure

    def outcome(intended: facts.RunIntended) -> Any:
        if (intended.config, intended.stage) == (config, stage):
            return failure
        return PLAIN(intended)

    return outcome


def test_a_baseline_that_fails_parks_the_task_and_the_next_task_runs() -> None:
    first, second = task("first"), task("second")

    def outcome(intended: facts.RunIntended) -> Any:
        return failed("crash", "boom") if intended.task == "first" else PLAIN(intended)

    world = play(outcome, make_round(first, second))
    [parked] = facts_of(world, facts.TaskParked)
    assert parked.task == "first"
    assert "baseline failed (crash): boom" in parked.reason
    assert [fact.outcome for fact in facts_of(world, facts.RoundFinished)] == ["parked"]
    assert len([run for run in facts_of(world, facts.RunFinished) if run.task == "second"]) == 5


@pytest.mark.fault(
    "a variant fails, its baseline does not",
    moment="at any stage",
    outcome="broken arguments, a divergence and a crash that comes twice lose; what was killed is not judged",
)
@pytest.mark.parametrize(
    ("failure_class", "attempts", "verdict"),
    [
        ("crash", 2, "LOSER"),
        ("nan", 1, "LOSER"),
        ("bad_args", 1, "LOSER"),
        ("killed", 3, "INCONCLUSIVE"),
    ],
)
def test_a_failing_variant_is_tried_as_its_class_allows(
    failure_class: str, attempts: int, verdict: str
) -> None:
    world = play(crashing("bad", failure=failed(failure_class)), make_round())
    tries = [run for run in runs(world) if run[1] == "bad"]
    assert [attempt for _, _, attempt, _ in tries] == list(range(1, attempts + 1))
    verdicts = {fact.config: fact.verdict for fact in facts_of(world, facts.VerdictReached)}
    assert verdicts == {"good": "SUGGESTIVE", "bad": verdict}


@pytest.mark.parametrize("failure_class", ["data", "hung", "gpu", "oom"])
def test_infrastructure_parks_the_task_and_gives_no_verdict(failure_class: str) -> None:
    world = play(crashing("bad", failure=failed(failure_class)), make_round())
    while world.state.paused is not None:
        world.give(inputs.RequestMade(id="1", verb="resume"))
    [parked] = facts_of(world, facts.TaskParked)
    assert parked.failure_class == failure_class
    assert parked.remedy
    assert "bad" not in {fact.config for fact in facts_of(world, facts.VerdictReached)}


def test_two_variants_that_fail_alike_park_the_task() -> None:
    def outcome(intended: facts.RunIntended) -> Any:
        if intended.config == "baseline":
            return ok(0.5)
        return failed("crash", f"no kernel image at 0x{7919 * ord(intended.config):x}")

    world = play(outcome, make_round(task(variants=("a", "b", "c", "d"))))
    [parked] = facts_of(world, facts.TaskParked)
    assert "a and b failed alike" in parked.reason
    assert {run[1] for run in runs(world)} == {"baseline", "a", "b"}


def test_variants_that_diverge_alike_do_not_park_the_task() -> None:
    def outcome(intended: facts.RunIntended) -> Any:
        return ok(0.5) if intended.config == "baseline" else failed("nan", "loss is nan")

    world = play(outcome, make_round())
    assert facts_of(world, facts.TaskParked) == []
    assert {fact.verdict for fact in facts_of(world, facts.VerdictReached)} == {"LOSER"}


def test_an_out_of_memory_lowers_the_batch_for_the_whole_task_baseline_first() -> None:
    def outcome(intended: facts.RunIntended) -> Any:
        if intended.stage == "probe":
            return {"status": "ok", "bsz": 64, "extra": {}}
        if intended.stage == "medium" and intended.bsz == 64:
            return failed("oom", "CUDA out of memory")
        return PLAIN(intended)

    world = play(outcome, make_round(task(variants=("good",), bsz=(64, 48, 32))), device=GPU)
    assert [(run.stage, run.config, run.bsz) for run in facts_of(world, facts.RunFinished)] == [
        ("probe", "bsz", 64),
        ("quick", "baseline", 64),
        ("quick", "good", 64),
        ("medium", "baseline", 64),
        ("quick", "baseline", 48),
        ("quick", "good", 48),
        ("medium", "baseline", 48),
        ("medium", "good", 48),
    ]


def test_on_the_cpu_the_first_batch_size_is_taken_without_a_probe() -> None:
    world = play(PLAIN, make_round(task(bsz=(64, 32))))
    [probed] = facts_of(world, facts.TaskProbed)
    assert (probed.bsz, probed.reason) == (64, "the CPU takes the first")
    assert all(run[0] != "probe" for run in runs(world))


def test_seconds_without_steps_are_calibrated_once_and_frozen() -> None:
    stages = (
        Stage(name="quick", budget=Budget(max_steps=None, time_budget_sec=10.0)),
        Stage(name="medium", budget=Budget(max_steps=40, time_budget_sec=40.0)),
    )

    def outcome(intended: facts.RunIntended) -> Any:
        if intended.stage == "probe":
            return {"status": "ok", "bsz": None, "extra": {"max_steps.quick": 17, "seconds_per_step": 0.5}}
        return PLAIN(intended)

    world = play(outcome, make_round(task(stages=stages)), device=CPU)
    budgets = {run.stage: run.budget["max_steps"] for run in facts_of(world, facts.RunFinished)}
    assert budgets == {"probe": None, "quick": 17, "medium": 40}


def test_a_probe_that_fails_parks_the_task_with_its_message() -> None:
    def outcome(intended: facts.RunIntended) -> Any:
        return failed("bad_args", "side must be 4 or 9")

    world = play(outcome, make_round(task(bsz=(64, 32))), device=GPU)
    [parked] = facts_of(world, facts.TaskParked)
    assert "side must be 4 or 9" in parked.reason


@pytest.mark.fault(
    "a task is parked",
    moment="when its cause is mended",
    outcome="`schedctl retry` runs what failed again, and nothing that had finished",
)
def test_a_retry_forgives_what_failed_and_keeps_what_finished() -> None:
    broken = {"is": True}

    def outcome(intended: facts.RunIntended) -> Any:
        if intended.config == "bad" and broken["is"]:
            return failed("data", "Only built 374 examples (wanted 900)")
        return PLAIN(intended)

    world = play(outcome, make_round())
    assert facts_of(world, facts.RoundFinished)[-1].outcome == "parked"
    broken["is"] = False
    world.give(inputs.RequestMade(id="1", verb="retry", round="night"))
    assert facts_of(world, facts.RoundFinished)[-1].outcome == "finished"
    assert runs(world)[-1] == ("quick", "bad", 2, "ok")
    assert len(runs(world)) == 6


def test_a_network_failure_waits_before_it_is_tried_again() -> None:
    down = {"tries": 1}

    def outcome(intended: facts.RunIntended) -> Any:
        if intended.config == "bad" and intended.attempt <= down["tries"]:
            return failed("network", "connection refused")
        return PLAIN(intended)

    world = play(outcome, make_round(), limits=Limits(network_backoff_seconds=60.0))
    assert "network" in str(why_nothing_runs(world.state, world.limits))
    [waiting] = [a for a in world.performed if isinstance(a, act.SetDeadline) and a.event.kind == "backoff"]
    assert waiting.seconds == 60.0
    world.give(waiting.event)
    assert runs(world)[-1] == ("quick", "bad", 2, "ok")


def training() -> Training:
    world = Training(PLAIN)
    world.start()
    world.give(checked(make_round()))
    return world


def test_a_run_past_its_time_budget_is_ended_and_keeps_its_last_evaluation() -> None:
    world = training()
    seen = inputs.RunEvaluated(
        attempt_id=world.training, step=5, loss=1.0, acc=0.4, value=0.4, train_seconds=50.0
    )
    world.give(seen, inputs.DeadlinePassed(attempt_id=world.training, kind="time_budget"))
    [end] = facts_of(world, facts.RunFinished)
    assert (end.status, end.value, end.curve, end.failure_class) == ("timed_out", 0.4, ((5, 0.4),), None)


def test_the_time_budget_gets_a_margin_for_the_worker_to_end_the_run_itself() -> None:
    world = training()
    [deadline] = [a for a in world.performed if isinstance(a, act.SetDeadline) and "time_budget" in a.key]
    assert deadline.seconds == 60.0 + Limits().kill_margin_seconds


def test_a_silent_worker_is_hung_and_tried_once_more() -> None:
    world = training()
    world.give(inputs.DeadlinePassed(attempt_id=world.training, kind="heartbeat"))
    [end] = facts_of(world, facts.RunFinished)
    assert (end.status, end.failure_class) == ("failed", "hung")
    assert world.training.endswith(".a2")


def test_a_cancelled_round_ends_its_run_and_starts_no_other() -> None:
    world = training()
    world.give(inputs.RequestMade(id="1", verb="cancel", round="night"))
    assert runs(world) == [("quick", "baseline", 1, "cancelled")]
    assert facts_of(world, facts.RoundFinished)[-1].outcome == "cancelled"
    assert is_idle(world.state, world.limits)


def test_a_shutdown_ends_the_run_and_the_next_daemon_tries_it_again() -> None:
    world = training()
    world.give(inputs.ShutdownRequested(reason="SIGTERM"))
    assert runs(world) == [("quick", "baseline", 1, "cancelled")]
    assert isinstance(world.performed[-1], act.Exit)
    world.start()
    assert world.training.endswith("quick.baseline.s0.a2")


def test_a_drain_lets_the_run_in_progress_finish_and_then_exits() -> None:
    world = training()
    world.give(inputs.RequestMade(id="1", verb="drain"))
    assert world.is_running
    world.give(inputs.RunResult(attempt_id=world.training, result=ok(0.5)))
    assert not world.is_running
    assert runs(world) == [("quick", "baseline", 1, "ok")]


def test_a_worker_that_does_not_go_is_ended() -> None:
    world = training()
    world.give(inputs.DeadlinePassed(attempt_id=world.training, kind="exit"))
    assert any(isinstance(a, act.EndWorker) and a.ended_by == "leftover" for a in world.performed)


def test_a_device_that_keeps_memory_is_dirty_and_waited_for() -> None:
    world = Training(PLAIN, device=GPU)
    world.start()
    world.give(checked(make_round()))
    first = world.training
    world.give(
        inputs.WorkerEnded(attempt_id=first, returncode=-9, kept_memory="GPU memory: 900 MiB are in use")
    )
    assert "dirty" in str(why_nothing_runs(world.state, world.limits))
    world.give(inputs.RequestMade(id="1", verb="resume"))
    assert world.training != first


def linger(world: World, *attempt_ids: str) -> None:
    """Processes that take their time to go when they are told to."""

    def act_on(effect: act.Action) -> None:
        if not isinstance(effect, act.ReleaseWorker) or effect.attempt_id not in attempt_ids:
            World._act(world, effect)

    world._act = act_on  # type: ignore[method-assign]


def test_the_next_run_waits_until_the_process_before_it_is_gone() -> None:
    world = training()
    finished = world.training

    linger(world, finished)
    world.give(inputs.RunResult(attempt_id=finished, result=ok(0.5)))
    assert world.training == finished
    assert why_nothing_runs(world.state, world.limits) is None
    world.give(inputs.WorkerEnded(attempt_id=finished, returncode=0))
    assert world.training != finished


@pytest.mark.parametrize(
    ("status", "peak_mib", "free_mib", "starts"),
    [
        ("ok", 800.0, 1000.0, True),
        ("pruned", 800.0, 1000.0, True),
        ("ok", 800.0, 999.0, False),
        ("ok", None, 1000.0, False),
        ("ok", 800.0, None, False),
        ("failed", 800.0, 1000.0, False),
    ],
    ids=["room", "stopped early", "too little", "need unknown", "free unknown", "ended badly"],
)
def test_the_next_run_starts_beside_a_process_that_leaves_when_memory_allows_it(
    status: str, peak_mib: float | None, free_mib: float | None, starts: bool
) -> None:
    world = training()
    finish(world, 0.5)
    leaving = world.training
    linger(world, leaving)
    result = {**ok(0.4, peak_memory_mib=peak_mib), "status": status}
    if status == "failed":
        result |= failed("nan")
    world.give(inputs.RunResult(attempt_id=leaving, result=result, free_memory_mib=free_mib))
    assert (world.training != leaving) == starts


def test_never_more_than_two_processes_are_on_a_device() -> None:
    world = training()
    first = world.training
    for _ in range(2):
        leaving = world.training
        linger(world, first, leaving)
        result = ok(0.5, peak_memory_mib=10.0)
        world.give(inputs.RunResult(attempt_id=leaving, result=result, free_memory_mib=9000.0))
    assert world.training == leaving, "the one before has not gone yet"
    world.give(inputs.WorkerEnded(attempt_id=first, returncode=0))
    assert world.training != leaving


def test_memory_kept_by_a_process_that_left_beside_a_run_stops_the_next_start_only() -> None:
    world = Training(PLAIN, device=GPU)
    world.start()
    world.give(checked(make_round()))
    leaving = world.training
    linger(world, leaving)
    result = ok(0.5, peak_memory_mib=10.0)
    world.give(inputs.RunResult(attempt_id=leaving, result=result, free_memory_mib=9000.0))
    beside = world.training
    world.give(inputs.WorkerEnded(attempt_id=leaving, returncode=0, kept_memory="900 MiB are in use"))
    finish(world, 0.53)
    assert world.training == beside
    assert "dirty" in str(why_nothing_runs(world.state, world.limits))
    world.give(inputs.GateChanged(source="gpu", wait_reason=None))
    assert world.training != beside


def asked(world: World, kind: type[Any]) -> list[str]:
    """Attempts, without the round, for which an action was asked."""
    found = []
    for action in world.performed:
        if isinstance(action, kind):
            intended = action.start.intended if isinstance(action, act.PrepareAhead) else action.intended
            found.append(intended.attempt_id.removeprefix("night/sums."))
    return found


def reach(world: Training, step: int, value: float) -> None:
    """The run in flight comes to an evaluation."""
    world.give(
        inputs.RunEvaluated(
            attempt_id=world.training, step=step, loss=1.0, acc=value, value=value, train_seconds=1.0
        )
    )


def finish(world: Training, acc: float, *curve: tuple[int, float]) -> None:
    """The run in flight ends with this accuracy."""
    result = ok(acc, curve=[list(point) for point in curve] or [[10, acc]])
    world.give(inputs.RunResult(attempt_id=world.training, result=result))


def test_the_next_run_is_prepared_while_one_trains_and_starts_without_a_new_worker() -> None:
    world = training()
    assert asked(world, act.PrepareAhead) == ["quick.good.s0.a1"]
    finish(world, 0.5)
    assert world.training.endswith("quick.good.s0.a1")
    assert asked(world, act.StartWorker) == ["quick.baseline.s0.a1"]
    assert [start.is_prepared_ahead for start in facts_of(world, facts.RunStarted)] == [False, True]


@pytest.mark.parametrize(
    ("seen", "predicted"),
    [(0.30, ["quick.bad.s0.a1"]), (0.45, ["quick.bad.s0.a1", "medium.baseline.s0.a1"])],
    ids=["looks bad", "looks good"],
)
def test_what_is_prepared_next_is_as_if_a_variant_did_nothing_until_it_tells_half_way(
    seen: float, predicted: list[str]
) -> None:
    world = training()
    finish(world, 0.5, (5, 0.4), (10, 0.5))
    reach(world, 2, 0.9)
    assert asked(world, act.PrepareAhead) == ["quick.good.s0.a1", "quick.bad.s0.a1"], "too early to tell"
    reach(world, 5, seen)
    assert asked(world, act.PrepareAhead)[1:] == predicted


def test_what_is_predicted_anew_is_prepared_as_soon_as_the_wrong_one_has_left() -> None:
    world = training()
    finish(world, 0.5, (5, 0.4), (10, 0.5))
    wrong = "night/sums.quick.bad.s0.a1"
    linger(world, wrong)
    reach(world, 5, 0.45)
    assert act.ReleaseWorker(attempt_id=wrong) in world.performed
    assert asked(world, act.PrepareAhead)[-1] == "quick.bad.s0.a1", "one at a time"
    world.give(inputs.WorkerEnded(attempt_id=wrong, returncode=0))
    assert asked(world, act.PrepareAhead)[-1] == "medium.baseline.s0.a1"


def test_a_spare_that_dies_is_not_made_again_for_the_same_run() -> None:
    world = training()
    world.give(inputs.WorkerEnded(attempt_id="night/sums.quick.good.s0.a1", returncode=-9))
    assert asked(world, act.PrepareAhead) == ["quick.good.s0.a1"]


def test_what_follows_a_run_of_new_seeds_is_foreseen_from_the_runs_of_its_own_config() -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        acc = {"baseline": 0.5, "good": 0.8}[intended.config]
        return ok(acc, n_eval=1000, scores_digest=f"{intended.config} {intended.seed} {intended.stage}")

    screened = PolicyChoice(name="screen_confirm", options={"looks": 2})
    tasks = (task(name, variants=("good",), policy=screened) for name in ("first", "last"))
    world = play(outcome, make_round(*tasks))
    starts = facts_of(world, facts.RunStarted)
    fresh = [run.task == "first" and run.stage == "medium" and run.seed != 0 for run in starts]
    assert sum(fresh) > 1
    assert [start.is_prepared_ahead for start in starts] == [False] + [True] * (len(starts) - 1)


def test_a_wrong_prediction_costs_a_process_and_nothing_else() -> None:
    world = training()
    finish(world, 0.5, (5, 0.4), (10, 0.5))
    reach(world, 5, 0.30)
    finish(world, 0.6)
    assert world.training.endswith("medium.baseline.s0.a1")
    assert asked(world, act.StartWorker)[-1] == "medium.baseline.s0.a1"
    assert act.ReleaseWorker(attempt_id="night/sums.quick.bad.s0.a1") in world.performed
    assert not any(run.config == "bad" for run in facts_of(world, facts.RunIntended))


def test_what_is_prepared_ahead_stands_back_for_half_a_run_or_until_it_is_due() -> None:
    world = training()
    spare = "night/sums.quick.good.s0.a1"
    world.give(inputs.DeadlinePassed(attempt_id="night/sums.quick.bad.s0.a1", kind="hurry"))
    assert not [a for a in world.performed if isinstance(a, act.HurryWorker)]
    world.give(inputs.DeadlinePassed(attempt_id=spare, kind="hurry"))
    hurried = [a.attempt_id for a in world.performed if isinstance(a, act.HurryWorker)]
    assert hurried == [spare]
    finish(world, 0.5, (5, 0.4), (10, 0.5))
    hurried = [a.attempt_id for a in world.performed if isinstance(a, act.HurryWorker)]
    assert hurried == [spare, spare]
    seconds = [a.seconds for a in world.performed if isinstance(a, act.SetDeadline) and "hurry" in a.key]
    assert seconds == [STAND_BACK_SECONDS, 0.5], "the baseline trained for a second"


def test_the_next_run_is_thought_of_only_when_this_one_has_got_going_and_not_at_its_end() -> None:
    world = training()
    finish(world, 0.5, (5, 0.4), (10, 0.5))
    gate = max(n for n, action in enumerate(world.performed) if isinstance(action, act.OpenGate))
    assert not any(isinstance(action, act.PrepareAhead) for action in world.performed[gate - 3 : gate])
    before = len(world.performed)
    reach(world, 10, 0.30)
    assert not any(isinstance(action, act.PrepareAhead) for action in world.performed[before:])


@pytest.mark.parametrize("how", ["cannot prepare", "dies"])
def test_a_spare_that_fails_says_nothing_about_its_run(how: str) -> None:
    world = training()
    spare = "night/sums.quick.good.s0.a1"
    if how == "dies":
        world.give(inputs.WorkerEnded(attempt_id=spare, returncode=-9))
    else:
        world.give(inputs.RunResult(attempt_id=spare, result=failed("data", "no such file")))
    finish(world, 0.5)
    assert asked(world, act.StartWorker)[-1] == "quick.good.s0.a1"
    assert [run.status for run in facts_of(world, facts.RunFinished)] == ["ok"]


def test_a_spare_prepared_for_another_batch_size_is_gone_before_its_run_gets_a_worker() -> None:
    batches = task(variants=("good",), bsz=(64, 32))
    world = Training(PLAIN)
    world.start()
    world.give(checked(make_round(batches)))
    spare = "night/sums.quick.good.s0.a1"
    linger(world, spare)
    world.give(inputs.RunResult(attempt_id=world.training, result=failed("oom", "out of memory")))
    finish(world, 0.5)
    intended = facts_of(world, facts.RunIntended)[-1]
    assert (intended.attempt_id, intended.bsz) == (spare, 32)
    assert asked(world, act.StartWorker)[-1] == "quick.baseline.s0.a2", "its name is not free"
    linger(world)
    world.give(inputs.WorkerEnded(attempt_id=spare, returncode=0))
    assert asked(world, act.StartWorker)[-1] == "quick.good.s0.a1"
    assert world.training == spare


def test_a_pause_lets_the_spare_go_and_nothing_is_prepared_for_it() -> None:
    world = training()
    world.give(inputs.RequestMade(id="1", verb="pause"))
    finish(world, 0.5)
    assert world.state.live.spare is None
    assert world.state.live.workers == {}
    world.give(inputs.RequestMade(id="2", verb="resume"))
    assert asked(world, act.StartWorker)[-1] == "quick.good.s0.a1"


def test_a_daemon_that_may_not_prepares_nothing_ahead() -> None:
    world = Training(PLAIN, limits=Limits(prepare_ahead=False))
    world.start()
    world.give(checked(make_round()))
    assert asked(world, act.PrepareAhead) == []


@pytest.mark.parametrize("verb", ["drain", "shutdown", "cancel"])
def test_no_spare_outlives_its_daemon_or_its_round(verb: str) -> None:
    world = training()
    if verb == "shutdown":
        world.give(inputs.ShutdownRequested(reason="SIGTERM"))
    elif verb == "cancel":
        world.give(inputs.RequestMade(id="1", verb="cancel", round="night"))
    else:
        world.give(inputs.RequestMade(id="1", verb="drain"))
        finish(world, 0.5)
    assert world.state.live.spare is None
    assert world.state.live.workers == {}
    assert world.is_running == (verb == "cancel")


def test_a_fact_for_an_unknown_round_is_refused() -> None:
    world = World(PLAIN)
    world.start()
    with pytest.raises(ValueError, match="never accepted"):
        world.give(facts.RoundCancelled(round="ghost", reason=""))  # type: ignore[arg-type]


def test_an_unknown_round_in_a_request_is_answered() -> None:
    world = World(PLAIN)
    world.start()
    world.give(inputs.RequestMade(id="7", verb="cancel", round="ghost"))
    assert world.performed[-1] == act.DiscardRequest(id="7", answer="no round is called 'ghost'")


def test_a_new_driver_makes_a_new_protocol_and_nothing_old_is_compared() -> None:
    world = World(crashing("bad", failure=failed("data")), device=GPU)
    world.start()
    world.give(checked(make_round()))
    world.device = replace(GPU, driver="2")
    world.outcome = PLAIN
    world.start()
    world.give(inputs.RequestMade(id="1", verb="retry", round="night"))
    protocols = {(run.stage, run.protocol) for run in facts_of(world, facts.RunFinished)}
    assert len(protocols) == 4
    assert facts_of(world, facts.RoundFinished)[-1].outcome == "finished"


def test_a_task_whose_runs_were_scored_on_different_sets_is_parked_and_the_daemon_lives() -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        size = 100 if intended.config == "baseline" else 90
        return ok(0.5, n_eval=size, scores_digest=f"{intended.config} {intended.seed}")

    screened = task("uneven", policy=PolicyChoice(name="screen_confirm", options={}))
    world = play(outcome, make_round(screened, task("fine")))
    (parked,) = facts_of(world, facts.TaskParked)
    assert parked.task == "uneven"
    assert "scored on 90 and 100 examples" in parked.reason
    assert world.round().tasks["fine"].is_finished
