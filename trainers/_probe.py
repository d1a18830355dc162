"""Which batch size fits, and how many steps fit into the seconds a stage gives?"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from trainers._failures import classify
from trainers._recorder import peak_memory_mib
from trainers.contract import BadArgumentsError, Context, TrainerConfig, TrainerError

#: share of the device's memory that a step may use; the rest is for fragmentation and what evaluation needs
USABLE_MEMORY = 0.9

#: share of a time budget that calibrated steps are meant to fill
FILLED_BUDGET = 0.85

WARM_UP_STEPS = 2
TIMED_STEPS = 10

#: timing ends early when it has taken so long
TIMING_SECONDS = 20.0


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
        """The batch size that fits and, for each stage without steps, the steps that fit its seconds."""
        uncalibrated = [stage for stage in stages if stage.get("max_steps") is None]
        has_full_step = hasattr(self.module, "full_step")
        if uncalibrated and not has_full_step:
            named = ", ".join(stage["name"] for stage in uncalibrated)
            raise BadArgumentsError(
                f"this trainer cannot be calibrated, for it has no full_step; give stage {named} a max_steps"
            )
        bsz: int | None = candidates[0] if candidates else self.context.bsz
        fits, reasons = Fits(peak_memory_mib=None), ()
        if candidates and has_full_step:
            bsz, fits, reasons = descend(candidates, self._attempt)
        found = {"bsz": bsz, "reasons": list(reasons), "seconds_per_step": None, "max_steps": {}}
        if fits.peak_memory_mib is not None:
            found["peak_memory_mib"] = fits.peak_memory_mib
        if uncalibrated:
            seconds = self._seconds_per_step(bsz)
            found["seconds_per_step"] = seconds
            found["max_steps"] = {
                stage["name"]: steps_for(stage["time_budget_sec"], seconds) for stage in uncalibrated
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
        for _ in range(WARM_UP_STEPS):
            self._full_step(bsz)
        seconds: list[float] = []
        began_at = time.monotonic()
        while len(seconds) < TIMED_STEPS and (not seconds or time.monotonic() - began_at < TIMING_SECONDS):
            step_began_at = time.perf_counter()
            self._full_step(bsz)
            seconds.append(time.perf_counter() - step_began_at)
        return statistics.median(seconds)

    def _full_step(self, bsz: int | None) -> None:
        self.module.full_step(self.config, replace(self.context, bsz=bsz))
        torch = sys.modules.get("torch")
        if torch is not None and self.context.device.startswith("cuda"):
            torch.cuda.synchronize()


def _free_device_memory() -> None:
    """Give back what an attempt before left behind, so that each batch size is measured alone."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _device_memory_mib(device: str) -> float | None:
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda"):
        return None
    return torch.cuda.get_device_properties(device).total_memory / 2**20
