"""Which candidate got which fresh seeds, what did the look after each show, and how did it end?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from policies.evidence import VerdictName
from scheduler.decide.facts import RunFinished
from scheduler.report.looks import LookRow, look_rows
from scheduler.report.reading import TaskReading
from scheduler.report.runs import runs_at
from scheduler.rounds.round import BASELINE


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedCell:
    """A fresh seed of a candidate, and the look that followed it; None for what is not there yet."""

    run: RunFinished | None
    #: over all of the candidate's fresh seeds so far
    look: LookRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRow:
    """One candidate with its seeds in order."""

    config: str
    #: None while it is open
    verdict: VerdictName | None
    cells: tuple[SeedCell, ...]
    #: `accepted at look 2: adjusted p 0.004 of 0.056`
    end: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshSeeds:
    """All fresh seeds of a task."""

    baseline: tuple[RunFinished, ...]
    #: in the order in which they were frozen
    candidates: tuple[CandidateRow, ...]

    @property
    def columns(self) -> int:
        """The most seeds that anyone has."""
        return max(len(self.baseline), *(len(row.cells) for row in self.candidates))

    @property
    def baseline_source(self) -> str:
        """Whether this round ran the baseline."""
        makers = {run.made_by for run in self.baseline if run.made_by is not None}
        if not makers:
            return "run in this round"
        is_all = all(run.made_by is not None for run in self.baseline)
        return f"{'not' if is_all else 'only in part'} run again: made by {', '.join(sorted(makers))}"


def fresh_seeds(task: TaskReading) -> FreshSeeds | None:
    """Who got which; None where there is no candidate."""
    frozen = task.state.confirm_set
    if frozen is None or not frozen.candidates:
        return None
    return FreshSeeds(baseline=_runs(task, BASELINE), candidates=tuple(_candidates(task, frozen.alpha)))


def _candidates(task: TaskReading, alpha: float) -> Iterator[CandidateRow]:
    assert task.state.confirm_set is not None
    rows = list(look_rows(task))
    for name in task.state.confirm_set.candidates:
        own = [row for row in rows if row.config == name]
        seen = [row for row in own if row.has_reading]
        verdict = task.state.verdicts.get(name)
        yield CandidateRow(
            config=name,
            verdict=None if verdict is None else verdict.verdict,
            cells=tuple(SeedCell(run=run, look=look) for run, look in zip_longest(_runs(task, name), seen)),
            end=_end(own, alpha, is_over=verdict is not None),
        )


def _runs(task: TaskReading, config: str) -> tuple[RunFinished, ...]:
    """Usable runs that judge, in the order of their seeds."""
    assert task.state.confirm_set is not None
    protocol = task.state.confirm_set.protocol
    found = (run for stage in task.state.task.stages for run in runs_at(task.state, stage.name, config))
    return tuple(run for run in found if run.protocol == protocol and run.slot > 0)


def _end(looks: Sequence[LookRow], alpha: float, *, is_over: bool) -> str:
    """What the last look at a candidate meant for it."""
    if not looks:
        return "no look at it" if is_over else "waits for its first seed"
    last = looks[-1]
    p = "" if last.adjusted_p is None else f"adjusted p {last.adjusted_p:.2g} of {alpha:g}"
    if last.is_rejected:
        return f"accepted at look {last.look}: {p}"
    if last.is_given_up:
        return f"given up at look {last.look}" + (f": {last.why or p}" if last.why or p else "")
    return f"not accepted: {p} at look {last.look}" if is_over else f"goes on after look {last.look}"
