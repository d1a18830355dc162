"""What does a fact change about what is known of its task? A pure fold.

Whatever is asked at every event is counted here, and not searched for among all runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from policies.evidence import VerdictName
from scheduler.decide import facts
from scheduler.decide.facts import PROBE_STAGE
from scheduler.decide.layered import Layered
from scheduler.decide.run_marks import Pace, RunMark, gathered, measured_seconds, moved, run_marks
from scheduler.decide.task_state import Attempt, DecisionMark, TaskState, counted
from scheduler.decide.usage import Usage
from scheduler.rounds.identity import RunKey
from scheduler.rounds.round import BASELINE, Task


def fold_task(task: TaskState, fact: facts.RoundFact) -> TaskState:
    """The task after `fact`. Raises ValueError for a fact that cannot follow what is known."""
    match fact:
        case facts.RunIntended():
            attempts = (*task.attempts.get(fact.key, ()), Attempt(intended=fact))
            return _with_attempts(task, fact.key, attempts, protocols=_protocols(task, fact))
        case facts.RunStarted() | facts.StopDecided() | facts.RunFinished():
            return _with_attempt(task, fact)
        case facts.TaskProbed():
            return replace(task, probed=fact, protocols={})
        case facts.TaskBegun():
            return replace(task, begun=fact)
        case facts.ConfirmSetFrozen():
            return replace(task, confirm_set=fact)
        case facts.LookTaken():
            return replace(task, looks=(*task.looks, fact))
        case facts.TaskRebatched():
            return _rebatched(task, fact)
        case facts.TaskParked():
            return replace(task, parked=fact)
        case facts.TaskRetried():
            return _retried(task)
        case facts.VariantFact():
            return _with_decisions(task, fact.config, (*task.decisions.get(fact.config, ()), fact))
        case facts.VerdictReached():
            return _with_verdict(task, fact)
        case facts.TaskFinished():
            return replace(task, is_finished=True)
        case _:
            raise ValueError(f"{type(fact).__name__} is no fact of a task")


def _retried(task: TaskState) -> TaskState:
    """Failures are forgiven, and what was decided because of them is open again.

    A frozen confirm set stays: who was a candidate is one, and nobody joins.
    """
    failed = [attempt for tries in task.attempts.values() for attempt in tries if attempt.has_failed]
    reopened = {attempt.intended.config for attempt in failed}
    stages = [stage.name for stage in task.task.stages]
    earliest: dict[str, int] = {}
    for attempt in failed:
        config, stage = attempt.intended.config, attempt.intended.stage
        if stage != PROBE_STAGE:
            earliest[config] = min(stages.index(stage), earliest.get(config, len(stages)))
    retried = _forgiven(task, failed)
    for config in reopened & task.decisions.keys():
        before = earliest.get(config, len(stages))
        kept = tuple(fact for fact in task.decisions[config] if stages.index(fact.stage) < before)
        retried = _with_decisions(retried, config, kept)
    verdicts = {config: fact for config, fact in task.verdicts.items() if config not in reopened}
    return replace(
        retried,
        parked=None,
        is_finished=False,
        verdicts=Layered(verdicts),
        judged=judged_by(task.task, verdicts.values()),
    )


def _forgiven(task: TaskState, failed: Iterable[Attempt]) -> TaskState:
    """The task when those attempts no longer count."""
    forgiven = task.forgiven | {attempt.id for attempt in failed}
    runs, paces = task.runs, task.paces
    for key in dict.fromkeys(attempt.intended.key for attempt in failed):
        if key.stage != PROBE_STAGE:
            before, after = (counted(task.attempts[key], each) for each in (task.forgiven, forgiven))
            runs = _moved_runs(task, runs, key, before, after)
            paces = _moved_paces(paces, key, before, after)
    versions = {stage: object() for stage in task.versions}
    return replace(task, forgiven=forgiven, runs=runs, paces=paces, versions=versions)


def _with_attempt(
    task: TaskState, fact: facts.RunStarted | facts.StopDecided | facts.RunFinished
) -> TaskState:
    key = fact.key
    attempts = list(task.attempts.get(key, ()))
    for index, attempt in enumerate(attempts):
        if attempt.finished is None and attempt.intended.attempt == fact.attempt:
            attempts[index] = _attempt_after(attempt, fact)
            if isinstance(fact, facts.RunFinished):
                peak_mib = peak_memory_mib(task.peak_memory_mib, fact)
                usage = task.usage + Usage.of((fact,))
                return _with_attempts(task, key, tuple(attempts), peak_memory_mib=peak_mib, usage=usage)
            return replace(task, attempts=task.attempts.after(key, tuple(attempts)))
    if isinstance(fact, facts.RunFinished) and fact.cached_from is not None:
        attempts.append(Attempt(intended=fact.intent, finished=fact))
        protocols = _protocols(task, fact)
        reused = task.reused + (key.config == BASELINE)
        usage = task.usage + Usage.of((fact,))
        more = {"reused": reused, "protocols": protocols, "usage": usage}
        return _with_attempts(task, key, tuple(attempts), **more)
    raise ValueError(f"{type(fact).__name__} for {fact.attempt_id}, which is not open")


def _protocols(task: TaskState, fact: facts.AssignmentFact) -> Mapping[str, str]:
    if fact.stage == PROBE_STAGE or task.protocols.get(fact.stage) == fact.protocol:
        return task.protocols
    return {**task.protocols, fact.stage: fact.protocol}


def peak_memory_mib(known_mib: float | None, run: facts.RunFinished) -> float | None:
    """The most that runs held, when one more has ended.

    A probe tries what may not fit, and a run from a store held nothing: they tell nothing of that.
    """
    is_telling = run.stage != PROBE_STAGE and run.cached_from is None
    told = run.peak_memory_mib if is_telling else None
    return max((mib for mib in (known_mib, told) if mib is not None), default=None)


def _attempt_after(
    attempt: Attempt, fact: facts.RunStarted | facts.StopDecided | facts.RunFinished
) -> Attempt:
    match fact:
        case facts.RunStarted():
            return replace(attempt, started=fact)
        case facts.StopDecided():
            return replace(attempt, stops=(*attempt.stops, fact))
        case facts.RunFinished():
            return replace(attempt, finished=fact)


def _with_attempts(task: TaskState, key: RunKey, attempts: tuple[Attempt, ...], **more: Any) -> TaskState:
    """The task with those attempts at a run, one of which is new or has ended, and all that follows."""
    before = task.attempts.get(key, ())
    others = tuple(each for each in task.open_keys if each != key)
    is_open = any(attempt.finished is None for attempt in attempts)
    more["attempts"] = task.attempts.after(key, attempts)
    more["open_keys"] = (*others, key) if is_open else others
    if not before:
        more["keys"] = task.keys.after(key.config, (*task.keys.get(key.config, ()), key))
    if key.stage != PROBE_STAGE:
        left, joined = (counted(tries, task.forgiven) for tries in (before, attempts))
        more["runs"] = _moved_runs(task, task.runs, key, left, joined)
        more["paces"] = _moved_paces(task.paces, key, left, joined)
        more["versions"] = {**task.versions, key.stage: object()}
    return replace(task, **more)


def _moved_runs(
    task: TaskState,
    runs: Mapping[RunMark, int],
    key: RunKey,
    before: tuple[Attempt, ...],
    after: tuple[Attempt, ...],
) -> Mapping[RunMark, int]:
    """How the variants' runs stand, when other attempts at one of them count."""
    place = task.task.places.get(key.config)
    left, joined = marks_of(before), marks_of(after)
    if place is None or left == joined:
        return runs
    return moved(runs, place, left - joined, joined - left)


