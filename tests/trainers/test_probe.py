"""The descent to a batch size that fits, and the steps that fill a time budget."""

from __future__ import annotations

import pytest

from trainers._probe import Fits, Mark, NothingFitsError, TooLarge, descend, seconds_per_step, steps_for
from trainers.contract import BadArgumentsError


def fits_up_to(limit: int) -> object:
    def attempt(bsz: int) -> Fits | TooLarge:
        if bsz > limit:
            return TooLarge(reason="out of memory")
        return Fits(peak_memory_mib=10.0 * bsz)

    return attempt


@pytest.mark.parametrize(
    ("candidates", "limit", "expected", "tried"),
    [
        ([64, 48, 32], 100, 64, 0),
        ([64, 48, 32], 48, 48, 1),
        ([64, 48, 32], 32, 32, 2),
        ([64], 64, 64, 0),
        ([8, 64, 4], 32, 8, 0),
    ],
)
def test_the_first_that_fits_is_taken(candidates: list[int], limit: int, expected: int, tried: int) -> None:
    bsz, fits, reasons = descend(candidates, fits_up_to(limit))
    assert (bsz, fits.peak_memory_mib, len(reasons)) == (expected, 10.0 * expected, tried)


def test_nothing_smaller_is_tried_once_one_fits() -> None:
    seen = []

    def attempt(bsz: int) -> Fits:
        seen.append(bsz)
        return Fits(peak_memory_mib=None)

    descend([64, 32, 16], attempt)
    assert seen == [64]


def test_when_nothing_fits_the_message_says_what_was_tried_and_what_to_do() -> None:
    with pytest.raises(
        NothingFitsError, match=r"64: out of memory; 32: out of memory.*smaller ones in `bsz`"
    ):
        descend([64, 32], fits_up_to(1))
    assert NothingFitsError.failure_class == "oom"


def test_any_other_error_goes_through_at_once() -> None:
    def attempt(bsz: int) -> Fits:
        raise ValueError(f"no data for {bsz}")

    with pytest.raises(ValueError, match="no data for 64"):
        descend([64, 32], attempt)


def marks(*readings: tuple[int, float, float]) -> list[Mark]:
    return [Mark(step=step, at=at, eval_seconds=seconds) for step, at, seconds in readings]


def test_start_up_and_evaluations_are_no_part_of_a_step() -> None:
    # 2 s of start-up, 0.1 s a step, 0.5 s an evaluation
    readings = marks((5, 3.0, 0.5), (10, 4.0, 0.5), (15, 5.0, 0.5))
    assert seconds_per_step(readings) == pytest.approx(0.1)


def test_one_slow_reading_does_not_count() -> None:
    readings = marks((5, 0.0, 0.0), (10, 0.5, 0.0), (15, 30.0, 0.0), (20, 30.5, 0.0))
    assert seconds_per_step(readings) == pytest.approx(0.1)


@pytest.mark.parametrize("readings", [marks(), marks((5, 1.0, 0.0)), marks((5, 1.0, 0.0), (5, 2.0, 0.0))])
def test_a_trainer_that_does_not_evaluate_cannot_be_calibrated(readings: list[Mark]) -> None:
    with pytest.raises(BadArgumentsError, match="cannot be calibrated"):
        seconds_per_step(readings)


@pytest.mark.parametrize(
    ("budget", "seconds", "steps"), [(120.0, 0.1, 1020), (1.0, 2.0, 1), (10.0, 0.85, 10), (0.1, 1e-3, 85)]
)
def test_steps_fill_85_percent_of_the_budget(budget: float, seconds: float, steps: int) -> None:
    assert steps_for(budget, seconds) == steps
