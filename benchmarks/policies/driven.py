"""What does a policy of Roundhouse declare? It is asked for one step at a time, as a planner asks it."""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from world import MEDIUM_SECONDS, NO_OP_SECONDS, QUICK_SECONDS, SLOTS, Declared, SimulatedRound

from policies import Policy
from policies._assessment import Ledger
from policies._ledger import Lesson, learnt
from policies._race_level import Counters
from policies._variance import Spread
from policies._verdict import LEAST_WINNING_DELTA, LEAST_WINNING_GAIN
from policies.evidence import BASELINE, Hold, Objective, Observation, Promote, Prune, Verdict
from policies.steps import Decide, Decided, Freeze, Judge, Look, Run, Step, TaskView

OBJECTIVE = Objective()
#: of a run, by stage in order
SECONDS = {"quick": QUICK_SECONDS, "medium": MEDIUM_SECONDS}
#: tasks that a ledger is fitted to, newest last; with all of them a fit would take longer with every round
LATEST_LESSONS = 250
#: by how many tasks a ledger grows between two fits
GROWTH_BETWEEN_FITS = 1.25
#: what a run shows, given the baseline's run of its stage and slot where that is over
Observe = Callable[[Run, Observation | None], Observation]
DECIDED: Mapping[type, Decided] = {Prune: "pruned", Promote: "promoted", Hold: "held"}

