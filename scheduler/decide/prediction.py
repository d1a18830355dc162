"""Which run will most likely be next? The plan is asked as if the run in flight had ended as it looks now."""

from __future__ import annotations

from dataclasses import fields, replace

from policies._marks import union
from policies._memo import Memo, Same
from scheduler.decide import facts, inputs
from scheduler.decide.actions import FetchResult
from scheduler.decide.ending import reported_end
from scheduler.decide.facts import PROBE_STAGE
from scheduler.decide.failures import Limits
from scheduler.decide.moves import Wait
from scheduler.decide.plan import next_move
from scheduler.decide.state import Live, State, fold, open_attempt, open_attempts
from scheduler.decide.task_state import Attempt, TaskState
from scheduler.rounds.round import BASELINE

#: decisions between the end of one run and the intent of the next: a whole task may be promoted and judged
MOST_DECISIONS = 200
#: so many alike in turn are the beginning of a series: each variant that waits for one gets one
SERIES = 2
#: share of its steps after which a run's evaluations tell how it will end
TELLING_SHARE = 0.5
#: how far from the run it resembles a run may end for all that is known beforehand, in min_effects
FAR = 20.0
#: how much worse than the baseline a variant is that does nothing, in min_effects
HAIR = 1e-3
#: where nothing tells how long the run in flight will take
STAND_BACK_SECONDS = 5.0

#: of the run in flight alone
_FORESEEN: Memo[tuple[facts.RunIntended | FetchResult | None, ...]] = Memo(1)


def predicted_run(state: State, limits: Limits) -> facts.RunIntended | FetchResult | None:
    """The run that is intended next if the one in flight ends as it looks now; while its evaluations do not
    tell, if it ends like the run that it resembles most.

    A result that is reused before that has to be looked up first. None while nothing is in flight, and when
    nothing would start. A wrong prediction costs a process, never a result.
    """
    flight = next(iter(open_attempts(state)), None)
    if flight is None:
        return None
    _, task, attempt = flight
    if attempt.started is None or attempt.intended.stage == PROBE_STAGE:
        return None
    worker = state.live.workers.get(attempt.id)
    keeps_state = worker is not None and worker.prepared is not None and worker.prepared.keep_step is not None
    following = _after_likely_end(state, task, attempt, limits)
    if keeps_state and isinstance(following, facts.RunIntended) and _goes_on(attempt.intended, following):
        return None  # it would be prepared from a state that is not there yet
    return following


def _after_likely_end(
    state: State, task: TaskState, attempt: Attempt, limits: Limits
) -> facts.RunIntended | FetchResult | None:
    # What only waits for the run in flight is not waited for here.
    imagined = replace(state, live=_without_workers(state.live))
    plain, *others = _after_ends(imagined, task, attempt, limits)
    likely = None if all(other == plain for other in others) else _likely_value(state, task, attempt)
    return plain if likely is None else _after_end(imagined, _imagined_end(attempt, likely), limits)


def _after_ends(
    state: State, task: TaskState, attempt: Attempt, limits: Limits
) -> tuple[facts.RunIntended | FetchResult | None, ...]:
    """What follows a plain end, a very bad one and a very good one: what follows all of them follows whatever
    happens. Worked out once, since no evaluation changes it.
    """

    def following() -> tuple[facts.RunIntended | FetchResult | None, ...]:
        ends = _possible_ends(task, attempt.intended)
        if attempt.intended.budget["max_steps"] is None:
            ends = ends[:1]  # nobody knows how far it is
        if attempt.stop is not None:
            ends = ends[:1]  # it has no value that counts
        return tuple(_after_end(state, _imagined_end(attempt, value), limits) for value in ends)

    known = (getattr(state, each.name) for each in fields(state) if each.name != "live")
    live = state.live
    held = (tuple(live.waits.items()), Same(live.fetched), live.spoiled)
    return _FORESEEN.get((attempt.id, limits, *held, *map(Same, known)), following)


def _without_workers(live: Live) -> Live:
    return Live(waits=live.waits, fetched=live.fetched, spoiled=live.spoiled, is_recovered=True)


def is_last_evaluation(state: State, event: inputs.RunEvaluated) -> bool:
    """Whether the run ends with this evaluation, by its budget of steps."""
    attempt = open_attempt(state, event.attempt_id)
    steps = attempt.intended.budget["max_steps"] if attempt is not None else None
    return steps is not None and event.step >= steps


def seconds_to_stand_back(state: State) -> float:
    """How long what is prepared ahead leaves the processor to others: half the time of the run in flight, as
    far as a run of the baseline tells. On a busy machine it would else never be ready.
    """
    flight = next(iter(open_attempts(state)), None)
    reference = None if flight is None else _reference(flight[1], flight[2].intended)
    if reference is None or reference.train_seconds is None:
        return STAND_BACK_SECONDS
    return reference.train_seconds / 2


