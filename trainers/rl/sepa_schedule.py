"""How strongly does SEPA pool at a step? Not at all until answers are right often enough, then on a ramp."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class SepaSchedule:
    """A linear ramp of lambda behind a gate. A batch that opens the gate opens it for good."""

    #: the ramp begins after this step
    delay: int
    #: and takes as many to reach 1
    steps: int
    #: correct rate of a batch that opens the gate, 0..1
    gate: float
    is_open: bool = False

    def at(self, step: int, correct_rate: float) -> float:
        """Lambda of a step, counted from 1, whose batch has this correct rate and may open the gate."""
        self.is_open = self.is_open or correct_rate >= self.gate
        if not self.is_open:
            return 0.0
        return min(1.0, max(0.0, (step - self.delay) / self.steps))