def marks_of(attempts: tuple[Attempt, ...]) -> frozenset[RunMark]:
    """How a run stands after those attempts."""
    return run_marks((attempt.intended.protocol, attempt.finished) for attempt in attempts)


def _moved_paces(
    paces: Mapping[str, Pace], key: RunKey, before: tuple[Attempt, ...], after: tuple[Attempt, ...]
) -> Mapping[str, Pace]:
    lasted, lasts = (measured_seconds(tries[-1].finished) if tries else None for tries in (before, after))
    if lasted == lasts:
        return paces
    moved_paces = {**paces, key.stage: paces.get(key.stage, Pace()).moved(lasted, lasts)}
    return {stage: each for stage, each in moved_paces.items() if each.runs}


def _with_decisions(task: TaskState, config: str, made: tuple[facts.VariantFact, ...]) -> TaskState:
    """The task with those decisions about a variant."""
    place = task.task.places.get(config)
    decisions = task.decisions.after(config, made)
    if place is None:
        return replace(task, decisions=decisions)
    before, after = decision_marks(task.decisions.get(config, ())), decision_marks(made)
    decided = moved(task.decided, place, before - after, after - before)
    return replace(task, decisions=decisions, decided=decided)


def decision_marks(made: tuple[facts.VariantFact, ...]) -> frozenset[DecisionMark]:
    """Of the last decision after each stage, in each protocol."""
    last = {(fact.stage, fact.protocol): type(fact) for fact in made}
    return frozenset(DecisionMark(stage, protocol, kind) for (stage, protocol), kind in last.items())


def _with_verdict(task: TaskState, fact: facts.VerdictReached) -> TaskState:
    place, earlier = task.task.places.get(fact.config), task.verdicts.get(fact.config)
    judged = task.judged
    if place is not None:
        judged = moved(judged, place, [earlier.verdict] if earlier is not None else [], [fact.verdict])
    return replace(task, verdicts=task.verdicts.after(fact.config, fact), judged=judged)


def judged_by(task: Task, verdicts: Iterable[facts.VerdictReached]) -> Mapping[VerdictName, int]:
    """The variants by their verdict."""
    places = task.places
    placed = ((fact.verdict, places[fact.config]) for fact in verdicts if fact.config in places)
    return gathered(placed, len(places))


def _rebatched(task: TaskState, fact: facts.TaskRebatched) -> TaskState:
    """A new protocol: finished runs are kept but no longer match, and every decision is open again."""
    steps = task.probed.max_steps if task.probed is not None else {}
    probed = facts.TaskProbed(
        round=fact.round,
        task=fact.task,
        bsz=fact.bsz,
        max_steps=steps,
        reason=fact.reason,
        signature=fact.signature,
    )
    return replace(
        task,
        probed=probed,
        protocols={},
        decisions=Layered(),
        decided={},
        confirm_set=None,
        looks=(),
        verdicts=Layered(),
        judged={},
        is_finished=False,
    )