#: which verdicts count as declared: WINNER; SUGGESTIVE as well; or WINNER as if no set were too small
Kind = Literal["winner", "suggestive", "uncapped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the verdicts are read, and the runs are paid for."""

    kind: Kind = "winner"
    #: whether medium goes on from the quick state of its seed
    is_continued: bool = True

    def __str__(self) -> str:
        if not self.is_continued:
            return "no continuation"
        return {
            "winner": "quick continued",
            "suggestive": "SUGGESTIVE counted too",
            "uncapped": "small evals not capped",
        }[self.kind]


AFRESH = Reading(is_continued=False)
CONTINUED = Reading()
SUGGESTIVE_TOO = Reading(kind="suggestive")
UNCAPPED = Reading(kind="uncapped")
READINGS = (AFRESH, CONTINUED, UNCAPPED, SUGGESTIVE_TOO)


class Misstep(Exception):
    """A policy asked for what no planner could give: a run that is over, or an unknown name."""


@dataclass(slots=True)
class GrowingLedger:
    """What the rounds so far taught; it outlives them."""

    lessons: deque[Lesson] = field(default_factory=lambda: deque(maxlen=LATEST_LESSONS))
    taught: Ledger = field(default_factory=Ledger)
    count: int = 0
    #: number of lessons at which the next fit is worth its time
    next_fit: int = 0
    #: of all lessons, and by protocol: they are never forgotten, and need no fit
    counters: Counters = field(default_factory=Counters)
    own: dict[str, Spread] = field(default_factory=dict)

    def of(self, protocol: str) -> Ledger:
        """What is known when a task of that protocol begins."""
        return replace(self.taught, counters=self.counters, own=self.own.get(protocol, Spread()))

    def record(self, lesson: Lesson) -> None:
        if lesson.is_empty:
            return
        self.counters += lesson.counters
        self.own[lesson.protocol] = self.own.get(lesson.protocol, Spread()) + lesson.candidates
        self.lessons.append(lesson)
        self.count += 1
        if self.count >= self.next_fit:
            self.taught = learnt(tuple(self.lessons), OBJECTIVE)
            self.next_fit = math.ceil(self.count * GROWTH_BETWEEN_FITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """A task that a policy has finished."""

    #: everything the policy asked for, in order
    steps: tuple[Step, ...]
    #: the task as it was at the end
    view: TaskView

    @property
    def runs(self) -> tuple[Run, ...]:
        return tuple(step for step in self.steps if isinstance(step, Run))

    @property
    def verdicts(self) -> dict[str, Verdict]:
        return {step.config: step.verdict for step in self.steps if isinstance(step, Judge)}


def drive(policy: Policy, view: TaskView, observe: Observe) -> Driven:
    """All steps of a task, until the policy has nothing left to do. Raises Misstep for an impossible one."""
    steps: list[Step] = []
    while (step := policy.next(view)) is not None:
        steps.append(step)
        view = _after(step, view, observe)
    return Driven(steps=tuple(steps), view=view)


def simulated_task(seen: SimulatedRound, ledger: Ledger, *, listed_seeds: int = 1) -> TaskView:
    """The task before anything ran."""
    return TaskView(
        objective=OBJECTIVE,
        stages=tuple(SECONDS),
        listed_seeds=listed_seeds,
        variants={str(row): () for row in seen.variants},
        ledger=ledger,
    )


def seconds_of(driven: Driven, *, is_continued: bool) -> float:
    """GPU time of all runs; a medium run that goes on from the quick state costs the difference."""
    total, at_quick = 0.0, set()
    for run in driven.runs:
        observed = driven.view.run(run.stage, run.config, run.slot)
        assert observed is not None
        if observed.is_reused:
            continue
        if observed.stopped_by is not None:
            total += NO_OP_SECONDS
            continue
        total += SECONDS[run.stage]
        if run.stage == "quick":
            at_quick.add((run.config, run.slot))
        elif is_continued and (run.config, run.slot) in at_quick:
            total -= QUICK_SECONDS
    return total


def observed(
    seen: SimulatedRound,
    run: Run,
    baseline: Observation | None,
    *,
    stored: Collection[tuple[str, int]] = (),
) -> Observation:
    """What a run shows. A no-op is stopped at its first look, once there is a baseline to equal.

    Of the baseline, what is `stored` by stage and slot is not run again.
    """
    if run.slot >= SLOTS:
        raise Misstep(f"{run}: the simulated world has {SLOTS} slots")
    row = 0 if run.config == BASELINE else int(run.config)
    score = float((seen.quick if run.stage == "quick" else seen.medium)[row, run.slot]) / 100.0
    does_nothing = row > 0 and bool(seen.is_no_op[row])
    is_stopped = does_nothing and run.slot == 0 and baseline is not None
    return Observation(
        stage=run.stage,
        config=run.config,
        seed=run.slot,
        slot=run.slot,
        status="pruned" if is_stopped else "ok",
        protocol=protocol_of(seen, run.stage),
        value=score,
        # falls with the score, and slowly enough that no honest score looks like a leak
        loss=3.0 - 2.0 * score,
        acc=score,
        n_eval=seen.examples,
        scores_digest=f"{0 if does_nothing else row} {run.stage} {run.slot}",
        stopped_by="noop" if is_stopped else None,
        is_reused=run.config == BASELINE and (run.stage, run.slot) in stored,
    )


def protocol_of(seen: SimulatedRound, stage: str) -> str:
    """Runs of the rounds of one task can be compared."""
    return f"{seen.task} {stage}"


def _after(step: Step, view: TaskView, observe: Observe) -> TaskView:
    match step:
        case Run():
            return _with_run(step, view, observe)
        case Decide(config=config, stage=stage, decision=decision):
            is_known = stage in view.stages and config in view.variants
            if not is_known or view.decided(config, stage) is not None:
                raise Misstep(f"{step}: unknown, or decided before")
            made = {**view.decisions.get(config, {}), stage: DECIDED[type(decision)]}
            return replace(view, decisions={**view.decisions, config: made})
        case Freeze(confirm_set=confirm_set):
            if view.confirm_set is not None or not view.variants.keys() >= set(confirm_set.candidates):
                raise Misstep(f"{step}: unknown candidates, or frozen before")
            return replace(view, confirm_set=confirm_set)
        case Look(look=look):
            if view.confirm_set is None or not view.looks_taken < look <= view.confirm_set.looks:
                raise Misstep(f"{step}: taken before, or never declared")
            return replace(view, looks_taken=look)
        case Judge(config=config, verdict=verdict):
            if config not in view.variants or config in view.verdicts:
                raise Misstep(f"{step}: unknown, or judged before")
            return replace(view, verdicts={**view.verdicts, config: verdict.name})


def _with_run(run: Run, view: TaskView, observe: Observe) -> TaskView:
    is_known = run.stage in view.stages and (run.config == BASELINE or run.config in view.variants)
    if not is_known or run.slot < 0:
        raise Misstep(f"{run}: unknown; the stages are {' and '.join(view.stages)}")
    if view.run(run.stage, run.config, run.slot) is not None:
        raise Misstep(f"{run}: is over already")
    if run.config == BASELINE:
        return replace(view, baseline=(*view.baseline, observe(run, None)))
    runs = (*view.variants[run.config], observe(run, view.run(run.stage, BASELINE, run.slot)))
    return replace(view, variants={**view.variants, run.config: runs})


def claims(verdicts: Mapping[str, Verdict], *, kind: Kind) -> dict[int, Verdict]:
    """The verdicts that a reader takes for a win, by row."""
    return {int(config): each for config, each in verdicts.items() if _is_claim(each, kind)}


def _is_claim(verdict: Verdict, kind: Kind) -> bool:
    if kind == "suggestive" and verdict.name == "SUGGESTIVE":
        return True
    if kind == "uncapped" and verdict.adjusted_p is not None:
        gains = verdict.raw_gain, verdict.shrunk_gain
        least = LEAST_WINNING_DELTA * OBJECTIVE.min_effect, LEAST_WINNING_GAIN * OBJECTIVE.min_effect
        return all(gain is not None and gain >= low for gain, low in zip(gains, least, strict=True))
    return verdict.name == "WINNER"


@dataclass(slots=True, kw_only=True)
class PolicySearch:
    """A policy as a search over round after round, with the ledger that its lessons make."""

    policy: Policy
    #: None keeps the cold start for ever
    ledger: GrowingLedger | None = field(default_factory=GrowingLedger)
    listed_seeds: int = 1
    #: the baseline's runs by stage and slot, of the latest task
    stored: tuple[int, set[tuple[str, int]]] = field(default_factory=lambda: (-1, set()))

    def __call__(self, seen: SimulatedRound) -> dict[Reading, Declared]:
        """What the round comes to, by how its verdicts are read and its runs are paid for."""
        if self.stored[0] != seen.task:
            self.stored = (seen.task, set())
        medium = protocol_of(seen, "medium")
        taught = self.ledger.of(medium) if self.ledger is not None else Ledger()
        task = simulated_task(seen, taught, listed_seeds=self.listed_seeds)
        driven = drive(self.policy, task, functools.partial(observed, seen, stored=frozenset(self.stored[1])))
        self.stored[1].update((run.stage, run.slot) for run in driven.runs if run.config == BASELINE)
        if self.ledger is not None:
            self.ledger.record(self.policy.lesson(driven.view))
        seconds = {paid: seconds_of(driven, is_continued=paid) for paid in (False, True)}
        return {
            reading: _declared(claims(driven.verdicts, kind=reading.kind), seconds[reading.is_continued])
            for reading in READINGS
        }


def _declared(claimed: Mapping[int, Verdict], seconds: float) -> Declared:
    return Declared(
        winners={row: each.shrunk_gain for row, each in claimed.items()},
        raw={row: each.raw_gain for row, each in claimed.items()},
        seconds=seconds,
    )
