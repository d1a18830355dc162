"""What can a round find, in words? A few lines a task, and the warnings that are said at acceptance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from policies import Policy, make_policy
from policies._assessment import Ledger
from policies._planning import MOST_SEEDS, independent_examples
from policies._prospects import (
    EvaluationSet,
    Finds,
    KnownNoise,
    delta_sd,
    discordance_of,
    evaluation_set,
    finds,
    known_noise,
    passes_by_chance,
)
from policies._variance import noise_kind
from policies.evidence import Objective, Observation
from scheduler.report import numbers
from scheduler.rounds.redaction import secret_names
from scheduler.rounds.round import Round, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """What is known of a task before it runs."""

    ledger: Ledger = field(default_factory=Ledger)
    #: how many past tasks taught the ledger the noise of this unit
    tasks: int = 0
    #: the objective's metric of stored runs of its baseline, raw, by stage and seed
    stored: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    #: a run of the baseline that told the size of the evaluation set, if one did
    sized_run: Observation | None = None


def warnings(accepted: Round) -> Iterator[tuple[str, str]]:
    """Name of the task and what is wrong with it, though it may run.

    Its evaluation set decides nothing, or its secrets are for everybody to read who may read the spec.
    """
    for task in accepted.tasks:
        if secrets := secret_names(task.args):
            yield (
                task.name,
                f"the spec holds the value of {', '.join(secrets)}; leave it out, set it where the daemon is"
                f" started, and name it in `environment` of roundhouse.toml",
            )
        found = _evaluation_set(task, make_policy(task.policy.name, task.policy.options), None)
        if task.variants and found.is_limiting:
            yield task.name, _limit(found, task.objective)


def prospects(task: Task, background: Background) -> Iterator[str]:
    """What the task can find, a sentence a line."""
    policy = make_policy(task.policy.name, task.policy.options)
    objective = task.objective
    found = _evaluation_set(task, policy, background.sized_run)
    noises = {stage: _noise(stage, task, background) for stage in _stages(task)}
    yield from _noise_lines(noises, objective, background.tasks)
    if objective.unit == "pp":
        yield _set_line(found, objective)
    if not task.variants:
        return
    able = finds(
        policy,
        objective,
        noises[_confirming(task)],
        ledger=background.ledger,
        examples=found.examples,
        variants=len(task.variants),
    )
    if able is None:
        yield from _without_looks(task, policy, noises)
        return
    yield from able.reasons
    if noises[_confirming(task)].is_known:
        yield from _with_looks(able, noises[_confirming(task)], found, objective)
    else:
        yield "what it can find is not known before its noise is"


def _stages(task: Task) -> tuple[str, ...]:
    """The stage that screens and the one that confirms; `confirm` is medium on fresh seeds."""
    names = [stage.name for stage in task.stages if stage.name != "confirm"]
    return tuple(dict.fromkeys((names[0], names[min(1, len(names) - 1)])))


def _confirming(task: Task) -> str:
    return _stages(task)[-1]


def _evaluation_set(task: Task, policy: Policy, run: Observation | None) -> EvaluationSet:
    stage = next(each for each in task.stages if each.name == _confirming(task))
    examples = independent_examples(run, stage.independent_examples)
    return evaluation_set(task.objective, examples, discordance_of(policy))


def _noise(stage: str, task: Task, background: Background) -> KnownNoise:
    stages = _stages(task)
    kind = noise_kind(stage, stages[0], stages[-1])
    return known_noise(kind, task.objective, background.ledger, background.stored.get(stage))


def _noise_lines(noises: Mapping[str, KnownNoise], objective: Objective, tasks: int) -> Iterator[str]:
    """Stages of which the same is known share a line."""
    stages_by_source: dict[str, list[str]] = {}
    for stage, noise in noises.items():
        sd = f"sd {_amount(noise.prior.sd * objective.min_effect, objective)} a run at {stage}"
        stages_by_source.setdefault(_source(noise, objective, tasks), []).append(
            sd if noise.is_known else stage
        )
    for source, stages in stages_by_source.items():
        yield f"noise: {' and '.join(stages)}, {source}"


def _source(noise: KnownNoise, objective: Objective, tasks: int) -> str:
    if not noise.is_known:
        return f"unknown in {objective.unit}; `schedctl noise` measures it"
    if noise.own_runs:
        # a few runs know their sd badly, and are weighed with what is expected of any task
        beside = f" and {numbers.count(tasks, 'task')} here" if noise.is_fitted else ""
        beside = " and a guess from other projects" if not noise.is_fitted and noise.prior.df else beside
        return f"by {noise.own_runs} runs of this baseline{beside}"
    if noise.is_fitted:
        return f"measured on {numbers.count(tasks, 'task')} here"
    return "a guess from other projects; `schedctl noise` measures it"


def _set_line(found: EvaluationSet, objective: Objective) -> str:
    if found.is_limiting:
        return _limit(found, objective)
    if found.examples is None:
        return "evaluation set: of a size that only its first run tells"
    return (
        f"evaluation set: {found.examples} independent examples, which alone leave a delta uncertain by"
        f" {_amount(found.floor, objective)}"
    )


def _limit(found: EvaluationSet, objective: Objective) -> str:
    return (
        f"eval_limited: {found.examples} independent examples leave a delta uncertain by"
        f" {_amount(found.floor, objective)}, more than twice the {_amount(objective.min_effect, objective)}"
        f" it looks for, so no verdict will be better than SUGGESTIVE; use at least {found.examples_wanted}"
        f" examples, or a min_effect of {_amount(_up(found.floor / 2), objective)}"
    )


def _with_looks(able: Finds, noise: KnownNoise, found: EvaluationSet, objective: Objective) -> Iterator[str]:
    seeds = numbers.count(able.looks, "fresh seed")
    found_ones = f"effects of {_effect(able.smallest, objective)} or more, 4 times in 5"
    if able.most_candidates > 1:
        among = _effect(able.smallest_among_most, objective)
        found_ones += f" ({among} among {able.most_candidates} candidates)"
    yield f"With {seeds} a candidate it finds {found_ones}"
    table = ", ".join(f"{_effect(effect, objective)}: {_seeds(n)}" for effect, n in able.seeds.items())
    yield f"fresh seeds a candidate needs, by its effect: {table}"
    if able.smallest > objective.min_effect:
        wanted = f"{_effect(objective.min_effect, objective)}, which takes {_seeds(able.needed)} seeds"
        yield f"It looks for {wanted} a candidate: {_remedy(able, noise, found, objective)}"


def _remedy(able: Finds, noise: KnownNoise, found: EvaluationSet, objective: Objective) -> str:
    is_guess = not noise.own_runs and not noise.is_fitted
    # The guess is scaled with min_effect: a larger one would not seem to help.
    ways = ["measure the noise, which is a guess" if is_guess else "raise min_effect"]
    if able.looks < able.most_looks:
        ways.append(f"raise looks (at most {able.most_looks})")
    if found.floor > objective.min_effect:
        ways.append("use a larger evaluation set")
    ways.append("look for larger effects only")
    return f"{', '.join(ways[:-1])}, or {ways[-1]}"


def _without_looks(task: Task, policy: Policy, noises: Mapping[str, KnownNoise]) -> Iterator[str]:
    """What a policy can claim that judges on the seeds which selected."""
    objective, stage = task.objective, _confirming(task)
    claims = getattr(policy, "claims", None)
    if claims is not None:
        yield from claims()
        return
    yield (
        f"{task.policy.name} looks at no fresh seeds: its best verdict is SUGGESTIVE, since the seeds that"
        " judge a variant have selected it"
    )
    if not noises[stage].is_known:
        return
    count = len(task.seeds)
    sd = delta_sd(noises[stage], objective, count)
    yield (
        f"a delta of {numbers.count(count, 'seed')} at {stage} differs from 0 by sd {_amount(sd, objective)}"
        " where there is no effect at all"
    )
    min_delta = getattr(policy, "min_delta", None)
    first = _stages(task)[0]
    if isinstance(min_delta, int | float) and noises[first].is_known:
        share = round(100 * passes_by_chance(min_delta, delta_sd(noises[first], objective, count)))
        bar = f"{_effect(min_delta, objective)} at {first}"
        yield (
            f"a variant without any effect reaches {bar} {share} times in 100"
            if share > 1
            else f"a variant without any effect hardly ever reaches {bar}"
        )


def _seeds(needed: int | None) -> str:
    return f"more than {MOST_SEEDS}" if needed is None else str(needed)


def _effect(amount: float, objective: Objective) -> str:
    """`+4.1 pp`."""
    return f"+{_amount(amount, objective)}" if amount >= 0 else f"-{_amount(-amount, objective)}"


def _amount(amount: float, objective: Objective) -> str:
    if math.isinf(amount):
        return "any size"
    return f"{amount:.1f} pp" if objective.unit == "pp" and amount >= 1 else f"{amount:.2g} {objective.unit}"


def _up(amount: float) -> float:
    """The next number with one decimal, where that says anything."""
    return math.ceil(amount * 10) / 10 if amount >= 1 else amount
