"""Our in-run rules for anyone's Optuna study: `create_study(pruner=BrokenPruner())`.

Every trial is compared with one baseline trial of the study, the first unless another is named. What is
reported with `Trial.report` is taken as the loss of a study that minimizes, and as the accuracy of one that
maximizes; with `tell_look` a trial reports loss, accuracy and the score of every example at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import TrialState

from policies._flight import Curve, Flight, Look
from policies._stopping import Broken, Hopeless, Noop, Rule, is_audited
from policies.evidence import Objective

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

#: user attributes of a trial that hold its looks, by step
LOOK_ATTRIBUTE = "roundhouse:look:"


def tell_look(
    trial: Trial,
    step: int,
    value: float,
    *,
    loss: float | None = None,
    acc: float | None = None,
    scores: Sequence[float] | None = None,
) -> None:
    """Report `value` at `step`, with what else is known there. Without `scores` only values can be equal."""
    digest = None
    if scores is not None:
        digest = hashlib.sha256(repr([float(score) for score in scores]).encode()).hexdigest()[:16]
    told = {"loss": loss, "acc": acc, "digest": digest}
    trial.set_user_attr(f"{LOOK_ATTRIBUTE}{step}", told)
    trial.report(value, step)


class _RulePruner(BasePruner):
    """A rule that compares a trial with the baseline's."""

    def __init__(
        self,
        rule: Rule,
        *,
        baseline: int = 0,
        max_steps: int | None = None,
        delta_se: float | None = None,
        n_eval: int | None = None,
    ) -> None:
        self._rule = rule
        self._baseline = baseline
        self._max_steps = max_steps
        self._delta_se = delta_se
        self._n_eval = n_eval

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the rule would stop `trial`: never the baseline, nor anything before that has ended."""
        return self.reason(study, trial) is not None

    def reason(self, study: Study, trial: FrozenTrial) -> str | None:
        """Why `trial` should end, in words."""
        baseline = next(
            (one for one in study.get_trials(deepcopy=False) if one.number == self._baseline), None
        )
        if baseline is None or trial.number == self._baseline or baseline.state != TrialState.COMPLETE:
            return None
        return self._rule.reason(self._flight(study, trial, baseline))

    def _flight(self, study: Study, trial: FrozenTrial, baseline: FrozenTrial) -> Flight:
        is_loss = study.direction == StudyDirection.MINIMIZE
        objective = Objective(
            metric="value", direction="minimize" if is_loss else "maximize", unit="reported", min_effect=1.0
        )
        return Flight(
            curve=_curve(trial, is_loss=is_loss),
            baseline=_curve(baseline, is_loss=is_loss),
            objective=objective,
            max_steps=self._max_steps,
            delta_se=self._delta_se,
            n_eval=self._n_eval,
        )


class NoopPruner(_RulePruner):
    """Stop a trial whose first looks equal the baseline's to the last bit.

    Equal values are proof only where they seldom repeat by chance: report a loss, or tell the scores of the
    examples with `tell_look`, or ask for more looks where a value is a share of few examples. A trial must
    use the baseline's seed, else nothing is ever equal.
    """

    def __init__(self, *, baseline: int = 0, looks: int = 1) -> None:
        super().__init__(Noop(looks=looks), baseline=baseline)


class BrokenPruner(_RulePruner):
    """Stop a trial whose value is no number, whose loss is far above the baseline's, or that merely guesses.

    A guess is told from a result only where `chance`, its accuracy, and `n_eval`, the examples behind an
    accuracy, are given.
    """

    def __init__(
        self,
        *,
        baseline: int = 0,
        loss_ratio: float = 3.0,
        chance: float | None = None,
        n_eval: int | None = None,
    ) -> None:
        rule = Broken(loss_ratio=loss_ratio, chance=chance)
        super().__init__(rule, baseline=baseline, n_eval=n_eval)

    def reason(self, study: Study, trial: FrozenTrial) -> str | None:
        """As the rule says; a value that is no number needs no baseline."""
        if trial.intermediate_values and trial.number != self._baseline:
            alone = self._rule.reason(self._flight(study, trial, trial))
            if alone is not None:
                return alone
        return super().reason(study, trial)


class HopelessPruner(_RulePruner):
    """Stop a trial that is far behind the baseline from half of `max_steps` on, and does not catch up.

    `delta_se` is the standard error of the difference between two trials, in what is reported. Curves cross,
    so a stable share of the trials that would be stopped runs on: `audit` tells what became of them.
    """

    def __init__(
        self,
        *,
        max_steps: int,
        delta_se: float,
        baseline: int = 0,
        sd: float = 3.0,
        from_share: float = 0.5,
        audit_share: float = 0.05,
    ) -> None:
        self._hopeless = Hopeless(sd=sd, from_share=from_share, audit_share=audit_share)
        super().__init__(self._hopeless, baseline=baseline, max_steps=max_steps, delta_se=delta_se)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the rule would stop `trial`, and it is none of those that run on."""
        return super().prune(study, trial) and not self._is_audited(study, trial)

    def audit(self, study: Study) -> tuple[int, int]:
        """How many trials ran on that would have been stopped, and how many of these reached the baseline."""
        sign = -1.0 if study.direction == StudyDirection.MINIMIZE else 1.0
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        reference = next((one.value for one in trials if one.number == self._baseline), None)
        waived = [one for one in trials if self._is_audited(study, one) and self._was_hopeless(study, one)]
        if reference is None:
            return 0, 0
        recovered = [one for one in waived if one.value is not None and sign * (one.value - reference) >= 0]
        return len(waived), len(recovered)

    def _is_audited(self, study: Study, trial: FrozenTrial) -> bool:
        return is_audited(f"{study.study_name}/{trial.number}", self._hopeless.audit_share)

    def _was_hopeless(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether it would have been stopped at any step."""
        from optuna.trial import create_trial

        steps = sorted(trial.intermediate_values)
        for last in range(1, len(steps) + 1):
            values = {step: trial.intermediate_values[step] for step in steps[:last]}
            seen = create_trial(
                state=TrialState.RUNNING, intermediate_values=values, user_attrs=trial.user_attrs
            )
            seen.number = trial.number
            if self.reason(study, seen) is not None:
                return True
        return False


def _curve(trial: FrozenTrial, *, is_loss: bool) -> Curve:
    return Curve(looks=tuple(_look(trial, step, is_loss) for step in sorted(trial.intermediate_values)))


def _look(trial: FrozenTrial, step: int, is_loss: bool) -> Look:
    value = trial.intermediate_values[step]
    told: dict[str, Any] = {"loss": None, "acc": None, "digest": None}
    told |= trial.user_attrs.get(f"{LOOK_ATTRIBUTE}{step}", {})
    if told["loss"] is None and is_loss:
        told["loss"] = value
    if told["acc"] is None and not is_loss:
        told["acc"] = value
    if told["digest"] is None:
        told["digest"] = repr(value)
    return Look(step=step, value=value, **told)