def _goes_on(run: facts.RunIntended, following: facts.RunIntended) -> bool:
    """Whether `following` is the longer run that `run` keeps its state for."""
    return (run.round, run.task, run.config, run.seed) == (
        following.round,
        following.task,
        following.config,
        following.seed,
    )


def _after_end(
    state: State, end: facts.RunFinished, limits: Limits
) -> facts.RunIntended | FetchResult | None:
    """The run that follows if the one in flight ends so."""
    # an end that is only imagined is nothing to reuse
    state = replace(fold(state, end), results=state.results)
    alike: list[facts.Fact] = []
    for _ in range(MOST_DECISIONS):
        move = next_move(state, limits)
        if isinstance(move, Wait):
            return None
        if isinstance(move, FetchResult):
            return move
        if isinstance(move, facts.RunIntended):
            return move if move.stage != PROBE_STAGE else None
        state = fold(state, move)
        alike = [*(fact for fact in alike if type(fact) is type(move)), move]
        is_series = len(alike) >= SERIES or isinstance(move, facts.LookTaken)
        if is_series and _left(state, move) > MOST_DECISIONS:
            return None
    return None


def _left(state: State, decision: facts.Fact) -> int:
    """How many variants wait for a decision like that; after the last look, for their verdicts."""
    if not isinstance(decision, facts.VariantFact | facts.VerdictReached | facts.LookTaken):
        return 0
    task = state.rounds[decision.round].tasks[decision.task]
    if isinstance(decision, facts.LookTaken) and not _is_last(decision, task.confirm_set):
        return 0
    out = union(task.judged.values())
    if isinstance(decision, facts.VariantFact):
        ended = (facts.VariantPruned, facts.VariantHeld)
        out |= union(each for mark, each in task.decided.items() if mark.stage == decision.stage)
        out |= union(each for mark, each in task.decided.items() if mark.kind in ended)
    return len(task.task.names) - out.bit_count()


def _is_last(look: facts.LookTaken, frozen: facts.ConfirmSetFrozen | None) -> bool:
    return frozen is not None and look.look == frozen.looks


def _imagined_end(attempt: Attempt, value: float) -> facts.RunFinished:
    """A plain end, or that of a run that was told to stop.

    It tells no loss, so that no guard takes the imagined numbers for a leak.
    """
    steps = attempt.intended.budget["max_steps"] or 1
    status = "ok" if attempt.stop is None else "pruned"
    result = {"status": status, "value": value, "steps": steps, "curve": [[steps, value]]}
    return reported_end(attempt.intended, result, stop=attempt.stop)


def _likely_value(state: State, task: TaskState, attempt: Attempt) -> float | None:
    """Where the run's metric is heading; None while it does not tell."""
    reference = _reference(task, attempt.intended)
    worker = state.live.workers.get(attempt.id)
    seen = reversed(worker.evaluations) if worker is not None else ()
    last = next((evaluation for evaluation in seen if evaluation.value is not None), None)
    steps = attempt.intended.budget["max_steps"]
    if reference is None or reference.value is None or last is None or last.value is None:
        return None
    if steps is None or last.step < TELLING_SHARE * steps:
        return None
    at_step = dict(reference.curve).get(last.step)
    return None if at_step is None else reference.value + last.value - at_step


def _possible_ends(task: TaskState, intended: facts.RunIntended) -> tuple[float, ...]:
    """A plain end, a very bad one and a very good one. Most variants are no better than the baseline."""
    reference = _reference(task, intended)
    middle = 0.0 if reference is None or reference.value is None else reference.value
    objective = task.task.objective
    effect = objective.min_effect / objective.scale
    is_alike = reference is None or reference.config == intended.config
    plain = middle if is_alike else middle - HAIR * effect * (1 if objective.direction == "maximize" else -1)
    return plain, middle - FAR * effect, middle + FAR * effect


def _reference(task: TaskState, intended: facts.RunIntended) -> facts.RunFinished | None:
    """The run of the stage that the one in flight resembles most: the last of its own config; else the
    baseline's of its seed, or else its last.
    """
    own, baseline = (_of_stage(task, config, intended.stage) for config in (intended.config, BASELINE))
    of_seed = [run for run in baseline if run.seed == intended.seed]
    return next(reversed(own or of_seed or baseline), None)


def _of_stage(task: TaskState, config: str, stage: str) -> list[facts.RunFinished]:
    """The last try of each of its runs that went well."""
    found = []
    for key in task.keys.get(config, ()):
        ended = (attempt.finished for attempt in reversed(task.attempts[key]) if key.stage == stage)
        found += [run for run in ended if run is not None and run.status == "ok"][:1]
    return found
