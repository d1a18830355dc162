"""Errands are done in order, by a thread that leaves when there are none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from real_home import wait_until

from scheduler.effects import errands
from scheduler.effects.errands import Errands


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Errands]:
    monkeypatch.setattr(errands, "LINGER_SECONDS", 0.05)
    made = Errands("an errand of a test")
    yield made
    made.close()
    wait_until(lambda: not threads(), "the end of the thread")


def threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name == "an errand of a test"]


def test_errands_are_done_in_order_by_one_thread(runner: Errands) -> None:
    done, may_begin = list[int](), threading.Event()
    runner.run(lambda: done.append(-1) if may_begin.wait(20) else None)
    for number in range(20):
        runner.run(lambda number=number: done.append(number))  # type: ignore[misc]
    assert len(threads()) == 1
    may_begin.set()
    wait_until(lambda: len(done) == 21, "all of them")
    assert done == list(range(-1, 20))


def test_as_many_are_done_side_by_side_as_are_allowed() -> None:
    runner = Errands("an errand of a test", most_threads=2)
    together, may_end = threading.Barrier(3), threading.Event()

    def errand() -> None:
        if not may_end.is_set():
            together.wait(20)
            may_end.wait(20)

    for _ in range(5):
        runner.run(errand)
    together.wait(20)
    assert len(threads()) == 2
    may_end.set()
    runner.close()
    wait_until(lambda: not threads(), "the end of the threads")


def test_the_thread_leaves_and_comes_again(runner: Errands) -> None:
    for _ in range(3):
        done = threading.Event()
        runner.run(done.set)
        assert done.wait(20)
        wait_until(lambda: not threads(), "the end of the thread")


def test_what_has_not_begun_is_forgotten_at_the_end(runner: Errands) -> None:
    begun, may_end = threading.Event(), threading.Event()
    done: list[str] = []

    def first() -> None:
        begun.set()
        may_end.wait(20)

    second: Callable[[], None] = lambda: done.append("second")  # noqa: E731
    runner.run(first)
    runner.run(second)
    assert begun.wait(20)
    runner.close()
    may_end.set()
    wait_until(lambda: not threads(), "the end of the thread")
    assert done == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_errand_that_fails_stops_none_that_comes_later(runner: Errands) -> None:
    def failing() -> None:
        raise RuntimeError("it broke")

    runner.run(failing)
    wait_until(lambda: not threads(), "the end of the thread")
    done = threading.Event()
    runner.run(done.set)
    assert done.wait(20)
