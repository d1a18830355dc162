"""What would a pruner of Optuna do with this run? The task's screening runs are replayed into a study.

Importing this is light; asking loads Optuna, so the daemon never does.
"""

from __future__ import annotations

import difflib
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from policies._advice import Answer, Question, RunSeen
from policies._stop_rules import PER_EXAMPLE_PRUNERS, Advised
from policies.evidence import Direction

if TYPE_CHECKING:
    import numpy as np
    import optuna
    from numpy.typing import NDArray
    from optuna.pruners import BasePruner

    Scores = NDArray[np.float32]

#: option of pruners that wrap another one: its name, or a table of its name and options
WRAPPED = "wrapped_pruner"
#: studies that are kept between questions; tasks run one after the other
MOST_REPLAYS = 8

#: the scores by example of a run at a step, by its run_dir; None where there are none
ReadScores = Callable[[str, int], "Scores | None"]


def pruner_names() -> tuple[str, ...]:
    """Every pruner that the installed Optuna has."""
    import optuna

    return tuple(name for name in optuna.pruners.__all__ if name != "BasePruner")


def pruner_problem(rule: Advised) -> str | None:
    """Why the rule cannot be: Optuna has no such pruner, or refuses its options."""
    try:
        make_pruner(rule)
    except (TypeError, ValueError) as error:
        return str(error)
    return None


def make_pruner(rule: Advised) -> BasePruner:
    """The pruner by its name in Optuna. Raises ValueError or TypeError, in words."""
    import optuna

    names = pruner_names()
    if rule.pruner not in names:
        close = difflib.get_close_matches(rule.pruner, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
        raise ValueError(f"Optuna {optuna.__version__} has no pruner {rule.pruner!r}; {hint}")
    options = dict(rule.options)
    if options.get(WRAPPED) is not None:
        options[WRAPPED] = _wrapped(options[WRAPPED])
    with warnings.catch_warnings():
        # Some pruners are experimental in Optuna; whoever names one has chosen it.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        pruner: BasePruner = getattr(optuna.pruners, rule.pruner)(**options)
    return pruner


class Adviser:
    """Answers questions. Keeps the studies it has made, so that each evaluation is replayed once."""

    def __init__(self, read_scores: ReadScores) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._read_scores = read_scores
        self._replays: dict[tuple[str, str], _Replay] = {}

    def answers(self, question: Question) -> tuple[Answer, ...]:
        """What each rule says. One that fails says why, and stops nothing."""
        return tuple(self._answer(question, rule) for rule in question.rules)

    def _answer(self, question: Question, rule: Advised) -> Answer:
        finished = sum(run.outcome == "complete" for run in question.runs)
        beside = f"{finished} finished run{'s' * (finished != 1)}"
        try:
            if rule.is_per_example:
                is_over = self._by_example(question, rule)
            else:
                is_over = self._by_curve(question, rule)
        except Exception as error:  # whatever a pruner raises: the round goes on without it
            return Answer(rule=rule.name, error=f"{type(error).__name__}: {error}")
        return Answer(rule=rule.name, reason=f"at step {question.step}, beside {beside}" if is_over else None)

    def _by_curve(self, question: Question, rule: Advised) -> bool:
        key = (question.study, repr(rule))
        replay = self._replays.pop(key, None)
        if replay is None or not replay.is_continued_by(question.runs):
            replay = _Replay(make_pruner(rule), question.direction)
        self._replays[key] = replay
        while len(self._replays) > MOST_REPLAYS:
            del self._replays[next(iter(self._replays))]
        return replay.is_over(question.runs)

    def _by_example(self, question: Question, rule: Advised) -> bool:
        """Against the best finished run at the same step: beside its later scores every run looks bad."""
        import optuna

        complete = [run for run in question.runs if run.outcome == "complete" and _is_number(run.value)]
        if not complete:
            return False
        sign = 1.0 if question.direction == "maximize" else -1.0
        best = max(complete, key=lambda run: sign * (run.value or 0.0))
        ours = self._read_scores(question.runs[-1].run_dir, question.step)
        theirs = self._read_scores(best.run_dir, question.step)
        if ours is None or theirs is None or len(ours) != len(theirs):
            return False
        # A score is better when it is higher, whatever the objective.
        study = optuna.create_study(direction="maximize", pruner=make_pruner(rule))
        study.add_trial(optuna.trial.create_trial(value=1.0, intermediate_values=_by_number(theirs)))
        running = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING, intermediate_values=_by_number(ours)
        )
        return bool(study.pruner.prune(study, running))


class _Replay:
    """A study that has seen the runs of a task as they came."""

    def __init__(self, pruner: BasePruner, direction: Direction) -> None:
        import optuna

        # The sampler is never asked for anything.
        self._study = optuna.create_study(
            study_name="roundhouse",
            direction=direction,
            pruner=pruner,
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        self._trials: dict[str, optuna.trial.Trial] = {}
        self._steps: dict[str, int] = {}
        self._ended: set[str] = set()
        self._last = False

    def is_continued_by(self, runs: Iterable[RunSeen]) -> bool:
        """Whether these are the runs that were replayed, and later ones."""
        return [run.attempt_id for run in runs][: len(self._trials)] == list(self._trials)

    def is_over(self, runs: Iterable[RunSeen]) -> bool:
        """Replay what is new; whether the pruner would stop the last run."""
        for run in runs:
            self._follow(run)
        return self._last

    def _follow(self, run: RunSeen) -> None:
        trial = self._trials.get(run.attempt_id)
        if trial is None:
            trial = self._trials[run.attempt_id] = self._study.ask()
        if run.attempt_id in self._ended:
            return
        for step, value in run.points:
            if step > self._steps.get(run.attempt_id, -1):
                self._steps[run.attempt_id] = step
                trial.report(value, step)
                # Some pruners keep what they saw of a trial, so each is asked at every step.
                self._last = trial.should_prune()
        if run.outcome != "running":
            self._end(trial, run)

    def _end(self, trial: optuna.trial.Trial, run: RunSeen) -> None:
        import optuna

        self._ended.add(run.attempt_id)
        if run.outcome == "complete" and _is_number(run.value):
            self._study.tell(trial, run.value)
        elif run.outcome == "pruned":
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)


def _wrapped(named: object) -> BasePruner:
    table = {"name": named} if isinstance(named, str) else named
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        raise ValueError(f"{WRAPPED}: name a pruner, or give a table with its name (found {named!r})")
    if table["name"] in PER_EXAMPLE_PRUNERS:
        raise ValueError(f"{WRAPPED}: {table['name']} compares examples, and cannot be wrapped")
    options: dict[str, Any] = {key: value for key, value in table.items() if key != "name"}
    return make_pruner(Advised(pruner=table["name"], options=options))


def _by_number(scores: Scores) -> dict[int, float]:
    return dict(enumerate(scores.tolist()))


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
