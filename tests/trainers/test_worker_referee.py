"""When a run is over and how it ended, without a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainers._recorder import Recorder
from trainers._run import Ending, Referee, Stop
from trainers.contract import Context, Evaluation, StopObserved, TimeBudgetReached


class Clock(Recorder):
    """A recorder whose seconds are the steps done, one a step."""

    def elapsed_seconds(self) -> float:
        return float(self.last.step) if self.last else 0.0


def follow(
    tmp_path: Path,
    evaluations: Iterator[Evaluation],
    *,
    max_steps: int | None = None,
    seconds: float = 1e9,
    ends_itself: bool = False,
    stop_at: int | None = None,
) -> tuple[Ending, list[Any]]:
    recorder = Clock(tmp_path, "acc", "cpu")
    said: list[Any] = []

    def stop() -> Stop | None:
        is_due = stop_at is not None and recorder.elapsed_seconds() >= stop_at
        return Stop(status="pruned", reason="told to") if is_due else None

    context = Context(
        seed=0,
        stage="quick",
        max_steps=max_steps,
        time_budget_sec=seconds,
        eval_every=None,
        n_eval=None,
        bsz=None,
        device="cpu",
        threads=1,
        cache_dir=tmp_path,
    )
    referee = Referee(
        recorder=recorder,
        context=context,
        metric="acc",
        ends_itself=ends_itself,
        stop=stop,
        say=said.append,
        output_tail=lambda: "printed last",
    )
    ending = referee.follow(evaluations)
    recorder.publish(recorder.result(ending.status, ending.final, ending.failure), ending.failure)
    return ending, said


def steps(*numbers: int, then: BaseException | None = None, **values: Any) -> Iterator[Evaluation]:
    for number in numbers:
        yield Evaluation(step=number, **{"loss": 1.0, "acc": number / 100, **values})
    if then is not None:
        raise then


@pytest.mark.parametrize(
    ("numbers", "limits", "status", "step"),
    [
        ((10, 20, 30), {"max_steps": 30}, "ok", 30),
        ((10, 20, 30), {"max_steps": 20}, "ok", 20),
        ((10, 20, 30), {"max_steps": 25}, "ok", 30),
        ((10, 20, 30), {}, "ok", 30),
        ((10, 20, 30), {"seconds": 15.0}, "timed_out", 20),
        ((10, 20, 30), {"max_steps": 20, "seconds": 15.0}, "ok", 20),
        ((10, 20, 30), {"stop_at": 15, "max_steps": 30}, "pruned", 20),
        ((10, 20, 30), {"stop_at": 15, "max_steps": 20}, "ok", 20),
        ((10, 20, 30), {"stop_at": 15, "seconds": 15.0}, "pruned", 20),
        ((10, 20, 30), {"max_steps": 20, "seconds": 15.0, "ends_itself": True}, "ok", 30),
    ],
)
def test_steps_decide_and_seconds_kill(
    tmp_path: Path, numbers: tuple[int, ...], limits: dict[str, Any], status: str, step: int
) -> None:
    ending, said = follow(tmp_path, steps(*numbers), **limits)
    assert (ending.status, ending.failure) == (status, None)
    assert ending.final is not None
    assert ending.final.step == step
    assert said[-1]["step"] == step


@pytest.mark.parametrize(
    ("evaluations", "failure_class", "said"),
    [
        (steps(), "bad_args", "without an evaluation"),
        (steps(10, 20), "crash", "step 20 of 30"),
        (steps(10, 30, acc=None), "bad_args", "no metric 'acc'"),
        (steps(10, loss=float("inf")), "nan", "loss is inf at step 10"),
        (steps(10, acc=float("nan")), "nan", "acc is nan at step 10"),
        (steps(10, then=ValueError("wrong")), "crash", "ValueError: wrong"),
        (steps(10, then=MemoryError()), "oom", "MemoryError"),
    ],
)
def test_a_failure_is_a_value_with_class_and_message(
    tmp_path: Path, evaluations: Iterator[Evaluation], failure_class: str, said: str
) -> None:
    ending, _ = follow(tmp_path, evaluations, max_steps=30)
    assert ending.status == "failed"
    assert ending.failure is not None
    assert ending.failure.failure_class == failure_class
    assert said in ending.failure.message
    assert (tmp_path / "error.txt").read_text().rstrip().endswith(ending.failure.message)


def test_a_trainer_that_ended_itself_keeps_its_last_evaluation(tmp_path: Path) -> None:
    ending, _ = follow(tmp_path, steps(10, then=TimeBudgetReached()), ends_itself=True)
    assert (ending.status, ending.final and ending.final.step) == ("timed_out", 10)
    ending, _ = follow(tmp_path, steps(then=TimeBudgetReached()), ends_itself=True)
    assert (ending.status, ending.final, ending.failure) == ("timed_out", None, None)


def test_a_trainer_that_observed_a_stop_ends_as_the_stop_says(tmp_path: Path) -> None:
    ending, _ = follow(tmp_path, steps(then=StopObserved()), ends_itself=True, stop_at=0)
    assert (ending.status, ending.final) == ("pruned", None)


def test_the_generator_is_closed_where_the_run_ends(tmp_path: Path) -> None:
    closed = []

    def endless() -> Iterator[Evaluation]:
        try:
            yield from steps(*range(10, 10_000, 10))
        finally:
            closed.append(True)

    follow(tmp_path, endless(), max_steps=20)
    assert closed == [True]


def test_a_step_that_is_evaluated_twice_stands_once_in_the_curve(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "acc", "cpu")
    for acc in (0.1, 0.2):
        recorder.add(Evaluation(step=10, loss=None, acc=acc))
    recorder.add(Evaluation(step=20, loss=1.0, acc=None))
    assert recorder.result("ok", recorder.last, None)["curve"] == [[10, 0.2]]
    recorder.publish({}, None)


def test_seconds_of_evaluation_are_summed_where_they_were_measured(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "acc", "cpu")
    assert recorder.result("ok", None, None)["eval_seconds"] is None
    for seconds in (0.5, None, 0.25):
        recorder.add(Evaluation(step=10, loss=None, acc=0.1, eval_seconds=seconds))
    assert recorder.result("ok", recorder.last, None)["eval_seconds"] == 0.75
    recorder.publish({}, None)
