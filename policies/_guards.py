"""Can these runs be believed at all? No-ops, leaks, dead metrics and dead seeds look like results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from policies._delta import Estimate
from policies.evidence import BROKEN_CLASSES, Objective, Observation

#: a loss below this share of the baseline's is a leak until shown otherwise
LEAK_BELOW = 0.5
#: so many sd below the baseline at quick, with a worse loss, is a loser at once
LOSER_SD = 3.0
#: equal values over so many runs are no coincidence
MIN_RUNS_OF_A_CONSTANT = 3
#: in-run rules whose stop is itself a finding, by the name that a stopped run carries
STOPPED_AS_NO_OP = "noop"
STOPPED_AS_BROKEN = "broken"


def broken_class(runs: Iterable[Observation]) -> str | None:
    """What speaks against the variant itself: a failure class, or the rule that stopped it. Else None."""
    for run in runs:
        if run.failure_class in BROKEN_CLASSES:
            return run.failure_class
        if run.stopped_by == STOPPED_AS_BROKEN:
            return "stopped before its end"
    return None


def early_stop(runs: Iterable[Observation]) -> str | None:
    """The sentence that says a rule ended a run early, so that it has no value to compare."""
    return next((f"stopped by {run.stopped_by}" for run in runs if run.stopped_by is not None), None)


def infrastructure_class(runs: Iterable[Observation]) -> str | None:
    """The failure class, or the outcome, that kept a run from telling anything and is nobody's fault."""
    for run in runs:
        if run.status in ("failed", "lost", "cancelled") and run.failure_class not in BROKEN_CLASSES:
            return run.failure_class or run.status
    return None


def is_no_op(variant: Sequence[Observation], baseline: Sequence[Observation]) -> bool:
    """Whether every run equals the baseline's of its stage and seed exactly, in scores and loss.

    A run that was stopped for it did so at its first looks, and has nothing further to tell.
    """
    if any(run.stopped_by == STOPPED_AS_NO_OP for run in variant):
        return True
    usable = [run for run in variant if run.is_usable]
    return bool(usable) and all(run.scores_digest is not None and _has_twin(run, baseline) for run in usable)


def has_worse_loss(variant: Sequence[Observation], baseline: Sequence[Observation]) -> bool:
    """Whether the variant's loss exceeds the baseline's on every seed that has both."""
    pairs = _loss_pairs(variant, baseline)
    return bool(pairs) and all(ours > theirs for ours, theirs in pairs)


def is_hopeless(quick: Estimate, *, has_worse_loss: bool) -> bool:
    """Whether quick alone shows a loser: far below the baseline, and the loss agrees."""
    return quick.delta < -LOSER_SD * quick.se and has_worse_loss


def leak(objective: Objective, variant: Sequence[Observation], baseline: Sequence[Observation]) -> str | None:
    """The sentence that rejects a score too good to be true: it saw the answers, or scored something else.

    Only where the score itself is minimized: beside an accuracy, a loss may well fall to less than half.
    """
    if objective.direction != "minimize":
        return None
    for ours, theirs in _pairs(variant, baseline, lambda run: run.value):
        if theirs > 0 and ours < LEAK_BELOW * theirs:
            return (
                f"a {objective.metric} of {ours:.4g} is less than half the baseline's {theirs:.4g}:"
                " a leak, or another evaluation"
            )
    return None


def much_smaller_loss(
    objective: Objective, variant: Sequence[Observation], baseline: Sequence[Observation]
) -> str | None:
    """The warning that the loss beside another metric fell to less than half the baseline's."""
    for ours, theirs in _loss_pairs(variant, baseline):
        if objective.direction != "minimize" and theirs > 0 and ours < LEAK_BELOW * theirs:
            return (
                f"its loss of {ours:.4g} is less than half the baseline's {theirs:.4g}:"
                " make sure that it cannot see the answers"
            )
    return None


def constant_metric(runs: Iterable[Observation]) -> str | None:
    """The sentence that says a metric never moved over configs and seeds, though the runs differ."""
    usable: list[Observation] = []
    for run in runs:
        if run.is_usable:
            usable.append(run)
            if run.value != usable[0].value:
                return None  # mostly the second run tells, of thousands
    losses = {run.loss for run in usable}
    if len(usable) >= MIN_RUNS_OF_A_CONSTANT and (len(losses) > 1 or len({run.config for run in usable}) > 1):
        return f"the metric is {usable[0].value!r} in all {len(usable)} runs: it measures nothing here"
    return None


def dead_seed(runs: Iterable[Observation]) -> str | None:
    """The sentence that says different seeds gave one result: they are one run, whatever their number."""
    for same in _by_config(runs).values():
        for index, run in enumerate(same):
            twin = next((one for one in same[:index] if _is_same_result(run, one)), None)
            if twin is not None:
                seeds = f"seeds {twin.seed} and {run.seed}"
                return f"{run.config}: {seeds} give the same bits; the seed changes nothing"
    return None


def data_order_only(runs: Iterable[Observation]) -> str | None:
    """The warning that seeds are equal before any step: initialisation is seeded elsewhere."""
    for same in _by_config(runs).values():
        starts = {run.seed: run.curve[0][1] for run in same if run.curve and run.curve[0][0] == 0}
        if len(starts) > 1 and len(set(starts.values())) == 1:
            return (
                f"{same[0].config}: seeds {', '.join(map(str, starts))} are equal before the first step;"
                " the seed changes the order of the data at most, not the initialisation"
            )
    return None


def _has_twin(run: Observation, baseline: Sequence[Observation]) -> bool:
    return any(
        (other.seed, other.stage) == (run.seed, run.stage) and other.is_usable and _is_same_result(run, other)
        for other in baseline
    )


def _is_same_result(run: Observation, other: Observation) -> bool:
    """Equal to the last bit. Without a digest of the scores the loss must tell: a share repeats by chance."""
    return (
        (run.scores_digest is not None or run.loss is not None)
        and run.scores_digest == other.scores_digest
        and (run.loss, run.value) == (other.loss, other.value)
    )


def _loss_pairs(variant: Sequence[Observation], baseline: Sequence[Observation]) -> list[tuple[float, float]]:
    return _pairs(variant, baseline, lambda run: run.loss)


def _pairs(
    variant: Sequence[Observation],
    baseline: Sequence[Observation],
    number: Callable[[Observation], float | None],
) -> list[tuple[float, float]]:
    """A number of usable runs of both sides, by stage and seed."""
    references = {(run.stage, run.seed): number(run) for run in baseline if run.is_usable}
    pairs = [(number(run), references.get((run.stage, run.seed))) for run in variant if run.is_usable]
    return [(ours, theirs) for ours, theirs in pairs if ours is not None and theirs is not None]


def _by_config(runs: Iterable[Observation]) -> Mapping[tuple[str, str], list[Observation]]:
    """Usable runs by stage and config, each seed once."""
    grouped: dict[tuple[str, str], dict[int, Observation]] = {}
    for run in runs:
        if run.is_usable:
            grouped.setdefault((run.stage, run.config), {}).setdefault(run.seed, run)
    return {key: list(by_seed.values()) for key, by_seed in grouped.items()}
