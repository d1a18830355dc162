"""When is a run over, and how did it end? Steps decide, seconds kill, and a stop counts at an evaluation."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trainers._failures import Failure, failure_of
from trainers._recorder import Recorder, metric_of
from trainers.contract import Context, Evaluation, StopObserved, TimeBudgetReached


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The daemon wants the run to end before its time."""

    #: "pruned" or "cancelled": how the run then ended
    status: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run ended."""

    status: str
    #: the evaluation that counts; None where no number of the run may be used
    final: Evaluation | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Referee:
    """Follows one run and says when it is over. `say` is called with each message for the daemon."""

    recorder: Recorder
    context: Context
    metric: str
    #: True for a trainer that knows itself when it is done
    ends_itself: bool
    stop: Callable[[], Stop | None]
    say: Callable[[Mapping[str, Any]], None]
    #: what the run printed last, for the text of a failure
    output_tail: Callable[[], str]

    def follow(self, evaluations: Iterator[Evaluation]) -> Ending:
        """Draw evaluations until one of them ends the run. Closes the iterator, however it ends."""
        try:
            for evaluation in evaluations:
                self.say(self.recorder.add(evaluation))
                if ending := self._ending_at(evaluation):
                    return ending
            return self._ran_out()
        except TimeBudgetReached:
            return Ending(status="timed_out", final=self.recorder.last)
        except StopObserved:
            stop = self.stop()
            return Ending(status=stop.status if stop else "cancelled", final=self.recorder.last)
        except (Exception, SystemExit) as error:  # whatever a trainer raises is how its run ended
            return Ending(status="failed", failure=failure_of(error, self.output_tail()))
        finally:
            _close(evaluations)

    def _ending_at(self, evaluation: Evaluation) -> Ending | None:
        if reading := self._not_finite(evaluation):
            message = f"{reading} at step {evaluation.step}"
            failure = Failure(failure_class="nan", message=message, text=message)
            return Ending(status="failed", final=evaluation, failure=failure)
        if self._is_last(evaluation):
            return self._ended_ok(evaluation)
        if stop := self.stop():
            return Ending(status=stop.status, final=evaluation)
        if not self.ends_itself and self.recorder.spent_seconds() > self.context.time_budget_sec:
            return Ending(status="timed_out", final=evaluation)
        return None

    def _is_last(self, evaluation: Evaluation) -> bool:
        limit = self.context.max_steps
        return not self.ends_itself and limit is not None and evaluation.step >= limit

    def _not_finite(self, evaluation: Evaluation) -> str | None:
        readings = {"loss": evaluation.loss, self.metric: metric_of(evaluation, self.metric)}
        for name, value in readings.items():
            if value is not None and not math.isfinite(value):
                return f"{name} is {value}"
        return None

    def _ran_out(self) -> Ending:
        """The trainer has nothing more to say."""
        last, limit = self.recorder.last, self.context.max_steps
        if last is None:
            return self._failed("bad_args", "the run ended without an evaluation")
        if not self.ends_itself and limit is not None and last.step < limit:
            return self._failed(
                "crash",
                f"the run ended at step {last.step} of {limit}; its last evaluation belongs at max_steps",
            )
        return self._ended_ok(last)

    def _ended_ok(self, final: Evaluation) -> Ending:
        if metric_of(final, self.metric) is None:
            known = [name for name in ("acc", "loss") if metric_of(final, name) is not None]
            known += sorted(final.extra)
            return self._failed(
                "bad_args",
                f"no metric {self.metric!r} at the last evaluation, which has {', '.join(known) or 'none'};"
                " name one of them in the objective, or make the run report it",
            )
        return Ending(status="ok", final=final)

    def _failed(self, failure_class: str, message: str) -> Ending:
        tail = self.output_tail().rstrip()
        text = f"{tail}\n\n{message}" if tail else message
        return Ending(
            status="failed", failure=Failure(failure_class=failure_class, message=message, text=text)
        )


def _close(evaluations: Iterator[Evaluation]) -> None:
    """What goes wrong while a trainer clears up is printed, and changes nothing about how its run ended."""
    try:
        close = getattr(evaluations, "close", lambda: None)
        close()
    except Exception:
        traceback.print_exc()
