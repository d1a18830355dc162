"""What becomes of a run that failed, class by class: another try, a wait, an end, a parked task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from fakes.world import CPU, GPU, World, checked, failed, make_round, ok, play, task

from scheduler.decide import actions as act
from scheduler.decide import facts, inputs
from scheduler.decide.failures import LONGEST_BACKOFF_SECONDS, RULES
from scheduler.decide.step import why_nothing_runs
from scheduler.rounds.round import Budget, PolicyChoice, Stage

Outcome = Callable[[facts.RunIntended], Mapping[str, Any] | None]


def scored(scores: Mapping[str, float] | None = None, **failures: Mapping[str, Any]) -> Outcome:
    """Every run goes well but those of the variants (or of the stage and variant) that have a failure."""

    def outcome(intended: facts.RunIntended) -> Mapping[str, Any]:
        name = f"{intended.stage}_{intended.config}"
        failure = failures.get(name, failures.get(intended.config))
        return failure or ok({"baseline": 0.5, **(scores or {})}.get(intended.config, 0.6))

    return outcome


def told(world: World, kind: type[Any]) -> list[Any]:
    return [fact for fact in world.facts if isinstance(fact, kind)]


def tries(world: World, config: str) -> list[tuple[int, str]]:
    return [(run.attempt, run.status) for run in told(world, facts.RunFinished) if run.config == config]


def backoffs(world: World) -> list[act.SetDeadline]:
    deadlines = [action for action in world.performed if isinstance(action, act.SetDeadline)]
    return [deadline for deadline in deadlines if deadline.event.kind == "backoff"]


def time_passes(world: World) -> None:
    world.give(backoffs(world)[-1].event)


FULL = failed("disk", "OSError: [Errno 28] No space left on device")


def test_every_class_has_a_remedy() -> None:
    assert all(rule.remedy for rule in RULES.values())


@pytest.mark.fault(
    "a run finds a disk full",
    moment="while it trains",
    outcome="the queue waits and says so, and tries the run again by itself, longer after each time",
)
def test_a_run_that_finds_a_disk_full_makes_the_whole_queue_wait_and_go_on_by_itself() -> None:
    is_full = [True]
    healthy, full = scored(), scored(bad=FULL)
    world = World(lambda intended: full(intended) if is_full[0] else healthy(intended))
    world.start()
    world.give(checked(make_round()), checked(make_round(id="other")))
    assert "found no space" in str(why_nothing_runs(world.state, world.limits))
    assert {run.round for run in told(world, facts.RunFinished)} == {"night"}
    time_passes(world)
    assert [wait.seconds for wait in backoffs(world)] == [30.0, 60.0]
    is_full[0] = False
    time_passes(world)
    assert tries(world, "bad")[:3] == [(1, "failed"), (2, "failed"), (3, "ok")]
    assert [fact.outcome for fact in told(world, facts.RoundFinished)] == ["finished", "finished"]


def test_a_disk_that_stays_full_parks_its_task_at_last_and_lets_the_others_go_on() -> None:
    world = World(scored(bad=FULL))
    world.start()
    world.give(checked(make_round()), checked(make_round(task("other", variants=("good",)), id="other")))
    for _ in range(RULES["disk"].tries - 1):
        assert told(world, facts.TaskParked) == []
        time_passes(world)
    [parked] = told(world, facts.TaskParked)
    assert (parked.failure_class, parked.remedy) == ("disk", RULES["disk"].remedy)
    assert backoffs(world)[-1].seconds <= LONGEST_BACKOFF_SECONDS
    assert told(world, facts.RoundFinished)[-1].round == "other"
    assert told(world, facts.RoundFinished)[-1].outcome == "finished"


@pytest.mark.parametrize(
    "sign",
    [
        inputs.GateChanged(source="disk", wait_reason=None),
        inputs.RequestMade(id="1", verb="resume"),
        inputs.RequestMade(id="1", verb="retry", round="night"),
    ],
    ids=["space is back", "resume", "retry"],
)
def test_whoever_waits_for_space_goes_on_at_once_when_it_is_back_or_a_person_says_so(sign: Any) -> None:
    full = [FULL]
    world = World(lambda intended: full.pop() if full and intended.config == "bad" else ok(0.5))
    world.start()
    world.give(checked(make_round()))
    assert tries(world, "bad") == [(1, "failed")]
    world.give(sign)
    assert tries(world, "bad")[:2] == [(1, "failed"), (2, "ok")]


@pytest.mark.fault(
    "the network is down",
    moment="while a run loads its data",
    outcome="its task waits, longer after each time, the others go on; then it is parked with the remedy",
)
def test_a_task_without_network_waits_while_others_run_and_is_parked_in_the_end() -> None:
    lost = failed("network", "httpx.ConnectError: [Errno -3] Temporary failure in name resolution")
    outcome = scored()
    first, second = task("first"), task("second")
    world = play(lambda i: lost if i.task == "first" else outcome(i), make_round(first, second))
    assert [fact.task for fact in told(world, facts.TaskFinished)] == ["second"]
    assert "waits before another try" in str(why_nothing_runs(world.state, world.limits))
    time_passes(world)
    time_passes(world)
    [parked] = told(world, facts.TaskParked)
    assert (parked.task, parked.failure_class) == ("first", "network")
    assert [wait.seconds for wait in backoffs(world)] == [60.0, 120.0]


@pytest.mark.fault(
    "the GPU fails (Xid, lost device)",
    moment="while a run trains",
    outcome="the queue stops and says what to do; the run is tried again after `schedctl resume`",
)
def test_a_gpu_that_fails_stops_the_queue_and_says_what_to_do() -> None:
    broken = [failed("gpu", "NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.")]
    world = play(
        lambda i: broken.pop() if broken and i.config == "good" else ok(0.5), make_round(), device=GPU
    )
    reason = str(why_nothing_runs(world.state, world.limits))
    assert "fallen off the bus" in reason
    assert "schedctl doctor" in reason
    assert "schedctl resume" in reason
    world.give(inputs.RequestMade(id="1", verb="resume"))
    assert tries(world, "good")[:2] == [(1, "failed"), (2, "ok")]


def test_a_program_that_wants_a_gpu_where_there_is_none_parks_its_task_and_stops_nobody() -> None:
    world = play(scored(bad=failed("gpu", "No CUDA GPUs are available")), make_round(), device=CPU)
    assert world.state.paused is None
    assert [parked.failure_class for parked in told(world, facts.TaskParked)] == ["gpu"]


@pytest.mark.parametrize(
    ("messages", "attempts"),
    [
        (["ValueError: at 0x7f3a", "ValueError: at 0x81bc"], 2),
        (["ValueError: one", "KeyError: another", "ValueError: one"], 3),
        (["ValueError: one", "KeyError: another", "IndexError: a third"], 3),
    ],
    ids=["the same but for an address", "the same at last", "never the same"],
)
@pytest.mark.fault(
    "a variant's program crashes",
    moment="while it trains",
    outcome="tried once more; broken when it crashes twice the same way and the baseline does not",
)
def test_a_variant_is_broken_when_it_crashes_twice_the_same_way(messages: list[str], attempts: int) -> None:
    crashes = iter(messages)
    outcome = scored()
    world = play(lambda i: failed("crash", next(crashes)) if i.config == "bad" else outcome(i), make_round())
    assert tries(world, "bad") == [(number, "failed") for number in range(1, attempts + 1)]
    verdicts = {fact.config: (fact.verdict, fact.reason) for fact in told(world, facts.VerdictReached)}
    assert verdicts["bad"] == ("LOSER", "broken: crash")


def test_a_crash_that_does_not_come_again_costs_one_try() -> None:
    crashes = [failed("crash", "Segmentation fault")]
    world = play(lambda i: crashes.pop() if crashes and i.config == "bad" else ok(0.5), make_round())
    assert tries(world, "bad")[:2] == [(1, "failed"), (2, "ok")]


def test_the_whole_text_of_a_failure_to_prepare_is_kept_and_only_its_ends_recorded() -> None:
    class Unprepared(World):
        def _train(self, intended: facts.RunIntended) -> None:
            self.inbox.append(
                inputs.RunResult(
                    attempt_id=intended.attempt_id,
                    result=failed("data", "head and tail"),
                    error_text="all of it",
                )
            )

    world = Unprepared(scored())
    world.start()
    world.give(checked(make_round()))
    kept = [action.run.error for action in world.performed if isinstance(action, act.KeepError)]
    assert kept == ["all of it", "head and tail"]  # the first one stays
    assert told(world, facts.RunFinished)[0].error == "head and tail"


class Silent(World):
    """Runs of the variants that are named say nothing once they train."""

    silent: tuple[str, ...] = ()

    def _train(self, intended: facts.RunIntended) -> None:
        if intended.config not in self.silent:
            super()._train(intended)


@pytest.mark.fault(
    "the daemon or the machine goes down",
    moment="while a run trains, again and again",
    outcome="the run is tried a bounded number of times, and its variant gets no verdict",
)
def test_a_run_that_is_lost_again_and_again_is_given_up_and_not_held_against_its_variant() -> None:
    world = Silent(scored(), recovers_results=False)
    world.silent = ("bad",)
    world.start()
    world.give(checked(make_round()))
    for _ in range(world.limits.max_attempts):
        world.start()
    assert tries(world, "bad") == [(1, "lost"), (2, "lost"), (3, "lost")]
    verdicts = {fact.config: fact.verdict for fact in told(world, facts.VerdictReached)}
    assert verdicts["bad"] == "INCONCLUSIVE"
    assert told(world, facts.RoundFinished)[-1].outcome == "finished"


# The circuit breaker

BOOM = failed("crash", "RuntimeError: no kernel image is available")


@pytest.mark.fault(
    "the baseline fails",
    moment="at any stage",
    outcome="the task is parked with the reason, whatever the class; no variant runs for nothing",
)
@pytest.mark.parametrize("failure_class", sorted(RULES))
def test_a_baseline_that_fails_parks_its_task_whatever_the_class(failure_class: str) -> None:
    world = World(scored(baseline=failed(failure_class, "it broke")))
    world.start()
    world.give(checked(make_round(task(variants=[f"v{n}" for n in range(40)]))))
    while told(world, facts.TaskParked) == []:
        time_passes(world)
    [parked] = told(world, facts.TaskParked)
    assert parked.failure_class == failure_class
    assert "it broke" in parked.reason
    assert {run.config for run in told(world, facts.RunFinished)} == {"baseline"}


@pytest.mark.fault(
    "two variants in a row fail the same way",
    moment="at any stage",
    outcome="the task is parked with the reason instead of failing once for every variant",
)
@pytest.mark.parametrize(
    ("failure", "runs"),
    [
        (BOOM, 4),
        (failed("bad_args", "error: unrecognized arguments: --x"), 2),
        (failed("killed", "signal 9"), 6),
    ],
    ids=["crash", "bad_args", "killed"],
)
def test_two_variants_that_fail_alike_in_a_row_park_their_task(failure: Any, runs: int) -> None:
    names = [f"v{n}" for n in range(40)]
    world = play(scored(**dict.fromkeys(names, failure)), make_round(task(variants=names)))
    [parked] = told(world, facts.TaskParked)
    assert "v0 and v1 failed alike" in parked.reason
    assert len(told(world, facts.RunFinished)) == 1 + runs


def test_those_that_never_came_to_a_stage_do_not_stand_between_two_that_failed_there() -> None:
    made = make_round(task(variants=("a", "b", "c", "d")))
    world = play(scored({"b": 0.4}, medium_a=BOOM, medium_c=BOOM), made)
    [parked] = told(world, facts.TaskParked)
    assert "a and c failed alike" in parked.reason
    assert "d" not in {run.config for run in told(world, facts.RunFinished)}


@pytest.mark.parametrize(
    "failures",
    [
        {"a": BOOM, "c": BOOM},
        {"a": BOOM, "b": failed("crash", "KeyError: 'lr'")},
        {"a": failed("nan", "loss is nan"), "b": failed("nan", "loss is nan")},
    ],
    ids=["one between them went well", "they failed in other ways", "they diverged"],
)
def test_other_failures_of_variants_are_their_own(failures: dict[str, Any]) -> None:
    world = play(scored(**failures), make_round(task(variants=("a", "b", "c"))))
    assert told(world, facts.TaskParked) == []
    assert told(world, facts.RoundFinished)[-1].outcome == "finished"


def test_a_folder_named_for_the_variant_makes_no_other_message() -> None:
    def outcome(intended: facts.RunIntended) -> Any:
        if intended.config == "baseline":
            return ok(0.5)
        return failed("crash", f"PermissionError: results/night/runs/{intended.run_dir}/command/model.pt")

    world = play(outcome, make_round())
    assert "failed alike" in told(world, facts.TaskParked)[0].reason


# Running out of memory

CUDA_OOM = failed("oom", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")


def too_large_above(bsz: int, *, stage: str | None = None, slot: int | None = None) -> Outcome:
    """Runs of a larger batch run out of memory, those of one stage and slot alone where they are named."""

    def outcome(intended: facts.RunIntended) -> Any:
        if intended.stage == "probe":
            return {"status": "ok", "bsz": max(intended.bsz or 0, bsz), "extra": {}}
        is_here = stage in (None, intended.stage) and slot in (None, intended.slot)
        if is_here and (intended.bsz or 0) > bsz and (slot is None or intended.config != "baseline"):
            return CUDA_OOM
        return ok({"baseline": 0.5, "good": 0.7}.get(intended.config, 0.4), n_eval=5000)

    return outcome


@pytest.mark.fault(
    "a run is out of memory",
    moment="in a confirm run, after quick and medium went well",
    outcome="all of the task runs again with the next smaller batch, baseline first; the old runs are kept",
)
def test_out_of_memory_in_a_confirm_run_starts_the_whole_task_again_baseline_first() -> None:
    policy = PolicyChoice(name="screen_confirm", options={})
    made = make_round(task(variants=("good", "bad"), bsz=(64, 32), policy=policy, seeds=(0, 1, 2)))
    world = play(too_large_above(32, stage="medium", slot=1), made, device=GPU)
    [rebatched] = told(world, facts.TaskRebatched)
    ended = [run for run in told(world, facts.RunFinished) if run.stage != "probe"]
    before = [run for run in ended if run.bsz == 64]
    after = [run for run in ended if run.bsz == 32]
    assert rebatched.bsz == 32
    assert {run.protocol for run in before} <= set(rebatched.superseded)
    assert not {run.protocol for run in after} & set(rebatched.superseded)
    assert before[-1].failure_class == "oom"
    assert (after[0].stage, after[0].config) == ("quick", "baseline")
    assert {(r.stage, r.config) for r in before if r.status == "ok"} <= {(r.stage, r.config) for r in after}
    frozen = told(world, facts.ConfirmSetFrozen)
    assert [set_.protocol in rebatched.superseded for set_ in frozen] == [True, False]
    looks = {fact.protocol for fact in told(world, facts.LookTaken)}
    assert not looks & set(rebatched.superseded)
    assert told(world, facts.RoundFinished)[-1].outcome == "finished"


@pytest.mark.fault(
    "a run is out of memory",
    moment="when its batch size is the only one, or the smallest of the list",
    outcome="the task is parked, and a spec with smaller sizes lies beside its summary",
)
@pytest.mark.parametrize(
    ("listed", "words"), [((64,), "bsz = [32, 16, 8] instead of 64"), ((), "free memory, then retry")]
)
def test_without_a_smaller_batch_size_the_task_is_parked_with_what_helps(
    listed: tuple[int, ...], words: str
) -> None:
    world = play(scored(good=CUDA_OOM), make_round(task(bsz=listed)))
    [parked] = told(world, facts.TaskParked)
    assert parked.failure_class == "oom"
    assert words in parked.remedy
    assert parked.run_dir == "sums.quick.good.s0.a1"


def test_a_list_of_batch_sizes_is_gone_through_to_its_end() -> None:
    world = play(scored(good=CUDA_OOM), make_round(task(bsz=(64, 48, 32))))
    assert [fact.bsz for fact in told(world, facts.TaskRebatched)] == [48, 32]
    [parked] = told(world, facts.TaskParked)
    assert "bsz = [16, 8, 4] instead of [64, 48, 32]" in parked.remedy


def test_calibrated_steps_stay_when_the_batch_gets_smaller() -> None:
    stages = (Stage(name="quick", budget=Budget(max_steps=None, time_budget_sec=60.0)),)

    def outcome(intended: facts.RunIntended) -> Any:
        if intended.stage == "probe":
            return {"status": "ok", "bsz": 64, "extra": {"max_steps.quick": 17}}
        return CUDA_OOM if intended.bsz == 64 else ok(0.5)

    world = play(outcome, make_round(task(bsz=(64, 32), stages=stages)))
    assert {run.budget["max_steps"] for run in told(world, facts.RunFinished)} == {None, 17}
