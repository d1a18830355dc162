"""launcher.log keeps the words its users grep for, and nothing foreign gets through it to a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fakes.world import GPU, World, checked, failed, make_round, ok, play, task

from policies.evidence import Objective
from scheduler.decide import codec, facts, inputs
from scheduler.decide.state import State, fold
from scheduler.report.lines import line_for, wait_line
from scheduler.rounds.round import PolicyChoice, Round

SCORES = {"baseline": 0.5, "good": 0.6, "bad": 0.4908}


def scored(intended: facts.RunIntended) -> dict[str, Any]:
    if intended.stage == "probe":
        return {"status": "ok", "bsz": 64, "extra": {}}
    acc = SCORES[intended.config] + 0.01 * intended.seed
    return ok(acc, value=1 - acc if intended.task == "lossy" else acc)


def lines(world: World) -> Iterator[str]:
    """What the log would say about everything that happened."""
    state = State()
    for fact in world.facts:
        line = line_for(fact, state)
        state = fold(state, fact)
        if line is not None:
            yield line


def logged(outcome: Any, *rounds: Round, **options: Any) -> list[str]:
    return list(lines(play(outcome, *rounds, **options)))


def test_the_log_of_a_small_round() -> None:
    assert logged(scored, make_round()) == [
        "DAEMON started pid=1 version=0 devices=cpu (a processor)",
        "ROUND round=night accepted: 1 task, 2 variants (from night.toml)",
        "RUN task=sums stage=quick cfg=baseline seed=0 bsz=- budget=60s steps=10 device=cpu round=night",
        "DONE task=sums stage=quick cfg=baseline seed=0 acc=50.00% loss=1.0000"
        " steps=10 seconds=1.0 round=night",
        "RUN task=sums stage=quick cfg=good seed=0 bsz=- budget=60s steps=10 device=cpu round=night",
        "DONE task=sums stage=quick cfg=good seed=0 acc=60.00% loss=1.0000 steps=10 seconds=1.0 round=night",
        "PROMOTE task=sums cfg=good d_acc=+10.00pp (>= +0.30pp) stage=quick to=medium round=night",
        "RUN task=sums stage=medium cfg=baseline seed=0 bsz=- budget=240s steps=40 device=cpu round=night",
        "DONE task=sums stage=medium cfg=baseline seed=0 acc=50.00% loss=1.0000"
        " steps=10 seconds=1.0 round=night",
        "RUN task=sums stage=medium cfg=good seed=0 bsz=- budget=240s steps=40 device=cpu round=night",
        "DONE task=sums stage=medium cfg=good seed=0 acc=60.00% loss=1.0000 steps=10 seconds=1.0 round=night",
        "HOLD task=sums cfg=good d_acc=+10.00pp (through its last stage) stage=medium round=night",
        "VERDICT task=sums cfg=good SUGGESTIVE +10.00pp at medium over 1 seed;"
        " needs fresh seeds, since these selected it round=night",
        "RUN task=sums stage=quick cfg=bad seed=0 bsz=- budget=60s steps=10 device=cpu round=night",
        "DONE task=sums stage=quick cfg=bad seed=0 acc=49.08% loss=1.0000 steps=10 seconds=1.0 round=night",
        "PRUNE task=sums cfg=bad d_acc=-0.92pp (< +0.30pp) stage=quick round=night",
        "VERDICT task=sums cfg=bad INCONCLUSIVE -0.92pp at quick over 1 seed round=night",
        "TASK task=sums finished round=night",
        "ROUND round=night finished: INCONCLUSIVE=1 SUGGESTIVE=1; results/night/summary.txt",
    ]


@pytest.mark.parametrize(
    "pattern",
    [
        r"RUN task=\S+ stage=\S+ cfg=\S+ seed=\d+ bsz=\S+ budget=\S+ ",
        r"PRUNE task=\S+ cfg=\S+ d_acc=-0\.92pp \(< \+0\.30pp\) ",
        r"PROMOTE task=\S+ cfg=\S+ d_acc=\+10\.00pp ",
        r"PROBE task=\S+ bsz=64 ",
        r"VERDICT task=\S+ cfg=\S+ ",
    ],
)
def test_the_words_that_users_grep_for(pattern: str) -> None:
    log = logged(scored, make_round(task(bsz=(64, 32))), device=GPU)
    assert [line for line in log if re.match(pattern, line)]


def test_several_seeds_show_their_spread_and_signs() -> None:
    log = logged(scored, make_round(task(seeds=(0, 1))))
    prune = next(line for line in log if line.startswith("PRUNE"))
    assert prune == (
        "PRUNE task=sums cfg=bad d_acc=-0.92pp (< +0.30pp) sd=0.00pp signs=0+/0=/2- stage=quick round=night"
    )


def test_another_metric_is_named_and_keeps_its_unit() -> None:
    lossy = task(
        "lossy",
        objective=Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01),
        policy=PolicyChoice(name="threshold", options={"min_delta": 0.01}),
    )
    log = logged(scored, make_round(lossy))
    assert any(line.startswith("PROMOTE task=lossy cfg=good d_loss=+0.1nat ") for line in log)
    assert any(" cfg=good seed=0 loss=0.4000 steps=10 " in line for line in log)


def test_a_failure_is_one_line_with_class_and_message() -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        return failed("crash", "boom\nand more") if intended.config == "bad" else scored(intended)

    log = logged(outcome, make_round())
    failures = [line for line in log if line.startswith("FAIL class=crash ")]
    assert failures == ["FAIL class=crash task=sums stage=quick cfg=bad seed=0 boom round=night"] * 2
    assert any(" attempt=2 " in line for line in log if line.startswith("RUN "))
    assert any(line.startswith("PRUNE task=sums cfg=bad (broken: crash) ") for line in log)


def test_a_parked_task_says_what_to_do() -> None:
    log = logged(lambda _: failed("data", "Only built 374 examples (wanted 900)"), make_round())
    [park] = [line for line in log if line.startswith("PARK ")]
    assert park.startswith("PARK task=sums class=data Only built 374 examples (wanted 900); remedy: ")
    assert "ROUND round=night parked: no verdicts parked=1 task; results/night/summary.txt" in log


def test_a_lower_batch_size_is_told_with_the_old_one() -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        if intended.bsz == 64 and intended.stage == "medium":
            return failed("oom", "CUDA out of memory")
        return scored(intended)

    log = logged(outcome, make_round(task(bsz=(64, 32))), device=GPU)
    assert any(line.startswith("PROBE task=sums bsz=32 lowered from 64 (out of memory at ") for line in log)


def test_a_run_from_the_cache_and_one_ended_by_the_clock_are_told_apart() -> None:
    world = World(scored)
    world.start()
    world.give(inputs.RequestMade(id="1", verb="pause", reason="by hand"))
    world.give(checked(make_round()))
    end = {
        "round": "night",
        "task": "sums",
        "stage": "quick",
        "config": "good",
        "seed": 0,
        "attempt": 1,
        "slot": 0,
        "device": "cpu",
        "bsz": None,
        "budget": {},
        "protocol": "p",
        "content_key": "k",
        "run_dir": "d",
        "value": 0.5,
    }
    cached = facts.RunFinished(**end, status="ok", cached_from="older/sums.quick.good.s0.a1")
    assert line_for(cached, world.state) == (
        "CACHE task=sums stage=quick cfg=good seed=0 acc=50.00% from=older/sums.quick.good.s0.a1 round=night"
    )
    timed_out = facts.RunFinished(**end, status="timed_out")
    assert line_for(timed_out, world.state) == (
        "DONE task=sums stage=quick cfg=good seed=0 acc=50.00% status=timed_out round=night"
    )
    cancelled = facts.RunFinished(**{**end, "value": None}, status="cancelled")
    assert line_for(cancelled, world.state) == (
        "STOP task=sums stage=quick cfg=good seed=0 status=cancelled round=night"
    )


@pytest.mark.parametrize(
    ("fact", "line"),
    [
        (facts.DaemonStopped(reason="SIGTERM"), "DAEMON stopped: SIGTERM"),
        (facts.QueuePaused(reason="by hand"), "PAUSE by hand"),
        (facts.QueueResumed(), "RESUME"),
        (facts.DrainStarted(reason="update"), "DRAIN update"),
        (
            facts.GpuDirtied(device="cuda:0", reason="2 GiB left"),
            "GPU device=cuda:0 dirty: 2 GiB left",
        ),
        (facts.GpuCleared(device="cuda:0"), "GPU device=cuda:0 clean again"),
        (
            facts.SpecRejected(file="x.toml", sha256="0", problems=("a: wrong", "b: too")),
            "REJECT file=x.toml a: wrong (and 1 more); all of it in queue/rejected/x.toml.why.txt",
        ),
    ],
)
def test_what_the_daemon_does_is_told(fact: facts.DaemonFact, line: str) -> None:
    assert line_for(fact, State()) == line


def test_a_reason_to_wait_is_one_line() -> None:
    assert wait_line("process 7 (python) uses the GPU\n") == "WAIT reason=process 7 (python) uses the GPU"


@pytest.mark.parametrize(
    "attack", ["\x1b[2J\x1b[31mgone", "\x1b]0;title\x07", "a\nVERDICT forged", "\u202ekcab"]
)
def test_no_foreign_text_forges_a_line_or_reaches_the_terminal(attack: str) -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        return failed("data", attack)

    for line in [*logged(outcome, make_round(title=attack)), wait_line(attack)]:
        assert line.isprintable()
        assert not line.startswith("VERDICT")


def test_every_fact_has_a_line_or_is_silent_on_purpose() -> None:
    silent = {"run_intended", "task_begun", "baseline_kept"}
    log = " ".join(line.split()[0] for line in logged(scored, make_round()))
    assert {"DAEMON", "ROUND", "RUN", "DONE", "PROMOTE", "PRUNE", "HOLD", "VERDICT", "TASK"} <= set(
        log.split()
    )
    world = play(scored, make_round())
    state = State()
    for fact in world.facts:
        line = line_for(fact, state)
        state = fold(state, fact)
        assert (line is None) == (codec.event_name(type(fact)) in silent)


def test_what_goes_of_old_runs_is_told_with_its_reason() -> None:
    gone = facts.RunFilesDropped(
        round="night", reason="older than 30 days", states=("a",), removed=("b", "c"), bytes=3 * 2**29
    )
    assert line_for(gone, State()) == (
        "TIDY round=night removed=2 states=1 freed=1.5GiB (older than 30 days)"
    )
