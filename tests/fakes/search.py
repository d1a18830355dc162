"""A task without a daemon: a policy is asked step by step, and every run it asks for is there at once."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from policies import Policy
from policies.evidence import BASELINE, Hold, Objective, Observation, Promote, Prune, Verdict
from policies.steps import Decide, Freeze, Judge, Look, Run, Step, TaskView

#: how a run comes out: the fields of its observation beyond those that the step tells
Outcome = Callable[[Run], Mapping[str, Any]]
_DECIDED = {Prune: "pruned", Promote: "promoted", Hold: "held"}


@dataclass(slots=True, kw_only=True)
class Search:
    """What a policy asked for, in order, and what it last saw."""

    view: TaskView
    steps: list[Step] = field(default_factory=list)

    def of(self, kind: type[Any]) -> list[Any]:
        return [step for step in self.steps if isinstance(step, kind)]

    @property
    def verdicts(self) -> dict[str, Verdict]:
        return {step.config: step.verdict for step in self.of(Judge)}


def searched(
    policy: Policy,
    outcome: Outcome,
    variants: Iterable[str],
    *,
    stages: tuple[str, ...] = ("quick", "medium"),
    objective: Objective | None = None,
    **more: Any,
) -> Search:
    """Ask until nothing is left to do. Raises AssertionError for a run that is asked for twice."""
    view = TaskView(
        objective=objective or Objective(),
        stages=stages,
        listed_seeds=1,
        variants=dict.fromkeys(variants, ()),
    )
    search = Search(view=replace(view, **more))
    while (step := policy.next(search.view)) is not None:
        assert policy.next(search.view) == step, "the same view gave two steps"
        search.steps.append(step)
        search.view = after(search.view, step, outcome)
        assert len(search.steps) < 1000, "the search never ends"
    return search


def after(view: TaskView, step: Step, outcome: Outcome) -> TaskView:
    """The view when the step is done."""
    match step:
        case Run(config=config):
            assert view.run(step.stage, config, step.slot) is None, f"{step} is over"
            run = observed(step, outcome)
            if config == BASELINE:
                return replace(view, baseline=(*view.baseline, run))
            return replace(view, variants={**view.variants, config: (*view.variants[config], run)})
        case Decide(config=config, stage=stage, decision=decision):
            made = {**view.decisions.get(config, {}), stage: _DECIDED[type(decision)]}
            return replace(view, decisions={**view.decisions, config: made})
        case Freeze(confirm_set=frozen):
            return replace(view, confirm_set=frozen)
        case Look():
            return replace(view, looks_taken=view.looks_taken + 1)
        case Judge(config=config, verdict=verdict):
            return replace(view, verdicts={**view.verdicts, config: verdict.name})


def observed(run: Run, outcome: Outcome) -> Observation:
    """The run as it came out; its seed is its slot's."""
    fields: dict[str, Any] = {
        "seed": 1000 + run.slot,
        "status": "ok",
        "protocol": run.stage,
        "n_eval": 5000,
        "scores_digest": f"{run.stage} {run.config} {run.slot}",
        **outcome(run),
    }
    return Observation(stage=run.stage, config=run.config, slot=run.slot, **fields)


def scores(effects: Mapping[str, float], *, sd: float = 1.0, seed: int = 0, growth: float = 4.0) -> Outcome:
    """Accuracies with true effects in pp, noise of `sd` pp, and `growth` pp from quick to medium."""

    def outcome(run: Run) -> dict[str, Any]:
        draw = random.Random(f"{seed} {run}")
        is_quick = run.stage == "quick"
        effect = effects.get(run.config, 0.0) * (0.7 if is_quick else 1.0)
        value = 0.5 + (effect + (0.0 if is_quick else growth) + draw.gauss(0.0, sd)) / 100
        return {"value": value, "acc": value, "loss": 2.0 - value}

    return outcome
