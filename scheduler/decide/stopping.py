"""Should a run in flight end before its time? Asked at each of its evaluations, of screening runs only.

Seeds that decide a verdict are never stopped by what they show, and the baseline is what all others are
compared with. A rule of ours answers at once; a pruner of Optuna is asked elsewhere, and answers later, or
never.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from policies._advice import Question, RunSeen, TrialOutcome
from policies._flight import Curve, Flight, Look, delta_se
from policies._stop_rules import StopRules
from policies._stopping import Hopeless, is_audited
from scheduler.decide import actions as act
from scheduler.decide import facts, inputs
from scheduler.decide.actions import Action
from scheduler.decide.facts import PROBE_STAGE
from scheduler.decide.state import State, open_attempts
from scheduler.decide.task_state import Attempt, TaskState
from scheduler.rounds.identity import RunKey
from scheduler.rounds.round import BASELINE

#: how a run that ended counts for a pruner; the clock's end is none that a budget of steps asked for
_OUTCOMES: dict[str, TrialOutcome] = {"ok": "complete", "pruned": "pruned", "timed_out": "pruned"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Screening:
    """A screening run in flight that may still be stopped."""

    task: TaskState
    attempt: Attempt
    seen: tuple[inputs.RunEvaluated, ...]

    @property
    def rules(self) -> StopRules:
        return StopRules.of(self.task.task.policy.options)


def after_evaluation(state: State, event: inputs.RunEvaluated) -> tuple[Action, ...]:
    """The stop to record, or the pruners to ask, after an evaluation that `state` knows of."""
    run = _stoppable(state, event.attempt_id)
    if run is None:
        return ()
    rules, flight = run.rules, _flight(run)
    waived = {stop.rule for stop in run.attempt.stops}
    for rule in rules.own:
        reason = rule.reason(flight) if rule.name not in waived else None
        if reason is not None:
            is_audit = isinstance(rule, Hopeless) and _is_audited(run.attempt, rule)
            return (_record(run, rule.name, reason, event.step, is_audit=is_audit),)
    if not rules.advised or event.value is None or not math.isfinite(event.value):
        return ()
    return (act.AskAdvice(question=_question(run, rules)),)


def after_advice(state: State, event: inputs.StopAdvised) -> tuple[Action, ...]:
    """The stop to record, unless the run has ended, or is about to, since the pruner was asked."""
    run = _stoppable(state, event.attempt_id)
    if run is None or event.rule not in {rule.name for rule in run.rules.advised}:
        return ()
    return (_record(run, event.rule, event.reason, event.step),)


def _stoppable(state: State, attempt_id: str) -> _Screening | None:
    """The run of that attempt, if it is one that rules may stop and has not come to its last evaluation."""
    for _, task, attempt in open_attempts(state):
        intended = attempt.intended
        is_screening = intended.slot == 0 and intended.config != BASELINE and intended.stage != PROBE_STAGE
        if attempt.id != attempt_id or not is_screening or attempt.stop is not None:
            continue
        worker = state.live.workers.get(attempt_id)
        seen = worker.evaluations if worker is not None else ()
        steps = intended.budget["max_steps"]
        if seen and (steps is None or seen[-1].step < steps):
            return _Screening(task=task, attempt=attempt, seen=seen)
    return None


def _record(run: _Screening, rule: str, reason: str, step: int, *, is_audit: bool = False) -> act.Record:
    intended = run.attempt.intended
    fact = facts.StopDecided(
        round=intended.round,
        **asdict(intended.key),
        attempt=intended.attempt,
        rule=rule,
        reason=reason,
        step=step,
        is_audit=is_audit,
    )
    return act.Record(fact=fact)


def _is_audited(attempt: Attempt, rule: Hopeless) -> bool:
    return is_audited(attempt.intended.content_key, rule.audit_share)


def _flight(run: _Screening) -> Flight:
    intended, objective, last = run.attempt.intended, run.task.task.objective, run.seen[-1]
    finished = {r.seed: r for r in _finished(run, run.task.keys.get(BASELINE, ()))}
    values = {seed: r.value for seed, r in finished.items() if r.value is not None}
    baseline = finished.get(intended.seed)
    return Flight(
        curve=Curve(looks=tuple(_look(each) for each in run.seen)),
        baseline=Curve() if baseline is None else _curve(baseline),
        objective=objective,
        max_steps=intended.budget["max_steps"],
        delta_se=delta_se(intended.stage, objective, baseline=values, examples=last.n_eval),
        n_eval=last.n_eval,
        chance=last.chance,
    )


def _look(seen: inputs.RunEvaluated) -> Look:
    return Look(step=seen.step, loss=seen.loss, acc=seen.acc, value=seen.value, digest=seen.scores_digest)


def _curve(run: facts.RunFinished) -> Curve:
    values = dict(run.curve)
    return Curve(
        looks=tuple(
            Look(step=step, loss=loss, acc=acc, value=values.get(step), digest=digest)
            for step, loss, acc, digest in run.evaluations
        )
    )


def _finished(run: _Screening, keys: Iterable[RunKey]) -> Iterator[facts.RunFinished]:
    """Those of the runs that ended at the stage and in the protocol of this one, newest attempt of each."""
    intended = run.attempt.intended
    for key in keys:
        if key.stage != intended.stage:
            continue
        ended = [each.finished for each in run.task.attempts[key] if each.finished is not None]
        if ended and ended[-1].protocol == intended.protocol:
            yield ended[-1]


def _question(run: _Screening, rules: StopRules) -> Question:
    intended = run.attempt.intended
    ended = [
        RunSeen(
            attempt_id=each.attempt_id,
            outcome=_OUTCOMES.get(each.status, "failed"),
            value=each.value,
            points=_finite(each.curve),
            run_dir=each.run_dir,
        )
        for each in _finished(run, run.task.attempts)
        if each.slot == 0
    ]
    now = RunSeen(
        attempt_id=run.attempt.id,
        outcome="running",
        value=None,
        points=_finite((each.step, each.value) for each in run.seen),
        run_dir=intended.run_dir,
    )
    return Question(
        study=f"{intended.round}/{intended.task}.{intended.stage}.{intended.protocol}",
        direction=run.task.task.objective.direction,
        rules=rules.advised,
        round=intended.round,
        runs=(*ended, now),
    )


def _finite(points: Iterable[tuple[int, float | None]]) -> tuple[tuple[int, float], ...]:
    """The last reading at each step that is a number at all."""
    readings = {step: value for step, value in points if value is not None and math.isfinite(value)}
    return tuple(readings.items())
