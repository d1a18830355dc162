"""Which batch size fits, and how many steps fit into the seconds a stage gives?"""

from __future__ import annotations

import gc
import itertools
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from trainers import _registry
from trainers._failures import classify
from trainers._recorder import peak_memory_mib
from trainers.contract import BadArgumentsError, Context, TrainerConfig, TrainerError

#: share of the device's memory that a step may use; the rest is for fragmentation and what evaluation needs
USABLE_MEMORY = 0.9

#: share of a time budget that calibrated steps are meant to fill
FILLED_BUDGET = 0.85

#: of a step, so that a clock that stood still gives no endless run
SHORTEST_STEP_SECONDS = 1e-6

#: steps between the evaluations of the short run that is timed
STEPS_PER_READING = 5

#: readings of the short run, of which the first is warm-up
READINGS = 7

#: timing ends early, with at least one reading after the first, when it has taken so long
TIMING_SECONDS = 30.0


class NothingFitsError(TrainerError):
    """No batch size of the list fits into memory."""

    failure_class = "oom"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fits:
    """A full step went through, with room to spare."""

    peak_memory_mib: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TooLarge:
    """A full step ran out of memory, or came too near to it."""

    reason: str


def descend(
    candidates: Sequence[int], attempt: Callable[[int], Fits | TooLarge]
) -> tuple[int, Fits, tuple[str, ...]]:
    """The first candidate that fits, how it fits, and why each one before it did not.

    Whatever `attempt` raises goes through: only running out of memory goes down the list.
    """
    reasons = []
    for bsz in candidates:
        outcome = attempt(bsz)
        if isinstance(outcome, Fits):
            return bsz, outcome, tuple(reasons)
        reasons.append(f"{bsz}: {outcome.reason}")
    raise NothingFitsError(
        f"no batch size fits ({'; '.join(reasons)}); list smaller ones in `bsz`, or make the model,"
        " the sequence or the other users of the device smaller"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """When a run was at which step, its evaluation there included."""

    step: int
    at: float
    eval_seconds: float


def seconds_per_step(marks: Sequence[Mark]) -> float:
    """Median over what lies between two marks. What lies before the first is start-up and warm-up."""
    readings = [
        (later.at - earlier.at - later.eval_seconds) / (later.step - earlier.step)
        for earlier, later in itertools.pairwise(marks)
        if later.step > earlier.step
    ]
    if not readings:
        raise BadArgumentsError("the trainer cannot be calibrated: it does not evaluate at eval_every")
    return max(statistics.median(readings), SHORTEST_STEP_SECONDS)


def steps_for(time_budget_sec: float, seconds_per_step: float) -> int:
    """Steps that fill a time budget with some room for evaluation; at least one."""
    return max(1, math.floor(FILLED_BUDGET * time_budget_sec / seconds_per_step))


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Tries full steps of one trainer with one config on one device."""

    module: ModuleType
    config: TrainerConfig
    context: Context

    def run(self, candidates: Sequence[int], stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the probe adds to a result: the batch size that fits, and among `extra` the time of a step
        and the steps that fit the seconds of each stage without steps.
        """
        has_steps = _registry.has_steps(self.module, self.config)
        uncalibrated = [stage for stage in stages if has_steps and stage.get("max_steps") is None]
        if uncalibrated and getattr(self.module, "ENDS_ITSELF", False):
            named = ", ".join(stage["name"] for stage in uncalibrated)
            raise BadArgumentsError(f"this trainer cannot be calibrated: give stage {named} a max_steps")
        bsz: int | None = candidates[0] if candidates else self.context.bsz
        fits = Fits(peak_memory_mib=None)
        if candidates and hasattr(self.module, "full_step"):
            bsz, fits, reasons = descend(candidates, self._attempt)
            for reason in reasons:
                print(f"does not fit: {reason}")
        found: dict[str, Any] = {"bsz": bsz}
        if fits.peak_memory_mib is not None:
            found["peak_memory_mib"] = fits.peak_memory_mib
        if uncalibrated:
            seconds = self._seconds_per_step(bsz)
            found["extra"] = {"seconds_per_step": seconds} | {
                f"max_steps.{stage['name']}": steps_for(stage["time_budget_sec"], seconds)
                for stage in uncalibrated
            }
        return found

    def _attempt(self, bsz: int) -> Fits | TooLarge:
        _free_device_memory()
        try:
            self._full_step(bsz)
        except Exception as error:
            if classify(error) != "oom":
                raise
            return TooLarge(reason="out of memory")
        peak = peak_memory_mib(self.context.device)
        total = _device_memory_mib(self.context.device)
        if peak is not None and total is not None and peak > USABLE_MEMORY * total:
            return TooLarge(reason=f"{peak:.0f} of {total:.0f} MiB leaves less than 10 % headroom")
        return Fits(peak_memory_mib=peak)

    def _seconds_per_step(self, bsz: int | None) -> float:
        """Of a short run as the trainer itself does it, so that all that a step takes is in it."""
        context = replace(
            self.context, bsz=bsz, max_steps=STEPS_PER_READING * READINGS, eval_every=STEPS_PER_READING
        )
        began_at = time.monotonic()
        evaluations = iter(self.module.train(self.module.prepare(self.config, context), context))
        marks: list[Mark] = []
        for evaluation in evaluations:
            now = time.monotonic()
            marks.append(Mark(step=evaluation.step, at=now, eval_seconds=evaluation.eval_seconds or 0.0))
            if len(marks) > 1 and now - began_at > TIMING_SECONDS:
                break
        close = getattr(evaluations, "close", None)
        if close is not None:
            close()
        return seconds_per_step(marks)

    def _full_step(self, bsz: int) -> None:
        self.module.full_step(self.config, replace(self.context, bsz=bsz))
        torch = sys.modules.get("torch")
        if torch is not None and self.context.device.startswith("cuda"):
            torch.cuda.synchronize()


def _free_device_memory() -> None:
    """Give back what an attempt before left behind, so that each batch size is measured alone."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _device_memory_mib(device: str) -> float | None:
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda"):
        return None
    return torch.cuda.get_device_properties(device).total_memory / 2**20
