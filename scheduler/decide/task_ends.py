"""What follows from how the runs of a task ended, before its policy is asked? And which of them are over?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from policies._marks import last_before, members, union
from scheduler.decide import facts
from scheduler.decide.facts import PROBE_STAGE
from scheduler.decide.failures import (
    Limits,
    LowerBatch,
    Over,
    Park,
    Standing,
    ends_for_good,
    standing,
)
from scheduler.decide.fixes import remedy_for
from scheduler.decide.moves import Move, first_line, how_it_failed, parked
from scheduler.decide.run_marks import RunMark
from scheduler.decide.same_failure import is_same_failure
from scheduler.decide.state import State
from scheduler.decide.task_baselines import TaskBaselines
from scheduler.decide.task_results import TaskResults
from scheduler.decide.task_state import Attempt, TaskState
from scheduler.decide.task_view import RunsOver
from scheduler.rounds.identity import RunKey
from scheduler.rounds.round import BASELINE

#: failures that say something of one variant, however many of them diverge
_OF_THE_VARIANT_ALONE = frozenset({"nan"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEnds:
    """The runs of one task that ended, as they count now."""

    round_id: str
    state: State
    task: TaskState
    #: by stage, as things are now
    protocols: Mapping[str, str]
    limits: Limits
    #: what earlier rounds have of its runs
    results: TaskResults

    @property
    def baselines(self) -> TaskBaselines:
        """What is stored of the task's baseline."""
        return TaskBaselines(state=self.state, task=self.task, protocols=self.protocols, limits=self.limits)

    def over(self) -> RunsOver:
        """The runs that are over."""
        places: dict[tuple[str, int], int] = {}
        for mark, marked in self.task.runs.items():
            if mark.protocol == self.protocols.get(mark.stage):
                ended = marked if ends_for_good(self.task, mark, self.limits) else 0
                if mark.is_cached and (self.state.baselines.forgotten or self.state.baselines.drifts):
                    ended = sum(1 << place for place in members(ended) if self._is_over(mark, place))
                if ended:
                    places[mark.stage, mark.slot] = places.get((mark.stage, mark.slot), 0) | ended
        return RunsOver(
            protocols=self.protocols,
            end_of=self._end_of,
            places=places,
            known_by=(
                self.limits.max_attempts,
                self.state.baselines.forgotten,
                tuple(self.state.baselines.drifts.items()),
            ),
        )

    def _end_of(self, key: RunKey) -> facts.RunFinished | None:
        stands = self.standing_of(key)
        return stands.run if isinstance(stands, Over) else None

    def _is_over(self, mark: RunMark, place: int) -> bool:
        """Whether the run of that stage and slot is over, of the variant at `place`."""
        keys = self.task.keys[self.task.task.names[place]]
        ends = (self._end_of(key) for key in keys if key.stage == mark.stage)
        return any(end is not None and end.slot == mark.slot for end in ends)

    def due(self) -> Move | None:
        """What follows from how a run ended, of the first one of which anything does.

        Of the variants' runs, those that failed are looked at by how they failed, and hardly any by itself.
        """
        failed = {mark: places for mark, places in self.task.runs.items() if mark.has_failed}
        is_due = any(
            self._is_due_after_failures(mark, places, failed)
            for mark, places in failed.items()
            if mark.protocol == self.protocols.get(mark.stage)
        )
        moves = map(self._ended, self.task.attempts if is_due else self.task.keys.get(BASELINE, ()))
        return next((move for move in moves if move is not None), None)

    def _is_due_after_failures(self, mark: RunMark, places: int, failed: Mapping[RunMark, int]) -> bool:
        ends = ends_for_good(self.task, mark, self.limits)
        if ends is None:
            return True
        if not ends or mark.failure_class in _OF_THE_VARIANT_ALONE:
            return False
        names, ran = self.task.task.names, self._ran(mark.stage, mark.slot, mark.protocol)
        failures = union(each for other, each in failed.items() if other.stage == mark.stage)
        return any(
            self._ended(key) is not None
            for place in members(places)
            if (before := last_before(ran, place)) is not None and failures >> before & 1
            for key in self.task.keys[names[place]]
        )

    def _ran(self, stage: str, slot: int, protocol: str) -> int:
        """The variants with a run there that has ended."""
        marked = self.task.runs.items()
        return union(p for m, p in marked if (m.stage, m.slot, m.protocol) == (stage, slot, protocol))

    def _ended(self, key: RunKey) -> Move | None:
        """What follows from how a run ended."""
        if key.stage == PROBE_STAGE:
            return None
        match self.standing_of(key):
            case LowerBatch(run=run, bsz=bsz):
                reason = f"out of memory at bsz={run.bsz} ({run.stage} {run.config} s{run.seed})"
                probe = self.task.probed.signature if self.task.probed is not None else ""
                return facts.TaskRebatched(
                    round=self.round_id,
                    task=key.task,
                    bsz=bsz,
                    reason=reason,
                    signature=probe,
                    superseded=tuple(dict.fromkeys(self.protocols.values())),
                )
            case Park(run=run, remedy=remedy):
                return parked(run, first_line(run.error), remedy_for(self.task.task, run, remedy))
            case Over(run=run):
                if run.has_failed or (key.config == BASELINE and run.value is None):
                    return self._breaker(key, run)
                return self.baselines.settled(run) if key.config == BASELINE else None
        return None

    def standing_of(self, key: RunKey) -> Standing:
        """How a run stands, by the attempts at it that count in the protocol of now."""
        protocol = self.protocols[key.stage]
        counted = tuple(
            attempt
            for attempt in self.task.counted(key)
            if attempt.intended.protocol == protocol and not self._is_out_of_date(attempt)
        )
        return standing(self.task, counted, len(self.task.attempts.get(key, ())), self.limits)

    def _is_out_of_date(self, attempt: Attempt) -> bool:
        """Whether it was reused, and a drift has been seen since."""
        run = attempt.finished
        if run is None or run.cached_from is None:
            return False
        return self.state.baselines.is_forgotten(run) or self.results.is_from_before_a_drift(run)

    def _breaker(self, key: RunKey, run: facts.RunFinished) -> Move | None:
        """Park the task when the failure is not the variant's alone: it would fail every variant alike."""
        if key.config == BASELINE:
            reason = f"the baseline {how_it_failed(run)}, so that nothing can be compared"
            return parked(run, reason, _baseline_remedy(run))
        if run.failure_class in _OF_THE_VARIANT_ALONE:
            return None
        ran = self._ran(run.stage, run.slot, run.protocol)
        place = last_before(ran, self.task.task.places[key.config])
        if place is None:
            return None
        before = self.task.counted(replace(key, config=self.task.task.names[place]))
        last = before[-1].finished if before else None
        if last is None or not last.has_failed or not is_same_failure(last, run):
            return None
        reason = f"{last.config} and {run.config} failed alike: {first_line(run.error)}"
        return parked(run, reason, "mend what both have in common, then retry")


def _baseline_remedy(run: facts.RunFinished) -> str:
    if run.status == "timed_out":
        return "raise time_budget_sec, or evaluate earlier, and submit a new round"
    return "see error.txt of the run, mend its cause, then retry"
