"""How does a task look to its policy? Runs that are over, and what was decided about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from policies.evidence import Observation
from policies.steps import ConfirmSet, Decided, TaskView
from scheduler.decide import facts
from scheduler.decide.state import TaskState, observation
from scheduler.rounds.round import BASELINE

_DECIDED: dict[type[facts.VariantFact], Decided] = {
    facts.VariantPruned: "pruned",
    facts.VariantPromoted: "promoted",
    facts.VariantHeld: "held",
}


def task_view(
    task: TaskState,
    over: Iterable[facts.RunFinished],
    protocols: Mapping[str, str],
    stored: Mapping[str, Mapping[int, float]] | None = None,
) -> TaskView:
    """The view that holds the runs `over`, and what was decided in `protocols`, by stage.

    What was decided under another driver or version no longer counts, like its runs. Of the baselines that
    were stored when the task began, those count that are still `stored`, by stage; all when None.
    """
    current = set(protocols.items())
    frozen = task.confirm_set
    if frozen is not None and frozen.protocol not in protocols.values():
        frozen = None
    runs: dict[str, list[Observation]] = {BASELINE: [], **{each.name: [] for each in task.task.variants}}
    for run in over:
        runs[run.config].append(observation(run))
    return TaskView(
        objective=task.task.objective,
        stages=tuple(stage.name for stage in task.task.stages),
        listed_seeds=len(task.task.seeds),
        examples={
            stage.name: stage.independent_examples for stage in task.task.stages if stage.independent_examples
        },
        baseline=tuple(runs.pop(BASELINE)),
        variants={name: tuple(observations) for name, observations in runs.items()},
        decisions={
            config: {
                fact.stage: _DECIDED[type(fact)] for fact in made if (fact.stage, fact.protocol) in current
            }
            for config, made in task.decisions.items()
        },
        **({} if task.begun is None else {"ledger": task.begun.ledger}),
        stored=_stored(task, protocols, stored),
        confirm_set=_confirm_set(frozen),
        looks_taken=len([look for look in task.looks if frozen and look.protocol == frozen.protocol]),
        verdicts={config: fact.verdict for config, fact in task.verdicts.items()},
    )


def _confirm_set(fact: facts.ConfirmSetFrozen | None) -> ConfirmSet | None:
    if fact is None:
        return None
    return ConfirmSet(
        candidates=fact.candidates,
        looks=fact.looks,
        alpha=fact.alpha,
        share=fact.share,
        examples=fact.examples,
        chances=fact.chances,
    )


def _stored(
    task: TaskState, protocols: Mapping[str, str], stored: Mapping[str, Mapping[int, float]] | None
) -> dict[str, Mapping[int, float]]:
    """By stage. After a drift, what was frozen before it is out of date."""
    if task.begun is None:
        return {}
    found: dict[str, Mapping[int, float]] = {}
    for stage, protocol in protocols.items():
        values = {int(seed): value for seed, value in task.begun.stored.get(protocol, {}).items()}
        if stored is not None:
            values = {seed: value for seed, value in values.items() if stored[stage].get(seed) == value}
        found[stage] = values
    return found
